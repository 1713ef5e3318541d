"""Models of the sentence-transformers library, from a folder or a hub, on a GPU where there is one.

A matrix product rounds differently for matrices of other shapes, and on other numbers of threads. So that a vector is
the same to the bit whatever shares its batch (`deterministic`), the shape a text is computed in depends on that text
alone: its length, padded to a multiple of PADDED_TO, and always ROWS rows, the missing ones empty. On a CPU, where
batches gain little, it is one row without padding, by one thread: sums do not depend on how many cores there are, and
more processes use more cores. Otherwise texts of about the same length share batches as usual, and their vectors are
within cosine 0.99999 of each other, whatever the batch; benchmarks/deterministic.py tells what that gains.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.batching import plan_batches
from engines.embedding import EngineIdentity
from engines.embedding.models import NAME, find_model
from engines.gpu import memory_permitting
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

ROWS: Final = 32
PADDED_TO: Final = 32
MOST_ROWS: Final = 128
MOST_TOKENS: Final = 16_384
"""Of a batch that need not be deterministic, padding included."""


@dataclass(frozen=True, slots=True)
class Batch:
    texts: list[int]
    """Which of the given texts."""
    rows: int
    """What it is filled up to with empty texts."""
    length: int
    """Tokens that each row is padded to."""


class Shapes(Protocol):
    """Which texts are computed together, and in what shape."""

    def batches(self, lengths: Sequence[int], limit: int) -> Iterator[Batch]:
        """Each index of `lengths` (tokens, at most `limit`) in exactly one batch."""


@dataclass(frozen=True, slots=True)
class OwnShapes:
    """A text's shape depends on that text alone."""

    rows: int
    padded_to: int

    def batches(self, lengths: Sequence[int], limit: int) -> Iterator[Batch]:
        members: dict[int, list[int]] = defaultdict(list)
        for i, length in enumerate(lengths):
            members[min(-(-length // self.padded_to) * self.padded_to, limit)].append(i)
        for length, texts in members.items():
            for first in range(0, len(texts), self.rows):
                yield Batch(texts[first : first + self.rows], self.rows, length)


@dataclass(frozen=True, slots=True)
class SharedShapes:
    """Texts of about the same length, padded to the longest of them."""

    rows: int
    tokens: int

    def batches(self, lengths: Sequence[int], limit: int) -> Iterator[Batch]:
        for texts in plan_batches(lengths, max_items=self.rows, max_tokens=self.tokens):
            yield Batch(texts, len(texts), lengths[texts[-1]])


class SentenceTransformersEngine:
    def __init__(self, model: Any, identity: EngineIdentity, *, normalize: bool, shapes: Shapes, threads: int) -> None:
        """`threads`: how many compute a vector on a CPU."""
        self.identity = identity
        self._model = model
        self._normalize = normalize
        self._shapes = shapes
        self.threads = threads

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        torch.set_num_threads(self.threads)  # each thread that calls has a number of its own
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        with memory_permitting(NAME):
            for batch in self._shapes.batches([self._length(text) for text in texts], self.identity.max_tokens):
                vectors[batch.texts] = self._encode([texts[i] for i in batch.texts], batch)
        return vectors

    def _length(self, text: str) -> int:
        return len(self._model.tokenizer(text, truncation=True, max_length=self.identity.max_tokens)["input_ids"])

    def _encode(self, texts: list[str], batch: Batch) -> NDArray[np.float32]:
        import torch

        filled = texts + [""] * (batch.rows - len(texts))
        tokens = self._model.tokenizer(
            filled, padding="max_length", truncation=True, max_length=batch.length, return_tensors="pt"
        )
        with torch.inference_mode():
            output = self._model({name: tensor.to(self._model.device) for name, tensor in tokens.items()})
            vectors = output["sentence_embedding"].float()
            if self._normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            made: NDArray[np.float32] = vectors[: len(texts)].cpu().numpy()
        return made


def identify(config: EmbeddingConfig) -> EngineIdentity:
    model = find_model(config)
    return EngineIdentity(
        name=NAME,
        weights=model.weights(),
        tokenizer=model.digest("tokenizer.json"),
        dimension=model.dimension(),
        max_tokens=model.max_tokens(),
    )


def load(config: EmbeddingConfig) -> SentenceTransformersEngine:
    identity = identify(config)
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        transformers: Any = import_module("transformers")
    except ImportError:
        raise Permanent("engine.missing", name=NAME, what="torch and sentence-transformers") from None
    transformers.utils.logging.disable_progress_bar()
    found = find_model(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # trust_remote_code stays off: a model is data, never a program
    with memory_permitting(NAME):
        model = SentenceTransformer(found.repository, device=device, revision=found.revision)
    model.eval()
    if model.get_embedding_dimension() != identity.dimension:
        raise Permanent("engine.weights", name=NAME)
    on_cpu = device == "cpu"
    if not config.deterministic:
        shapes: Shapes = SharedShapes(MOST_ROWS, MOST_TOKENS)
    else:
        shapes = OwnShapes(1, 1) if on_cpu else OwnShapes(ROWS, PADDED_TO)
    threads = 1 if config.deterministic and on_cpu else (os.cpu_count() or 1)
    return SentenceTransformersEngine(model, identity, normalize=config.normalize, shapes=shapes, threads=threads)
