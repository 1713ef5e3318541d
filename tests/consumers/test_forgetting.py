"""The ledger forgets erased jobs, and no sooner than the topics do."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.runtime import Options
from consumers.runtime.forgetting import keep_forgetting
from infra.ledger import JobState
from operations.forgetting import forget, kept_for
from operations.topics import wanted_topics
from schemas.errors import Permanent, Retryable
from schemas.topology import read_topology
from tests.consumers.flow import FLOW, NOW, STAGES, open_flow

TOPOLOGY = read_topology(FLOW, folders=set(STAGES))
LONGEST = timedelta(
    milliseconds=max(int(topic.config["retention.ms"]) for topic in wanted_topics(TOPOLOGY, replication=1).values())
)
"""Of every topic, those of dead letters as well."""


def test_no_job_is_forgotten_while_a_topic_may_keep_its_records() -> None:
    assert kept_for(timedelta(days=365), TOPOLOGY) == timedelta(days=365)
    assert kept_for(timedelta(seconds=1), TOPOLOGY) == LONGEST


async def test_a_job_is_forgotten_once_its_time_is_over() -> None:
    async with AsyncExitStack() as stack:
        flow = await open_flow(stack)
        await flow.open_job()
        ledger = flow.runtime.ports.ledger
        await ledger.erased(flow.job, now=NOW)

        async def at(later: timedelta) -> int:
            return await forget(timedelta(days=30), ledger=ledger, topology=TOPOLOGY, clock=lambda: NOW + later)

        assert await at(timedelta(days=30)) == 0
        assert (await flow.view()).state is JobState.ERASED
        assert await at(timedelta(days=30, seconds=1)) == 1
        with pytest.raises(Permanent) as unknown:
            await flow.view()
        assert unknown.value.code == "job.unknown"


async def test_it_goes_on_whatever_happens() -> None:
    calls = 0
    enough = asyncio.Event()

    async def broken(**_: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 4:
            enough.set()
        raise (Retryable("dependency.away", name="PostgreSQL") if calls % 2 else ValueError)

    async with AsyncExitStack() as stack:
        runtime = (await open_flow(stack)).runtime
        ports = replace(runtime.ports, ledger=SimpleNamespace(forget=broken))  # type: ignore[arg-type]
        failing = replace(runtime, ports=ports, options=Options(forget_after=timedelta(days=1)))
        task = asyncio.ensure_future(keep_forgetting(failing, every=0))
        async with asyncio.timeout(10):
            await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
