"""Many failures of one code: whether the cause must lie with us, and the stage should stop. Pure: time is told.

A wrong weight file or a bug fails every message alike. Left alone it would empty a topic into the dead letters; so past
a limit the next such failure is kept back, its message stays where it is, and the stage tries one message at a time
until one passes. Codes that a customer may rightly cause do not count (`storms` in the catalogue of errors).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeVar
from uuid import UUID

from schemas.errors import CATALOGUE

WINDOW_SECONDS = 60.0

Input = TypeVar("Input")


class Storms:
    """What one stage of one process has seen in the last minute. Times are seconds of any clock that only goes on."""

    def __init__(self, limit: int) -> None:
        """More than `limit` failures of one code within the window are a storm if they are more than half of all
        outcomes there. 0: there is none."""
        self._limit = limit
        self._failed: dict[UUID, tuple[float, str]] = {}
        """When and of what a message failed; once each, however often it is tried."""
        self._others: deque[tuple[float, int]] = deque()
        """Second, and how many outcomes of it were none of these failures."""
        self.code: str | None = None
        """Of the storm that has begun and not ended."""

    def holds_back(self, message: UUID, codes: Iterable[str], now: float) -> str | None:
        """Takes note of an outcome by the codes that it failed with, none if it passed. Returns the code of the storm
        that keeps it back: then it must not be recorded.

        One that passed ends the storm. What was counted stays, so the next failure begins it anew while the minute
        lasts, and no more than the limit become dead letters in it.
        """
        codes = [*codes]
        if not codes:
            self.code = None
        counting = [code for code in codes if CATALOGUE[code].storms]
        self._forget(now)
        if self._limit == 0:
            return None
        if not counting:
            self._note_other(now)
            return None
        code = counting[0]
        if self.code is None and self._is_storm(message, code):
            self.code = code
        if code == self.code:
            return code
        self._failed[message] = (now, code)
        return None

    def narrowed(self, inputs: Mapping[UUID, Input], chance: float) -> dict[UUID, Input]:
        """All inputs in calm; in a storm one of them, chosen by a `chance` from 0 to 1, since the same one again might
        be truly broken while all others would pass."""
        if self.code is None or not inputs:
            return dict(inputs)
        message = [*inputs][min(int(chance * len(inputs)), len(inputs) - 1)]
        return {message: inputs[message]}

    def _is_storm(self, message: UUID, code: str) -> bool:
        alike = len({message} | {known for known, (_, its_code) in self._failed.items() if its_code == code})
        outcomes = len({message, *self._failed}) + sum(count for _, count in self._others)
        return alike > self._limit and 2 * alike > outcomes

    def _note_other(self, now: float) -> None:
        second = float(int(now))
        count = self._others.pop()[1] if self._others and self._others[-1][0] == second else 0
        self._others.append((second, count + 1))

    def _forget(self, now: float) -> None:
        oldest = now - WINDOW_SECONDS
        while self._others and self._others[0][0] < oldest:
            self._others.popleft()
        for message in [known for known, (when, _) in self._failed.items() if when < oldest]:
            del self._failed[message]
