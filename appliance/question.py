"""The question's vector, made inside the image with the model that the passages were embedded with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import WrongWeights, load_encoder


def embed_question(question: str, about: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """float32 (dimension,), or None where the passages' model is not here: then full text answers alone.

    `about` is the data layer's. Only the `builtin` model ships with the appliance.
    """
    config = about["parameters"]["embedding_config"]
    if config["model"] != "builtin":
        return None
    try:
        encoder = load_encoder()
    except (ImportError, WrongWeights):  # vectors of other weights would mean something else
        return None
    return encoder.encode(config["query_prefix"] + question)
