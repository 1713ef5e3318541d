"""What waits for the engine, and what it gets next. Pure: the time is an argument.

Requests are served in turns: each gives one item to the batch, the oldest first, then each a second one, and so on. So
a request of a thousand items never holds up one of a single item.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

T = TypeVar("T")

NEWEST: Final = 0.3
"""Weight of the newest measurement in a pace: the last three or four decide it."""
UNKNOWN_SECONDS: Final = 1.0
"""What is told before anything was measured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Costs are in one unit, whichever the service counts in: tokens, or bytes of pixels."""

    batch_cost: int
    """Of what the engine gets at a time, unless a single item costs more."""
    batch_items: int
    waiting_cost: int
    """Of what may wait; a request of its own may cost more if nothing else waits."""
    linger: float = 0.0
    """Seconds that a batch which is not full waits for company, from its oldest request on."""


@dataclass(eq=False, slots=True)
class Request(Generic[T]):
    """What one caller waits for. `items` are those that no batch took yet, each with its cost, in order."""

    items: deque[tuple[T, int]]
    arrived: float
    most: int
    """Items of it in one batch at most."""
    cost: int = field(init=False)
    """Of `items`."""

    def __post_init__(self) -> None:
        self.cost = sum(cost for _, cost in self.items)


class Queue(Generic[T]):
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: dict[Request[T], None] = {}
        self._cost = 0

    @property
    def cost(self) -> int:
        """Of all that waits."""
        return self._cost

    def add(self, request: Request[T], *, urgent: bool = False) -> bool:
        """Lets a request wait, an urgent one before all others. False where there is no room for it."""
        if self._requests and not urgent and self._cost + request.cost > self._limits.waiting_cost:
            return False
        self._requests = {request: None} | self._requests if urgent else self._requests | {request: None}
        self._cost += request.cost
        return True

    def discard(self, request: Request[T]) -> None:
        """What waits of it, if anything, waits no more."""
        if request in self._requests:
            del self._requests[request]
            self._cost -= request.cost

    def due(self) -> float | None:
        """From when on the next batch is to be taken; None while nothing waits."""
        if not self._requests:
            return None
        oldest = min(request.arrived for request in self._requests)
        return oldest if self._is_full() else oldest + self._limits.linger

    def take(self) -> list[tuple[Request[T], T]]:
        """The next batch; nothing where nothing waits. It ends before the first item that would make it too large."""
        batch: list[tuple[Request[T], T]] = []
        cost = 0
        for request, item, its_cost in self._in_turns():
            full = len(batch) == self._limits.batch_items or cost + its_cost > self._limits.batch_cost
            if batch and full:
                break
            batch.append((request, item))
            cost += its_cost
        self._remove(request for request, _ in batch)
        return batch

    def _is_full(self) -> bool:
        items = sum(len(request.items) for request in self._requests)
        return self._cost >= self._limits.batch_cost or items >= self._limits.batch_items

    def _in_turns(self) -> Iterable[tuple[Request[T], T, int]]:
        """Each request's first item, then each one's second, as many as it may give to one batch."""
        turns = [(request, islice([*request.items], request.most)) for request in self._requests]
        while turns:
            staying = []
            for request, items in turns:
                if (entry := next(items, None)) is not None:
                    yield request, *entry
                    staying.append((request, items))
            turns = staying

    def _remove(self, requests: Iterable[Request[T]]) -> None:
        """The first item of each; a request as often as it gave one."""
        for request in requests:
            _, cost = request.items.popleft()
            request.cost -= cost
            self._cost -= cost
            if not request.items:
                del self._requests[request]


class Pace:
    """How quick the engine has been of late."""

    def __init__(self) -> None:
        self._a_second: float | None = None

    def measured(self, cost: int, seconds: float) -> None:
        now = cost / max(seconds, 1e-6)
        self._a_second = now if self._a_second is None else NEWEST * now + (1 - NEWEST) * self._a_second

    def seconds(self, cost: int) -> float:
        """That work of this cost is likely to take."""
        return UNKNOWN_SECONDS if self._a_second is None else cost / self._a_second
