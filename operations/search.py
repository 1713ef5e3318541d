"""Asks an image a question, without a container: its data layers are read where they lie, in the layout or its tar."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.layer import Layer
from appliance.question import Questions
from appliance.search import Library, library, open_parts
from builders.image import data_layers
from builders.oci.read import DATA_ROLE, Image, Window, open_image, role_of
from engines.embedding import load_engine
from operations.images import find_image
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig


def search(home: Path, target: str, question: str, limit: int = 5) -> list[dict[str, Any]]:
    """The `limit` best passages, best first: document, page, start, end (code points), score, marks, also (other names
    of the document, some of `names`), folded (how many nearly repeat it), text.

    `target` is a customer, whose newest image is asked, or a path to an OCI layout, a folder or a tar. Blocking.
    Raises CradleError `image.unknown`, `image.thin` or `image.broken`, or what loading the image's embedding engine
    raises.
    """
    with closing(open_library(find_image(home, target))) as data:
        found = data.search(question, _vector(question, data), limit=limit)
    return [
        {
            "document": passage.document,
            "page": passage.page,
            "start": passage.start,
            "end": passage.end,
            "score": passage.score,
            "marks": list(passage.marks),
            "also": list(passage.also),
            "names": passage.names,
            "folded": passage.folded,
            "text": passage.text,
        }
        for passage in found
    ]


def open_library(layout: Path) -> Library:
    """The data layers of the image in `layout`: vectors mapped from its file, the databases copied into memory.

    The layers below an update are taken from the layouts beside it, where its customer's other images stand.
    Raises CradleError `image.unknown`; `image.thin`: they are not there either; `image.broken`.
    """
    image = open_image(layout)
    files = data_layers(image)
    if image.missing:
        files |= _found_beside(image)
    if sorted(files) != list(range(max(files) + 1)):
        raise CradleError("image.thin")
    try:
        return library(_opened(files[number] for number in sorted(files)))
    except (ValueError, sqlite3.Error) as error:
        raise CradleError("image.broken", what="its data layer cannot be read") from error


def _found_beside(image: Image) -> dict[int, tuple[Window, Window]]:
    """Of the data layers that are not in the image's layout, those that another layout beside it has, by number."""
    missing = set(image.missing)
    found: dict[int, tuple[Window, Window]] = {}
    for index in image.path.parent.glob("[!.]*/index.json"):
        try:
            other = open_image(index.parent)
            files = data_layers(other)
        except (CradleError, FileNotFoundError):  # not one of ours, or just being replaced
            continue
        same = [role_of(layer) for layer in other.layers if layer["digest"] in missing]
        numbers = {int(role.removeprefix(DATA_ROLE)) for role in same if role.startswith(DATA_ROLE)}
        found.update((number, files[number]) for number in numbers & files.keys())
    return found


def _opened(files: Iterator[tuple[Window, Window]]) -> Iterator[Layer]:
    for database, vectors in files:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            connection.deserialize(database.read())
        except sqlite3.Error:
            connection.close()
            raise
        yield open_parts(connection, vectors.path, offset=vectors.offset)


def _vector(question: str, data: Library) -> NDArray[np.float32] | None:
    """The question's vector by the model of the passages; None where there is none to ask: `fake` means nothing."""
    config = EmbeddingConfig.model_validate(data.about["parameters"]["embedding_config"])
    if config.model == "fake":
        return None
    if config.model == "builtin":
        return Questions(data.about).embed(question)[0]
    vector: NDArray[np.float32] = load_engine(config).embed([config.query_prefix + question])[0]
    return vector
