"""Takes the chunks of many messages to one row of engine batches, and their vectors back to each. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.batching import plan_batches
from schemas.errors import Permanent
from schemas.messages import ChunksMade, EmbeddingsMade, Vectors
from schemas.parameters import EmbeddingConfig

MAX_BATCH_TOKENS: Final = 16_384
"""Of an engine batch, padding included: 64 passages of 256 tokens, well under 1 GiB for a model 1024 wide."""
_UNIT_TOLERANCE: Final = 1e-3
"""How far a normalised vector's length may be from 1: float32 rounding over 4096 numbers stays below."""


@dataclass(frozen=True, slots=True)
class Passage:
    text: str
    tokens: int
    message: int
    """Which of the messages it belongs to."""
    row: int
    """Which of the message's chunks it is."""


class Gathering:
    """The messages of a poll that share an engine, and which of their vectors are still missing."""

    def __init__(self, messages: Sequence[ChunksMade], config: EmbeddingConfig, *, dimension: int) -> None:
        self._messages = messages
        self._config = config
        self._vectors = [np.empty((len(message.chunks), dimension), dtype=np.float32) for message in messages]
        self._missing = [len(message.chunks) for message in messages]

    def batches(self) -> Iterator[list[Passage]]:
        """Every chunk of every message once, the passage prefix before it, in batches of similar length."""
        passages = [
            Passage(self._config.passage_prefix + message.text_of(chunk), chunk.tokens, number, row)
            for number, message in enumerate(self._messages)
            for row, chunk in enumerate(message.chunks)
        ]
        lengths = [passage.tokens for passage in passages]
        for batch in plan_batches(lengths, max_items=self._config.batch_size, max_tokens=MAX_BATCH_TOKENS):
            yield [passages[index] for index in batch]

    def take(self, batch: Sequence[Passage], vectors: NDArray[np.float32]) -> list[int]:
        """Files the vectors, row i for `batch[i]`. Returns the messages that have all of theirs now."""
        complete = []
        for passage, vector in zip(batch, vectors, strict=True):
            self._vectors[passage.message][passage.row] = vector
            self._missing[passage.message] -= 1
            if self._missing[passage.message] == 0:
                complete.append(passage.message)
        return complete

    def made(self, message: int, *, engine: str) -> EmbeddingsMade:
        """The complete message's vectors in the order of its chunks. Raises Permanent `engine.vectors`."""
        vectors = self._vectors[message]
        check(vectors, engine=engine, normalized=self._config.normalize)
        data = vectors.astype("<f4", copy=False).tobytes()
        rows, dimension = vectors.shape
        return EmbeddingsMade(
            chunks=self._messages[message], vectors=Vectors(dtype="float32", shape=(rows, dimension), data=data)
        )


def check(vectors: NDArray[np.float32], *, engine: str, normalized: bool) -> None:
    """Raises Permanent `engine.vectors` for a row that has no direction, or not the length it should have."""
    if not np.isfinite(vectors).all():
        raise Permanent("engine.vectors", name=engine, what="made of finite numbers")
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.all():
        raise Permanent("engine.vectors", name=engine, what="longer than 0")
    if normalized and (np.abs(lengths - 1) > _UNIT_TOLERANCE).any():
        raise Permanent("engine.vectors", name=engine, what="of length 1")
