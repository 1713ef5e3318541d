"""Passages that nearly repeat an earlier one: boilerplate, the same page in many manuals.

Two passages are alike if at least ALIKE of the runs of three words that either has stand in both (the Jaccard
similarity of their sets), and if besides all words with a digit are the same, and their marks: what differs in a
number is no repetition. Passages of fewer than LEAST_WORDS words are never folded. Taken in the order of the image,
each is folded into the first one it is found alike to, that is not folded itself. So the order of arrival shows in
nothing.

Candidates are found by MinHash and banding (Broder, On the resemblance and containment of documents, 1997; Leskovec,
Rajaraman, Ullman, Mining of Massive Datasets, 3.4), and then compared word by word. Of two passages at ALIKE exactly,
1 - (1 - 0.9**6)**10 = 0.9995 of all pairs are found. Memory: 80 bytes a passage, and the words of a bounded number of
them. Time: linear in the passages but for sorting.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALIKE: Final = 0.9
LEAST_WORDS: Final = 8
RUN: Final = 3
"""Words of a run."""
BANDS: Final = 10
ROWS: Final = 6
"""Of a band: the smallest hashes that have to be the same."""
_PASSAGES_AT_ONCE: Final = 4096
_KEPT: Final = 4096
"""Passages whose runs are kept to be compared with; a few kilobytes each."""
_WORD: Final = re.compile(r"\w+")
_DIGIT: Final = re.compile(r"\d")
_HALF: Final = np.uint64(32)
_LOW: Final = np.uint64(2**32 - 1)
_NONE: Final = np.uint64(0)
"""In place of a band's hash, of a passage that is not folded."""

Hashes = NDArray[np.uint64]


class Folding:
    """Takes the passages in their order, then says which are folded."""

    def __init__(self) -> None:
        self._bands: list[Hashes] = []
        """uint64 (passages, BANDS) each."""
        self._latest: list[Hashes] = []

    def add(self, text: str, marks: Sequence[str] = ()) -> None:
        """The next passage."""
        self._latest.append(_bands(text, marks))
        if len(self._latest) == _PASSAGES_AT_ONCE:
            self._pack()

    def folded(self, text_of: Callable[[int], str]) -> list[tuple[int, int]]:
        """Each folded passage with the one that it is folded into, in order. Passages are numbered from 0."""
        self._pack()
        runs = _Kept(lambda number: _runs(_words(text_of(number))))
        into: dict[int, int] = {}
        for number, candidates in self._candidates():
            for candidate in sorted({into.get(candidate, candidate) for candidate in candidates}):
                if _similarity(runs.of(number), runs.of(candidate)) >= ALIKE:
                    into[number] = candidate
                    break
        return list(into.items())

    def _pack(self) -> None:
        if self._latest:
            self._bands.append(np.stack(self._latest))
            self._latest.clear()

    def _candidates(self) -> Iterator[tuple[int, list[int]]]:
        """Passages with some that they may be alike to, in order: of each band that is the same, the first passage that
        has it and the latest. So there are few, however many passages are alike."""
        pairs = np.empty(0, np.uint64)
        for band in range(BANDS):
            hashes = np.concatenate([bands[:, band] for bands in self._bands] or [pairs])
            pairs = np.union1d(pairs, _pairs(hashes))
        numbers, candidates = (pairs >> _HALF).tolist(), (pairs & _LOW).tolist()
        for number, group in groupby(zip(numbers, candidates, strict=True), key=itemgetter(0)):
            yield number, [candidate for _, candidate in group]


def _pairs(hashes: Hashes) -> Hashes:
    """Each passage's number, then a candidate's, in one: 32 bits each."""
    order = np.argsort(hashes, kind="stable").astype(np.uint64)
    ordered = hashes[order]
    repeats = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != _NONE)) + 1
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    first = begins[np.searchsorted(begins, repeats, "right") - 1] if len(repeats) else repeats
    return np.concatenate([order[repeats] << _HALF | order[earlier] for earlier in (first, repeats - 1)])


class _Kept:
    """The runs of the passages that were compared last."""

    def __init__(self, make: Callable[[int], Hashes]) -> None:
        self._make = make
        self._runs: OrderedDict[int, Hashes] = OrderedDict()

    def of(self, number: int) -> Hashes:
        if number not in self._runs:
            self._runs[number] = self._make(number)
            if len(self._runs) > _KEPT:
                self._runs.popitem(last=False)
        self._runs.move_to_end(number)
        return self._runs[number]


def _similarity(one: Hashes, other: Hashes) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def _bands(text: str, marks: Sequence[str]) -> Hashes:
    """uint64 (BANDS,)"""
    words = _words(text)
    if len(words) < LEAST_WORDS:
        return np.full(BANDS, _NONE)
    least = (_runs(words)[:, np.newaxis] * _FACTORS + _SUMMANDS).min(axis=0).reshape(BANDS, ROWS)
    numbers = sorted({word for word in words if _DIGIT.search(word)})
    seed = np.full(BANDS, _hash("\0".join(("\1".join(marks), *numbers))), np.uint64)
    for row in range(ROWS):
        seed = _mixed(seed + least[:, row])
    return np.maximum(seed, _NONE + np.uint64(1))


def _runs(words: Sequence[str]) -> Hashes:
    """Of the runs of RUN words, each once, rising."""
    hashes = np.array([_hash(word) for word in words], np.uint64)
    mixed = np.zeros(len(words) - RUN + 1, np.uint64)
    for place in range(RUN):
        mixed = _mixed(mixed + hashes[place : len(words) - RUN + 1 + place])
    return np.unique(mixed)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


@lru_cache(maxsize=65_536)
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(numbers: Hashes) -> Hashes:
    """Each spread over all 64 bits: the finishing step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


_STEPS: Final = _mixed(np.arange(1, 2 * BANDS * ROWS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
_FACTORS: Final = _STEPS[: BANDS * ROWS] | np.uint64(1)
_SUMMANDS: Final = _STEPS[BANDS * ROWS :]
"""60 hash functions, always the same: x -> factor * x + summand, modulo 2**64."""
