"""The documents of several data layers: which of them are live, how they stand in order, which a filter admits.

Documents are numbered through all layers, and each of them is a name: the same bytes may lie under several.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

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


EVERYTHING: Final = Filter()


class Catalogue:
    """Documents of the same bytes are one document of several names. The first of them, through all layers, has the
    chunks of all; they are live while any of its names is."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        """`layers`: the oldest first. Raises ValueError: a name is of no document."""
        self.entries = [entry for layer in layers for entry in layer.entries]
        self.live = _live(layers)
        """bool (documents,): whether no layer above hides that name."""
        self.numbers: list[int] = sorted(np.flatnonzero(self.live).tolist(), key=self._place)
        """The live names, by path's bytes and SHA-256: the order of one full bake."""
        self.holder = _holders(self.entries)
        """int64 (documents,): the document that has the chunks of each."""
        self._names: defaultdict[int, list[int]] = defaultdict(list)
        for number in self.numbers:
            self._names[int(self.holder[number])].append(number)
        self.order = np.full(len(self.entries), -1, np.int64)
        """int64 (documents,): where the first live name of each holder stands among all names; else -1."""
        self.order[self.holder[self.numbers][::-1]] = np.arange(len(self.numbers))[::-1]  # the first is written last
        self._paths = [self.entries[number].path.encode() for number in self.numbers]

    @property
    def duplicates(self) -> int:
        """How many live names there are beyond the first of each document."""
        return len(self.numbers) - len(self._names)

    def admitted(self, wanted: Filter) -> NDArray[np.bool_]:
        """bool (documents,): whether it is a holder one of whose live names the filter admits."""
        admitted = np.zeros(len(self.entries), np.bool_)
        admitted[[self.holder[number] for number in self.numbers if wanted.admits(self.entries[number])]] = True
        return admitted

    def names(self, number: int) -> Sequence[int]:
        """All live names of the bytes that `number` has, in order."""
        return self._names.get(int(self.holder[number]), ())

    def shown(self, holder: int, wanted: Filter) -> int:
        """The live name that it is shown under: the first that the filter admits, if it admits any."""
        names = self.names(holder)
        return next((name for name in names if wanted.admits(self.entries[name])), names[0])

    def named(self, path: str) -> Iterator[int]:
        """The live documents of that path, by SHA-256."""
        begin = bisect_left(self._paths, path.encode())
        return takewhile(lambda number: self.entries[number].path == path, self.numbers[begin:])

    def listed(self, wanted: Filter, after: str | None) -> Iterator[int]:
        """The live names that a filter admits, in order, from behind the path `after`."""
        begin = 0 if after is None else bisect_right(self._paths, after.encode())
        return (number for number in self.numbers[begin:] if wanted.admits(self.entries[number]))

    def _place(self, number: int) -> tuple[bytes, str]:
        entry = self.entries[number]
        return entry.path.encode(), entry.sha256


def _holders(entries: Sequence[Entry]) -> NDArray[np.int64]:
    first: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        if entry.same_as is None:
            first.setdefault((entry.sha256, entry.media_type), number)
    try:
        return np.array([first[entry.sha256, entry.media_type] for entry in entries], np.int64)
    except KeyError:
        raise ValueError("a name is of no document") from None


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
