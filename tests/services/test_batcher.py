"""One engine for all callers, each with its own results and its own errors."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CradleError, Permanent, Retryable
from services.batching import Batcher, Full, Limits

LIMITS = Limits(batch_cost=8, batch_items=8, waiting_cost=64)


class Doubling:
    """An engine that doubles numbers, fails on a batch that holds a bad one, and can be held up."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        self.bad = bad
        self.batches: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.begun = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int | CradleError]:
        self.batches.append([*items])
        self.begun.set()
        await self.free.wait()
        if self.error:
            raise self.error
        if self.bad & {*items}:
            raise ValueError(f"secret {items}")
        return [2 * item for item in items]


def costed(*items: int) -> list[tuple[int, int]]:
    return [(item, 1) for item in items]


async def submitted(batcher: Batcher[int, int], *items: int, seconds: float = 30.0) -> list[int]:
    return await batcher.submit(costed(*items), seconds=seconds)


@given(
    requests=st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=7),
    bad=st.frozensets(st.integers(0, 9), max_size=3),
)
def test_each_caller_gets_its_own_in_order_and_only_the_owner_of_a_bad_item_an_error(
    requests: list[list[int]], bad: frozenset[int]
) -> None:
    async def all_at_once() -> list[list[int] | BaseException]:
        async with Batcher[int, int](Doubling(bad), LIMITS) as batcher:
            return await asyncio.gather(*(submitted(batcher, *one) for one in requests), return_exceptions=True)

    for items, answer in zip(requests, asyncio.run(all_at_once()), strict=True):
        if bad & {*items}:
            assert isinstance(answer, Permanent)
            assert answer.code == "service.input"
            assert "secret" not in str(answer)
        else:
            assert answer == [2 * item for item in items]


async def test_items_of_many_callers_share_batches() -> None:
    engine = Doubling()
    async with Batcher[int, int](engine, LIMITS) as batcher:
        await asyncio.gather(*(submitted(batcher, number) for number in range(64)))
    assert len(engine.batches) == 8
    assert sorted(item for batch in engine.batches for item in batch) == [*range(64)]


async def test_an_engine_s_own_error_is_put_down_to_no_item() -> None:
    engine = Doubling()
    engine.error = Retryable("engine.busy", name="x", what="memory")
    async with Batcher[int, int](engine, LIMITS) as batcher:
        answers = await asyncio.gather(*(submitted(batcher, one) for one in range(5)), return_exceptions=True)
    assert {getattr(answer, "code", None) for answer in answers} == {"engine.busy"}
    assert len(engine.batches) == 1


async def test_an_item_with_an_error_of_its_own_spares_the_others() -> None:
    async def compute(items: Sequence[int]) -> list[int | CradleError]:
        return [Permanent("engine.vectors", name="x", what="y") if item == 3 else item for item in items]

    async with Batcher[int, int](compute, LIMITS) as batcher:
        answers = await asyncio.gather(submitted(batcher, 1, 2), submitted(batcher, 3, 4), return_exceptions=True)
    assert answers[0] == [1, 2]
    assert getattr(answers[1], "code", None) == "engine.vectors"


async def test_what_a_caller_left_behind_is_not_computed() -> None:
    engine = Doubling()
    engine.free.clear()
    async with Batcher[int, int](engine, LIMITS) as batcher:
        first = asyncio.create_task(submitted(batcher, 1))
        await engine.begun.wait()
        leaving = asyncio.create_task(submitted(batcher, *range(20, 50)))
        staying = asyncio.create_task(submitted(batcher, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        engine.free.set()
        assert [*await asyncio.gather(first, staying)] == [[2], [4]]
    assert engine.batches == [[1], [2]]


async def test_who_waits_too_long_is_told_and_dropped() -> None:
    engine = Doubling()
    engine.free.clear()
    async with Batcher[int, int](engine, LIMITS) as batcher:
        first = asyncio.create_task(submitted(batcher, 1))
        await engine.begun.wait()
        with pytest.raises(Retryable) as late:
            await submitted(batcher, 2, seconds=0.01)
        engine.free.set()
        await first
        assert await submitted(batcher, 3) == [6]
    assert late.value.code == "service.late"
    assert engine.batches == [[1], [3]]


async def test_who_finds_no_room_is_told_when_to_come_back() -> None:
    engine = Doubling()
    now = 0.0
    async with Batcher[int, int](engine, Limits(4, 4, 8), clock=lambda: now) as batcher:
        engine.free.clear()
        measured = asyncio.create_task(submitted(batcher, *range(4)))
        await engine.begun.wait()
        now = 8.0  # four items took eight seconds
        engine.free.set()
        await measured
        engine.free.clear()
        engine.begun.clear()
        waiting = [asyncio.create_task(submitted(batcher, *range(4)))]
        await engine.begun.wait()
        waiting += [asyncio.create_task(submitted(batcher, *range(4))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full) as full:
            await submitted(batcher, 1)
        assert full.value.seconds == 24  # twelve items wait or are in hand
        engine.free.set()
        await asyncio.gather(*waiting)


async def test_at_the_end_whoever_waits_is_told() -> None:
    engine = Doubling()
    engine.free.clear()
    async with Batcher[int, int](engine, LIMITS) as batcher:
        waiting = [asyncio.create_task(submitted(batcher, number)) for number in range(3)]
        await engine.begun.wait()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {getattr(answer, "code", None) for answer in answers} == {"service.stopping"}
    with pytest.raises(Retryable, match="stopping"):
        await submitted(batcher, 1)


async def test_a_request_says_how_many_of_it_share_a_batch() -> None:
    engine = Doubling()
    async with Batcher[int, int](engine, LIMITS) as batcher:
        assert await batcher.submit(costed(*range(8)), seconds=30, most=3) == [2 * one for one in range(8)]
    assert [len(batch) for batch in engine.batches] == [3, 3, 2]


async def test_items_of_unlike_length_do_not_share_a_padded_batch() -> None:
    engine = Doubling()
    async with Batcher[int, int](engine, Limits(100, 100, 1000)) as batcher:
        assert await batcher.submit([(1, 60), (2, 5), (3, 5), (4, 5)], seconds=30) == [2, 4, 6, 8]
    assert engine.batches == [[2, 3, 4], [1]]


async def test_an_engine_that_loses_a_result_ends_nobody_else_s_wait() -> None:
    async def compute(items: Sequence[int]) -> list[int | CradleError]:
        return [item for item in items if item != 3]

    async with Batcher[int, int](compute, LIMITS) as batcher:
        answers = await asyncio.gather(submitted(batcher, 1, 2), submitted(batcher, 3), return_exceptions=True)
        assert answers[0] == [1, 2]
        assert getattr(answers[1], "code", None) == "service.input"
        assert await submitted(batcher, 4) == [4]
