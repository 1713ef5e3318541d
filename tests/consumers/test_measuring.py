import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

from prometheus_client import CollectorRegistry

from consumers.runtime.measuring import keep_measuring
from infra.broker.memory import MemoryBroker
from tests.consumers.flow import open_flow


async def test_a_stages_lag_is_told_and_a_broker_that_is_away_ends_nothing() -> None:
    registry = CollectorRegistry()
    broker = MemoryBroker()
    await broker.create_topic("chunked", partitions=1, replication=1, config={})
    async with AsyncExitStack() as stack:
        flow = await open_flow(stack)
        runtime = replace(flow.runtime, broker=cast(Any, broker))
        broker.away = True
        measuring = asyncio.create_task(keep_measuring("sink", registry, runtime, every=0.001))
        for away in (True, False):
            broker.away = away
            await asyncio.sleep(0.01)
            assert not measuring.done()
        async with asyncio.timeout(5):
            while behind(registry) is None:
                await asyncio.sleep(0.001)
        measuring.cancel()
    assert behind(registry) == 0.0


def behind(registry: CollectorRegistry) -> float | None:
    labels = {"stage": "sink", "topic": "chunked", "partition": "0"}
    return registry.get_sample_value("cradle_lag_records_behind", labels)
