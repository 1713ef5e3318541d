"""An engine is loaded once for all who wait, and is gone once nobody needs it."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from schemas.errors import CradleError, Permanent, Retryable
from services.health import FRESH_SECONDS, Health
from services.residence import PAUSE, Residence


class Engine:
    pass


class Loading:
    def __init__(self) -> None:
        self.times = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def __call__(self) -> Engine:
        self.times += 1
        assert self.may_end.wait(20)
        if self.error:
            raise self.error
        return Engine()


async def used(residence: Residence[Engine]) -> int:
    async with residence.use() as engine:
        return id(engine)


async def test_a_hundred_first_calls_load_once() -> None:
    loading = Loading()
    loading.may_end.clear()
    residence = Residence[Engine](loading, idle_seconds=0)
    calls = [asyncio.create_task(used(residence)) for _ in range(100)]
    await asyncio.sleep(0)
    assert not residence.loaded
    loading.may_end.set()
    assert len({*await asyncio.gather(*calls)}) == 1
    assert loading.times == 1


async def test_who_leaves_while_it_is_loaded_does_not_take_it_from_the_others() -> None:
    loading = Loading()
    loading.may_end.clear()
    residence = Residence[Engine](loading, idle_seconds=0)
    first, second = asyncio.create_task(used(residence)), asyncio.create_task(used(residence))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    loading.may_end.set()
    assert await second
    assert loading.times == 1


async def test_it_is_unloaded_once_nobody_used_it_for_a_while() -> None:
    loading = Loading()
    residence = Residence[Engine](loading, idle_seconds=0.02)
    async with residence.use() as engine:
        gone = weakref.ref(engine)
        del engine
        await asyncio.sleep(0.05)
        assert residence.loaded
    deadline = time.monotonic() + 20
    while residence.loaded:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    gc.collect()
    assert gone() is None
    await used(residence)
    assert loading.times == 2
    residence.unload()


async def test_one_that_was_loaded_after_all_who_wanted_it_left_is_unloaded_too() -> None:
    loading = Loading()
    loading.may_end.clear()
    residence = Residence[Engine](loading, idle_seconds=0.02)
    call = asyncio.create_task(used(residence))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.05)  # its alarm rings while it is loaded
    loading.may_end.set()
    deadline = time.monotonic() + 20
    while not residence.loaded:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    while residence.loaded:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_every_use_puts_the_unloading_off() -> None:
    residence = Residence[Engine](Loading(), idle_seconds=3600)
    await used(residence)
    async with residence.use():
        residence.unload()
        assert residence.loaded
    residence.unload()
    assert not residence.loaded


@pytest.mark.parametrize(
    ("error", "code"),
    [(Permanent("engine.weights", name="x"), "engine.weights"), (OSError("secret"), "service.engine")],
)
async def test_a_load_that_failed_is_told_to_all_and_tried_again_after_a_pause(error: Exception, code: str) -> None:
    now = 0.0
    loading = Loading()
    loading.error = error
    residence = Residence[Engine](loading, idle_seconds=0, clock=lambda: now)
    answers = await asyncio.gather(*(used(residence) for _ in range(10)), return_exceptions=True)
    assert {getattr(answer, "code", None) for answer in answers} == {code}
    assert not any("secret" in str(answer) for answer in answers)
    with pytest.raises(CradleError):
        await used(residence)
    assert loading.times == 1
    now, loading.error = PAUSE, None
    assert await used(residence)
    assert loading.times == 2


class Attempts:
    def __init__(self) -> None:
        self.times = 0
        self.error: CradleError | None = None
        self.loaded = True

    async def __call__(self) -> None:
        self.times += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error


async def test_many_who_ask_for_health_are_told_of_one_attempt() -> None:
    now = 0.0
    attempts = Attempts()
    health = Health(attempts, lambda: attempts.loaded, clock=lambda: now)
    await asyncio.gather(*(health.check() for _ in range(50)))
    assert attempts.times == 1
    now = FRESH_SECONDS
    await health.check()
    assert attempts.times == 2


async def test_health_turns_bad_and_good_with_the_engine() -> None:
    now = 0.0
    attempts = Attempts()
    health = Health(attempts, lambda: attempts.loaded, clock=lambda: now)
    await health.check()
    attempts.error = Permanent("engine.weights", name="x")
    now = FRESH_SECONDS
    with pytest.raises(Retryable, match=r"engine\.weights"):
        await health.check()
    now = FRESH_SECONDS + 1
    with pytest.raises(Retryable, match=r"engine\.weights"):
        await health.check()
    assert attempts.times == 2
    now, attempts.error = 3 * FRESH_SECONDS, None
    await health.check()


async def test_an_engine_that_was_well_and_rests_is_not_loaded_for_its_health() -> None:
    now = 0.0
    attempts = Attempts()
    health = Health(attempts, lambda: attempts.loaded, clock=lambda: now)
    await health.check()
    attempts.loaded, now = False, 1000.0
    await health.check()
    assert attempts.times == 1
