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
from builders.oci.read import Window, open_image
from engines.embedding import load_engine
from operations.images import find_image
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig


def search(home: Path, target: str, question: str, limit: int = 5) -> list[dict[str, Any]]:
    """The `limit` best passages, best first: document, page, start, end (code points), score, text.

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
            "text": passage.text,
        }
        for passage in found
    ]


def open_library(layout: Path) -> Library:
    """The data layers of the image in `layout`: vectors mapped from its file, the databases copied into memory.

    Raises CradleError `image.unknown`; `image.thin`: the layers of the versions below an update are not in the layout;
    `image.broken`.
    """
    image = open_image(layout)
    files = data_layers(image)
    if sorted(files) != list(range(max(files) + 1)):
        raise CradleError("image.thin")
    try:
        return library(_opened(files[number] for number in sorted(files)))
    except (ValueError, sqlite3.Error) as error:
        raise CradleError("image.broken", what="its data layer cannot be read") from error


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
