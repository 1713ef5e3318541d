"""Models of the sentence-transformers library, from a folder or a hub, on a GPU where there is one.

A matrix product rounds differently for matrices of other shapes. So that a vector never depends on what shares its
batch, the shape a text is computed in depends on that text alone: its length, padded to a multiple of PADDED_TO, and
always ROWS rows, the missing ones empty. On a CPU, where batches gain nothing, it is one row without padding, by one
thread: sums do not depend on how many cores there are, and more processes use more cores.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding import EngineIdentity
from engines.embedding.models import NAME, find_model
from schemas.errors import Permanent, Retryable
from schemas.parameters import EmbeddingConfig

ROWS: Final = 32
PADDED_TO: Final = 32


class SentenceTransformersEngine:
    def __init__(self, model: Any, identity: EngineIdentity, *, normalize: bool, rows: int, padded_to: int) -> None:
        self.identity = identity
        self._model = model
        self._normalize = normalize
        self._rows = rows
        self._padded_to = padded_to

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        for length, members in self._by_length(texts).items():
            for some in _batches(members, self._rows):
                vectors[some] = self._encode([texts[i] for i in some], length)
        return vectors

    def _by_length(self, texts: Sequence[str]) -> dict[int, list[int]]:
        """Padded length in tokens -> the texts of that length."""
        limit = self.identity.max_tokens
        found: dict[int, list[int]] = defaultdict(list)
        for i, text in enumerate(texts):
            tokens = len(self._model.tokenizer(text, truncation=True, max_length=limit)["input_ids"])
            padded = -(-tokens // self._padded_to) * self._padded_to
            found[min(padded, limit)].append(i)
        return found

    def _encode(self, texts: list[str], length: int) -> NDArray[np.float32]:
        import torch

        filled = texts + [""] * (self._rows - len(texts))
        tokens = self._model.tokenizer(
            filled, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        with _memory_permitting(), torch.inference_mode():
            output = self._model({name: tensor.to(self._model.device) for name, tensor in tokens.items()})
            vectors = output["sentence_embedding"].float()
            if self._normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            made: NDArray[np.float32] = vectors[: len(texts)].cpu().numpy()
        return made


@contextmanager
def _memory_permitting() -> Iterator[None]:
    """A GPU without room is one that others use too. Fewer rows at a time would need less, but round differently."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise Retryable("engine.busy", name=NAME, what="GPU memory") from error


def _batches(members: list[int], rows: int) -> Iterator[list[int]]:
    for first in range(0, len(members), rows):
        yield members[first : first + rows]


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
    except ImportError:
        raise Permanent("engine.missing", name=NAME, what="torch and sentence-transformers") from None
    found = find_model(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # trust_remote_code stays off: a model is data, never a program
    with _memory_permitting():
        model = SentenceTransformer(found.repository, device=device, revision=found.revision)
    model.eval()
    if model.get_embedding_dimension() != identity.dimension:
        raise Permanent("engine.weights", name=NAME)
    rows, padded_to = ROWS, PADDED_TO
    if device == "cpu":
        rows, padded_to = 1, 1
        torch.set_num_threads(1)
    return SentenceTransformersEngine(model, identity, normalize=config.normalize, rows=rows, padded_to=padded_to)
