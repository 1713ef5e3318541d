"""An engine for tests: a unit vector drawn from the text's hash. Equal texts are near, all others far."""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding import EngineIdentity
from schemas.parameters import EmbeddingConfig

IDENTITY: Final = EngineIdentity(name="fake", weights="none", tokenizer="words", dimension=64, max_tokens=512)


class FakeEngine:
    identity = IDENTITY

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), IDENTITY.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            digest = hashlib.shake_256(text.encode()).digest(IDENTITY.dimension)
            centred = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5
            vectors[row] = centred / np.sqrt(centred @ centred)
        return vectors


def identify(config: EmbeddingConfig) -> EngineIdentity:
    return IDENTITY


def load(config: EmbeddingConfig) -> FakeEngine:
    return FakeEngine()
