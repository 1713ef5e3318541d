"""Two rankings of passages, by words and by vectors, and how they become one.

Passages are numbered through all data layers. No score depends on where a passage lies: what is added is added in
the same order for each, and BLAS, which adds as it likes, only proposes. So the same documents give the same passages
in the same order, in one layer or in many.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FUSION_CONSTANT: Final = 60
"""k of reciprocal rank fusion, score = sum of 1/(k + rank): Cormack, Clarke, Buettcher, SIGIR 2009."""
CONTEXT_WEIGHT: Final = 0.5
"""BM25 weight of a match in the title or headings, against 1 in the passage itself."""
K1: Final = 1.2
B: Final = 0.75
"""BM25's parameters, as SQLite's FTS5 has them (ext/fts5/fts5_aux.c, fts5Bm25Function)."""
LEAST_IDF: Final = 1e-6
"""Of a word that stands in more than half of the passages; also FTS5's."""
_ROWS_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Postings:
    """Passages that hold a term, and how often, matches in the context counting CONTEXT_WEIGHT."""

    passages: NDArray[np.int64]
    frequencies: NDArray[np.float32]
    """Whole and half numbers, which float32 holds exactly."""
    distinct: bool
    """Whether each passage stands there once; else its frequencies add up."""


class WordRanking:
    """BM25 over all live passages: their number, document frequencies and average length are those of the whole.

    It works in its own arrays, since fresh ones of this size cost more than the sums. One thread at a time.
    """

    def __init__(self, lengths: NDArray[np.int64], live: NDArray[np.bool_]) -> None:
        """`lengths`: (passages,), in words. `live`: (passages,), False where a later layer hides the passage."""
        self._live = live
        self._count = int(np.count_nonzero(live))
        words = int(lengths[live].sum())
        average = words / self._count if words else 1.0
        self._damping = K1 * (1 - B + B * lengths / average)
        self._frequency, self._share = np.zeros(len(live)), np.zeros(len(live))
        self._holding = np.zeros(len(live), np.bool_)

    def scores(self, terms: Iterable[Sequence[Postings]]) -> NDArray[np.float64]:
        """float64 (passages,); 0 where no term is held. Hidden passages have scores too, but count for nothing.

        The sum over the terms of idf * (k1 + 1) * f / (f + k1 * (1 - b + b * length / average)), in their order.
        A term has its postings in one or several pieces.
        """
        scores = np.zeros(len(self._live))
        for postings in terms:
            if postings:
                self._gather(postings)
                np.add(self._frequency, self._damping, out=self._share)
                np.divide(self._frequency, self._share, out=self._share)
                np.multiply(self._share, self._idf() * (K1 + 1), out=self._share)
                np.add(scores, self._share, out=scores)
        return scores

    def _gather(self, postings: Sequence[Postings]) -> None:
        self._frequency.fill(0)
        for piece in postings:
            if piece.distinct:
                self._frequency[piece.passages] = piece.frequencies
            else:
                np.add.at(self._frequency, piece.passages, piece.frequencies)

    def _idf(self) -> float:
        np.greater(self._frequency, 0, out=self._holding)
        np.logical_and(self._holding, self._live, out=self._holding)
        holding = int(np.count_nonzero(self._holding))
        return max(math.log((self._count - holding + 0.5) / (holding + 0.5)), LEAST_IDF)


def similarity_error(dimension: int) -> float:
    """How far a cosine computed in float32, in any order of summing, lies from the true one at most.

    Of n products each of relative error u = 2**-24 the sum errs by at most n * u / (1 - n * u) of the lengths' product
    (Higham, Accuracy and Stability of Numerical Algorithms, 3.1); the length, a root, by half of that. Rounded up.
    """
    return (2 * dimension + 16) * 2.0**-24


def exact_similarities(rows: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (rows,): each row's cosine to the vector, which a row's place among the others does not change.

    The products of two float32 numbers are exact in float64; they are added by halving, always in the same order.
    """
    found = np.empty(len(rows))
    wide = vector.astype(np.float64)
    length = math.sqrt(_sums(wide[np.newaxis] ** 2)[0]) or 1.0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
        lengths = np.sqrt(_sums(block * block))
        lengths[lengths == 0] = 1.0
        found[start : start + _ROWS_AT_ONCE] = _sums(block * wide) / lengths / length
    return found


def _sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row: its second half is added to its first, until one number is left."""
    while rows.shape[1] > 1:
        half = (rows.shape[1] + 1) // 2
        added = rows[:, :half].copy()
        added[:, : rows.shape[1] - half] += rows[:, half:]
        rows = added
    return rows[:, 0]


@dataclass(frozen=True, slots=True)
class Measured:
    """Vectors with their lengths."""

    vectors: NDArray[np.float32]
    """(rows, dimension)"""
    lengths: NDArray[np.float32]
    """(rows,); 1 where it is zero."""

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> "Measured":
        lengths: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        lengths[lengths == 0] = 1.0
        return cls(vectors, lengths)

    def similarities(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (rows,): cosines to a vector of length 1, within `similarity_error`."""
        found: NDArray[np.float32] = self.vectors @ unit
        found /= self.lengths
        return found


def best(
    passages: NDArray[np.int64], scores: NDArray[np.float64], order: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """The `count` of `passages` with the highest scores, best first; equals by their document's `order`, then number.

    `scores` and `order`: one a passage of `passages`.
    """
    if len(passages) > count:
        last = np.partition(scores, len(scores) - count)[len(scores) - count]
        kept = scores >= last
        passages, scores, order = passages[kept], scores[kept], order[kept]
    return passages[np.lexsort((passages, order, -scores))[:count]]


def fuse(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """Passages with their scores, best first. Of equals, the one met first in the rankings' order comes first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            scores[passage] = scores.get(passage, 0.0) + 1.0 / (FUSION_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: -item[1])
