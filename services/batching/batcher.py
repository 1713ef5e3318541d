"""One engine for all callers: batches what waits, and hands each caller its own results or its own error."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, TypeVar

from engines.batching import plan_batches
from schemas.errors import CradleError, Permanent, Retryable
from services.batching.queue import Limits, Pace, Queue, Request

T = TypeVar("T")
R = TypeVar("R")

LONGEST_RETRY: Final = 60
"""Seconds that a caller is told to stay away at most: what was waiting may be dropped long before."""


class Full(Retryable):
    """`service.full`, with the whole seconds after which there is likely to be room."""

    def __init__(self, seconds: int) -> None:
        super().__init__("service.full", seconds=seconds)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    what: T
    number: int
    """Which of its request's it is."""
    cost: int


class _Pending(Generic[R]):
    """The results of one request, as far as they are there."""

    def __init__(self, items: int) -> None:
        self.whole: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._results: dict[int, R] = {}
        self._items = items

    def take(self, number: int, result: R | CradleError) -> None:
        if isinstance(result, CradleError):
            self.fail(result)
            return
        self._results[number] = result
        if len(self._results) == self._items and not self.whole.done():
            self.whole.set_result([self._results[one] for one in range(self._items)])

    def fail(self, error: CradleError) -> None:
        if not self.whole.done():
            self.whole.set_exception(error)
            self.whole.exception()  # seen: its caller may have gone, and then nobody is to log it


class Batcher(Generic[T, R]):
    """Runs while its block lasts. At its end those who still wait get Retryable `service.stopping`."""

    def __init__(
        self,
        compute: Callable[[Sequence[T]], Awaitable[Sequence[R | CradleError]]],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compute` gives a result, or an error of its own, for each item. It may raise: a CradleError says that no
        item is to blame, and all of them get it; whatever else it raises is put down to single items, by halving."""
        self._compute = compute
        self._limits = limits
        self._queue: Queue[_Item[T]] = Queue(limits)
        self._pending: dict[Request[_Item[T]], _Pending[R]] = {}
        self._pace = Pace()
        self._clock = clock
        self._in_hand = 0
        self._arrived = asyncio.Event()
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    @property
    def retry_after(self) -> int:
        """Whole seconds after which what waits now is likely to be done."""
        seconds = self._pace.seconds(self._queue.cost + self._in_hand)
        return min(LONGEST_RETRY, max(1, math.ceil(seconds)))

    async def __aenter__(self) -> "Batcher[T, R]":
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._stopping = True
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        for pending in self._pending.values():
            pending.fail(Retryable("service.stopping"))

    async def submit(
        self, items: Sequence[tuple[T, int]], *, seconds: float, most: int | None = None, urgent: bool = False
    ) -> list[R]:
        """The result of each item, in order; an item is given with its cost. `most` of them share a batch at most.

        Cancelling drops what no batch took yet. Raises Retryable `service.full`, `service.late` after `seconds`,
        `service.stopping`; the error of its first bad item; or what all of a batch got.
        """
        if not items:
            return []
        if self._stopping:
            raise Retryable("service.stopping")
        request = Request(
            items=deque((_Item(what, number, cost), cost) for number, (what, cost) in enumerate(items)),
            arrived=self._clock(),
            most=most or self._limits.batch_items,
        )
        if not self._queue.add(request, urgent=urgent):
            raise Full(self.retry_after)
        self._pending[request] = pending = _Pending[R](len(items))
        self._arrived.set()
        try:
            async with asyncio.timeout(seconds):
                return await pending.whole
        except TimeoutError:
            raise Retryable("service.late", seconds=seconds) from None
        finally:
            del self._pending[request]
            self._queue.discard(request)

    async def _run(self) -> None:
        while True:
            await self._until_due()
            taken = self._queue.take()
            costs = [item.cost for _, item in taken]
            self._in_hand = sum(costs)
            for group in plan_batches(costs, max_items=len(costs), max_tokens=self._limits.batch_cost):
                await self._serve([taken[index] for index in sorted(group)])
                self._in_hand -= sum(costs[index] for index in group)
            self._in_hand = 0

    async def _until_due(self) -> None:
        while (due := self._queue.due()) is None or due > self._clock():
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else due - self._clock()):
                    await self._arrived.wait()

    async def _serve(self, taken: Sequence[tuple[Request[_Item[T]], _Item[T]]]) -> None:
        """Computes what somebody still waits for."""
        wanted = [(request, item) for request, item in taken if request in self._pending]
        if not wanted:
            return
        begun = self._clock()
        results = await self._isolated([item.what for _, item in wanted])
        self._pace.measured(sum(item.cost for _, item in wanted), self._clock() - begun)
        for (request, item), result in zip(wanted, results, strict=True):
            if request in self._pending:
                self._pending[request].take(item.number, result)

    async def _isolated(self, items: Sequence[T]) -> list[R | CradleError]:
        """A result or an error for each; one that the engine fails on is found by halving."""
        try:
            results = list(await self._compute(items))
            if len(results) == len(items):
                return results
            raise ValueError("the engine made more or fewer results than it got inputs")
        except CradleError as error:
            return [error] * len(items)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of a Rust library is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            if len(items) == 1:
                return [Permanent("service.input", kind=type(error).__name__)]
        middle = len(items) // 2
        return await self._isolated(items[:middle]) + await self._isolated(items[middle:])
