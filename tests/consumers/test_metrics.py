"""What a worker tells Prometheus beside what its delivery counts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from consumers.runtime.announcing import announce_completed, keep_sweeping
from consumers.runtime.health import Health, health_app
from consumers.runtime.metrics import ChoreMetrics, Metrics
from infra.ledger import NewDocument, NewJob, Outcome
from tests.consumers.flow import NOW, Flow, open_flow, with_ledger


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    async with AsyncExitStack() as stack:
        yield await open_flow(stack)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_each_reason_to_wait_is_told_by_its_code_and_taken_back() -> None:
    metrics = Metrics("chunk")

    def waits() -> list[float | None]:
        codes = ("dependency.away", "delivery.storm")
        return [value(metrics.registry, "cradle_waiting", stage="chunk", code=code) for code in codes]

    assert waits() == [None, None]
    metrics.wait_for({"dependency.away"})
    assert waits() == [1.0, None]
    metrics.wait_for({"delivery.storm"})
    assert waits() == [0.0, 1.0]
    metrics.wait_for(())
    assert waits() == [0.0, 0.0]


def test_the_part_of_the_stuck_time_is_told_as_it_stands_at_each_look() -> None:
    metrics, health = Metrics("chunk"), Health("chunk", 100.0)
    with TestClient(health_app(health, metrics)):
        health.last_beat = time.monotonic() - 75
        assert value(metrics.registry, "cradle_stuck_used", stage="chunk") == pytest.approx(0.75, abs=0.05)
        health.beat()
        assert value(metrics.registry, "cradle_stuck_used", stage="chunk") == pytest.approx(0.0, abs=0.05)


def test_a_worker_tells_when_it_began() -> None:
    before = time.time()
    told = value(Metrics("chunk").registry, "cradle_started_seconds", stage="chunk")
    assert told is not None
    assert before <= told <= time.time()


async def test_the_outbox_is_told_with_what_stays_in_it(flow: Flow) -> None:
    chores = ChoreMetrics(registry := CollectorRegistry())
    assert value(registry, "cradle_outbox") == 0.0
    keyless = uuid4()
    ledger = flow.runtime.ports.ledger
    await ledger.open_job(
        NewJob(id=keyless, customer="acme", reference="k", parameters=1, fingerprint="f", opened_at=NOW)
    )
    met = Outcome(uuid4(), keyless, None, documents=(NewDocument("d" * 32, b"sealed"),), manifest=1)
    await ledger.record("admit", [met], now=NOW - timedelta(hours=1))
    await announce_completed(flow.runtime, chores.outbox.set)
    assert value(registry, "cradle_outbox") == 1.0
    await flow.runtime.keys.create(keyless)
    await announce_completed(flow.runtime, chores.outbox.set)
    assert value(registry, "cradle_outbox") == 0.0


@pytest.mark.parametrize("erasable", [True, False])
async def test_a_sweep_that_leaves_a_job_behind_is_not_done(flow: Flow, erasable: bool) -> None:
    await flow.open_job()
    looked = asyncio.Event()

    async def due(**_: Any) -> Any:
        if swept:
            looked.set()
        swept.append(1)
        return [flow.job] if erasable else [uuid4()]  # which no ledger knows

    swept: list[int] = []
    known = flow.runtime.ports.ledger
    ledger = SimpleNamespace(due_for_erasure=due, job=known.job, erased=known.erased)
    options = replace(flow.runtime.options, sweep_seconds=0)
    runtime = replace(with_ledger(flow.runtime, cast(Any, ledger)), options=options)
    done: list[int] = []
    task = asyncio.create_task(keep_sweeping(runtime, done=lambda: done.append(1)))
    async with asyncio.timeout(10):
        await looked.wait()
    task.cancel()
    assert bool(done) is erasable
