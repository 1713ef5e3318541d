"""The documents of several data layers: which of them are live, how they stand in order, which a filter admits.

Documents are numbered through all layers.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from appliance.layer import Entry, Layer


@dataclass(frozen=True, slots=True)
class Filter:
    """What a document has to be. Dates are inclusive, `2026-01-31`; a document without one fails both."""

    document: str | None = None
    """A path; one that ends in '/' stands for all within it."""
    language: str | None = None
    since: str | None = None
    until: str | None = None

    def admits(self, entry: Entry) -> bool:
        return (
            self._admits_path(entry.path)
            and self.language in (None, entry.language)
            and (self.since is None or (entry.date is not None and entry.date >= self.since))
            and (self.until is None or (entry.date is not None and entry.date <= self.until))
        )

    def _admits_path(self, path: str) -> bool:
        if self.document is None:
            return True
        return path.startswith(self.document) if self.document.endswith("/") else path == self.document


class Catalogue:
    def __init__(self, layers: Sequence[Layer]) -> None:
        """`layers`: the oldest first."""
        self.entries = [entry for layer in layers for entry in layer.entries]
        self.live = _live(layers)
        """bool (documents,): whether no layer above hides it."""
        self.numbers: list[int] = sorted(np.flatnonzero(self.live).tolist(), key=self._place)
        """The live documents, by path's bytes and SHA-256: the order of one full bake."""
        self.order = np.full(len(self.entries), -1, np.int64)
        """int64 (documents,): where each stands in it; -1 if it is hidden."""
        self.order[self.numbers] = np.arange(len(self.numbers))
        self._paths = [self.entries[number].path.encode() for number in self.numbers]

    def admitted(self, wanted: Filter) -> NDArray[np.bool_]:
        """bool (documents,)"""
        return np.fromiter(map(wanted.admits, self.entries), np.bool_, len(self.entries))

    def named(self, path: str) -> Iterator[int]:
        """The live documents of that path, by SHA-256."""
        begin = bisect_left(self._paths, path.encode())
        return takewhile(lambda number: self.entries[number].path == path, self.numbers[begin:])

    def listed(self, wanted: Filter, after: str | None) -> Iterator[int]:
        """The live documents that a filter admits, in order, from behind the path `after`."""
        begin = 0 if after is None else bisect_right(self._paths, after.encode())
        return (number for number in self.numbers[begin:] if wanted.admits(self.entries[number]))

    def _place(self, number: int) -> tuple[bytes, str]:
        entry = self.entries[number]
        return entry.path.encode(), entry.sha256


def _live(layers: Sequence[Layer]) -> NDArray[np.bool_]:
    hidden: set[str] = set()
    live: list[bool] = []
    for layer in reversed(layers):
        live[:0] = [hidden.isdisjoint(_names(entry.path)) if hidden else True for entry in layer.entries]
        hidden.update(layer.hidden)
    return np.array(live, np.bool_)


def _names(path: str) -> Iterator[str]:
    """Whatever hides a path: itself, the archives that it came out of, the folders that it lies in."""
    yield path
    for slash in re.finditer("/", path):
        yield path[: slash.end()]
        if path[: slash.start()].endswith("!"):
            yield path[: slash.start() - 1]
