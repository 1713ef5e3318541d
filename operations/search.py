"""Asks an image a question, without a container: its data layer is read where it lies, in the layout or its tar."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.question import embed_question
from appliance.search import DataLayer, open_parts
from builders.image import data_layers
from builders.oci.read import open_image
from engines.embedding import load_engine
from operations.images import find_image
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig


def search(home: Path, target: str, question: str, limit: int = 5) -> list[dict[str, Any]]:
    """The `limit` best passages, best first: document, page, start, end (code points), score, text.

    `target` is a customer, whose newest image is asked, or a path to an OCI layout, a folder or a tar. Blocking.
    Raises CradleError `image.unknown` or `image.broken`, or what loading the image's embedding engine raises.
    """
    with closing(open_data_layer(find_image(home, target))) as data:
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


def open_data_layer(layout: Path) -> DataLayer:
    """The data layer of the image in `layout`: vectors mapped from its file, the database copied into memory.

    Raises CradleError `image.unknown` or `image.broken`.
    """
    layers = data_layers(open_image(layout))
    database, vectors = layers[max(layers)]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(database.read())
        return open_parts(connection, vectors.path, offset=vectors.offset)
    except (ValueError, sqlite3.Error) as error:
        connection.close()
        raise CradleError("image.broken", what="its data layer cannot be read") from error


def _vector(question: str, data: DataLayer) -> NDArray[np.float32] | None:
    """The question's vector by the model of the passages; None where there is none to ask: `fake` means nothing."""
    config = EmbeddingConfig.model_validate(data.about["parameters"]["embedding_config"])
    if config.model == "fake":
        return None
    if config.model == "builtin":
        return embed_question(question, data.about)
    vector: NDArray[np.float32] = load_engine(config).embed([config.query_prefix + question])[0]
    return vector
