"""One suite for every progress adapter: watchers wake at once, on a change, and by their period whatever happens."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import uuid4

import pytest

from infra.local.broker import EmbeddedBroker
from infra.progress import Progress, open_progress
from infra.progress.redis import TIMEOUT_SECONDS
from schemas.errors import CradleError, Retryable

LONG = 60.0
"""A period that no test waits for."""


@pytest.fixture(params=["memory", "embedded", pytest.param("redis", marks=pytest.mark.redis)])
async def progress(request: pytest.FixtureRequest, embedded_broker: EmbeddedBroker) -> AsyncIterator[Progress]:
    urls = {"memory": "memory:", "embedded": embedded_broker.progress_url}
    url = urls.get(request.param) or request.getfixturevalue("redis_url")
    async with open_progress(url) as opened:
        yield opened


@pytest.fixture
async def dead() -> AsyncIterator[Progress]:
    async with open_progress("redis://127.0.0.1:9/0") as opened:
        yield opened


async def next_of(watcher: AsyncIterator[None], seconds: float = 20) -> None:
    await asyncio.wait_for(anext(watcher), seconds)


async def test_a_watcher_wakes_at_once_and_on_each_change(progress: Progress) -> None:
    job = uuid4()
    async with aclosing(progress.watch(job, every=LONG)) as watcher:
        await next_of(watcher)
        for _ in range(3):
            await progress.changed(job)
            await next_of(watcher)


async def test_changes_while_the_watcher_is_busy_are_not_lost(progress: Progress) -> None:
    job = uuid4()
    async with aclosing(progress.watch(job, every=LONG)) as watcher:
        await next_of(watcher)
        for _ in range(5):
            await progress.changed(job)
        await next_of(watcher)


async def test_another_jobs_change_wakes_nobody(progress: Progress) -> None:
    async with aclosing(progress.watch(uuid4(), every=LONG)) as watcher:
        await next_of(watcher)
        waiting = asyncio.ensure_future(anext(watcher))
        await progress.changed(uuid4())
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_without_a_change_it_wakes_by_its_period(progress: Progress) -> None:
    async with aclosing(progress.watch(uuid4(), every=0.1)) as watcher:
        started = time.monotonic()
        for _ in range(4):
            await next_of(watcher)
        assert time.monotonic() - started >= 0.29


async def test_all_watchers_of_a_job_wake(progress: Progress) -> None:
    job = uuid4()
    async with aclosing(progress.watch(job, every=LONG)) as one, aclosing(progress.watch(job, every=LONG)) as two:
        for watcher in (one, two):
            await next_of(watcher)
        await progress.changed(job)
        for watcher in (one, two):
            await next_of(watcher)


async def test_it_answers(progress: Progress) -> None:
    await progress.ping()


async def test_a_dead_redis_never_raises_and_soon_costs_nothing(dead: Progress) -> None:
    await dead.changed(uuid4())
    started = time.monotonic()
    for _ in range(1000):
        await dead.changed(uuid4())
    assert time.monotonic() - started < TIMEOUT_SECONDS


async def test_under_a_dead_redis_watchers_wake_by_their_period(dead: Progress) -> None:
    async with aclosing(dead.watch(uuid4(), every=0.1)) as watcher:
        for _ in range(4):
            await next_of(watcher)


async def test_a_dead_redis_does_not_answer(dead: Progress) -> None:
    with pytest.raises(Retryable):
        await dead.ping()


async def test_a_redis_that_accepts_and_says_nothing_holds_nobody_up() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_progress(f"redis://127.0.0.1:{port}/0") as silent:
            await asyncio.wait_for(silent.changed(uuid4()), 5 * TIMEOUT_SECONDS)
            async with aclosing(silent.watch(uuid4(), every=0.1)) as watcher:
                await next_of(watcher, 5 * TIMEOUT_SECONDS)
                await next_of(watcher, 5 * TIMEOUT_SECONDS)


async def test_a_url_that_means_nothing_is_refused() -> None:
    with pytest.raises(CradleError) as error:
        async with open_progress("redis://127.0.0.1:not-a-port/0"):
            pass
    assert error.value.code == "settings.invalid"
