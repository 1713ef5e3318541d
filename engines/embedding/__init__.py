"""The embedding port: texts to vectors, one row a text, whatever shares its batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.adapters import engine_module
from schemas.parameters import EmbeddingConfig

ADAPTERS: Final = {
    "builtin": "engines.embedding.builtin",
    "fake": "engines.embedding.fake",
    "sentence-transformers": "engines.embedding.sentence_transformers",
}
"""Each module has `identify(config)` and `load(config)`."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What of an engine can change a vector; part of the fingerprint."""

    name: str
    weights: str
    """SHA-256 of the weights, or `repository@revision` of a hub model."""
    tokenizer: str
    """SHA-256 of the tokenizer's file, or as above."""
    dimension: int
    max_tokens: int
    """What the model reads of a text, special tokens included."""

    def __str__(self) -> str:
        return f"{self.name} weights={self.weights} tokenizer={self.tokenizer} dimension={self.dimension}"


class EmbeddingEngine(Protocol):
    identity: EngineIdentity

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, dimension), row i for texts[i], prefixes already put before; L2-normalised if configured.

        Blocking: call it off the event loop. A row does not depend on the other texts. Raises Retryable `engine.busy`
        where it lacks something just now, such as the memory of a GPU that others use too.
        """


def identify(config: EmbeddingConfig) -> EngineIdentity:
    """The identity of the configured engine, without loading its weights (it may read them once, to hash them).

    Raises Permanent `engine.unknown`, `engine.missing` or `engine.revision`.
    """
    identity: EngineIdentity = engine_module("embedding", config.model, ADAPTERS).identify(config)
    return identity


def load_engine(config: EmbeddingConfig) -> EmbeddingEngine:
    """Raises Permanent `engine.unknown`, `engine.missing`, `engine.revision` or `engine.weights`, Retryable
    `engine.busy`."""
    engine: EmbeddingEngine = engine_module("embedding", config.model, ADAPTERS).load(config)
    return engine
