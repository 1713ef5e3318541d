"""The worker as a member of its group: slow work and restarts move no partition. On Apache Kafka, which decides it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from consumers.runtime import Done, Outcome, Received
from consumers.runtime.worker import Worker
from tests.consumers.test_worker import Bench, is_drained, opened_bench, until

pytestmark = pytest.mark.kafka

POLL_INTERVAL = 0.5
MEMBERS = 4


def generation(worker: Worker) -> int:
    """How often the group has shared out its partitions, as this member knows it."""
    return int(worker._consumer._coordinator.generation)


def partitions(worker: Worker) -> frozenset[int]:
    return frozenset(partition.partition for partition in worker._consumer.assignment())


async def until_shared_out(workers: Sequence[Worker]) -> None:
    """Until every member has one partition, no two the same, in one and the same generation."""

    def is_shared_out() -> bool:
        shares = [partitions(worker) for worker in workers]
        one_each = all(len(share) == 1 for share in shares) and len(set(shares)) == len(workers)
        return one_each and len(set(map(generation, workers))) == 1

    await until(is_shared_out)


async def test_work_of_ten_poll_intervals_costs_no_rebalance_and_no_second_delivery(kafka_url: str) -> None:
    deliveries: Counter[str] = Counter()

    async def slow(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            deliveries[one.message.document.path] += 1
            await asyncio.sleep(10 * POLL_INTERVAL)  # the work itself
            yield Done(one)

    async with opened_bench(kafka_url, partitions=2) as bench, AsyncExitStack() as stack:
        workers = [bench.worker(slow, poll_interval=POLL_INTERVAL) for _ in range(2)]
        for worker in workers:
            await worker.start()
            stack.push_async_callback(worker.stop)
        await until_shared_out(workers)
        before = [(generation(worker), partitions(worker)) for worker in workers]
        await bench.publish(2)
        await until(lambda: is_drained(bench), seconds=60)
        assert [(generation(worker), partitions(worker)) for worker in workers] == before
    assert deliveries == {"0.txt": 1, "1.txt": 1}


@pytest.mark.parametrize("named", [True, False])
async def test_a_rolling_restart_moves_no_partition_of_members_with_names(kafka_url: str, named: bool) -> None:
    """Without names each restart shares out all partitions twice: when a member goes, and when it comes."""
    done: Counter[str] = Counter()

    async def note(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            done[one.message.document.path] += 1
            yield Done(one)

    async with opened_bench(kafka_url, partitions=MEMBERS) as bench, AsyncExitStack() as stack:

        def member(number: int) -> Worker:
            return bench.worker(note, instance=f"{bench.stage}-{number}" if named else None)

        workers = [member(number) for number in range(MEMBERS)]
        for worker in workers:
            await worker.start()
        stack.push_async_callback(lambda: asyncio.gather(*(worker.stop() for worker in workers)))
        await until_shared_out(workers)
        before = [(generation(worker), partitions(worker)) for worker in workers]
        for number in range(MEMBERS):
            await workers[number].stop()
            await publish_to(bench, number)
            workers[number] = member(number)
            await workers[number].start()
            await until(lambda number=number: partitions(workers[number]))  # type: ignore[misc]
        await until_shared_out(workers)
        await until(lambda: is_drained(bench))
        after = [(generation(worker), partitions(worker)) for worker in workers]
    if named:
        assert after == before
        assert set(done.values()) == {1}
    else:
        assert after[0][0] > before[0][0]
    assert len(done) == MEMBERS * 3


async def publish_to(bench: Bench, number: int) -> None:
    """Three messages with names of their own, while a member is away."""
    await bench.publish(3, first=10 * number)
