"""Passages that nearly repeat others: which of them stands for all, and is searched.

A layer says of each passage which earlier one of its own it repeats. Of those that say the same, with that one itself,
the first that is live stands for the others; should an update hide it, the next one does.
"""

import numpy as np
from numpy.typing import NDArray


class Folds:
    def __init__(self, folded: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """`folded`: (passages,), the passage that each repeats, or itself. `places`: (passages,), where its document
        stands in order; below 0 where it is not live.
        """
        self.searched = np.ones(len(folded), np.bool_)
        """bool (passages,): False for what is folded into another. Of a document that is not live it says nothing."""
        self._into: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        roots = np.zeros(len(folded), np.bool_)
        roots[folded[folded != np.arange(len(folded))]] = True
        alike = np.flatnonzero(roots[folded] & (places >= 0))
        alike = alike[np.lexsort((alike, places[alike], folded[alike]))]
        groups = np.split(alike, np.flatnonzero(np.diff(folded[alike])) + 1)
        for first, *others in (group.tolist() for group in groups if len(group)):
            self._into.update(dict.fromkeys(others, first))
            if others:
                self._counts[first] = len(others)
        self.searched[list(self._into)] = False

    def into(self, passage: int) -> int | None:
        """The passage that it is folded into, if it is."""
        return self._into.get(passage)

    def folded_into(self, passage: int) -> int:
        """How many are folded into it."""
        return self._counts.get(passage, 0)
