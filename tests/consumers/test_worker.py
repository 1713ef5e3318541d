"""The worker on a real broker: what it commits, what it reads again, how it waits and how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.consumer import fetcher
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from starlette.testclient import TestClient

from consumers.runtime import Done, Failed, Handle, Held, Options, Outcome, Received
from consumers.runtime.health import health_app
from consumers.runtime.worker import Worker
from infra.broker import Broker, OutgoingRecord, open_broker
from schemas.errors import Permanent, Retryable
from schemas.topology import Stage, Topology
from tests.consumers.flow import Flow, document_message, open_flow


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker_url(request: pytest.FixtureRequest) -> str:
    fixture = "embedded_broker_url" if request.param == "embedded" else "kafka_url"
    return str(request.getfixturevalue(fixture))


@dataclass
class Bench:
    """One stage that reads one topic of its own, on a real broker; the ledger is in memory."""

    flow: Flow
    broker: Broker
    stage: str
    topic: str

    def worker(self, handle: Handle, **options: Any) -> Worker:
        runtime = replace(self.flow.runtime, options=Options(poll_wait=0.05, retry_seconds=(0.1, 0.2), **options))
        return Worker(self.stage, handle, runtime)

    async def publish(self, count: int, *, first: int = 0) -> None:
        for number in range(first, first + count):
            name = f"{number}.txt"
            await self.flow.publish(document_message(name), self.topic, document=document_message(name).document.id)
        await self.broker.publish(
            [replace_topic(record, self.topic) for record in self.flow.log.records.pop(self.topic)]
        )

    async def behind(self) -> int:
        return sum(lag.records_behind for lag in await self.broker.lag(self.stage, [self.topic]))


def replace_topic(record: Any, topic: str) -> Any:
    return OutgoingRecord(topic, record.key, record.value, record.headers)


@asynccontextmanager
async def opened_bench(url: str, *, partitions: int = 1) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        flow = await open_flow(stack)
        broker = await stack.enter_async_context(open_broker(url))
        name = uuid4().hex[:8]
        stage, topic = f"stage{name}", f"topic-{name}"
        topology = Topology(
            topics={topic: flow.topology.topics["chunk-ready"]},
            stages={stage: Stage(reads=(topic,), writes=(), version=1)},
        )
        flow.runtime = replace(flow.runtime, topology=topology, broker=broker, broker_url=url)
        await flow.open_job()
        for created in (topic, f"{topic}.dlq"):
            await broker.create_topic(created, partitions=partitions, replication=1, config={})
        yield Bench(flow, broker, stage, topic)


async def until(condition: Callable[[], Any], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not (await result if asyncio.iscoroutine(result := condition()) else result):
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.02)


async def never(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
    raise AssertionError("nothing is published")
    yield


async def is_drained(bench: Bench) -> bool:
    return await bench.behind() == 0


async def test_a_second_worker_goes_on_where_the_first_has_committed(broker_url: str) -> None:
    seen: list[list[str]] = [[], []]

    def handle(member: int) -> Handle:
        async def note(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
            for one in inputs:
                seen[member].append(one.message.document.path)
                yield Done(one, items=1)

        return note

    async with opened_bench(broker_url) as bench:
        for member in range(2):
            await bench.publish(5)
            worker = bench.worker(handle(member))
            await worker.start()
            await until(lambda: is_drained(bench))
            await worker.stop()
    assert seen[0] == seen[1] == [f"{number}.txt" for number in range(5)]


async def test_unfinished_records_are_read_again(broker_url: str) -> None:
    tries: list[str] = []

    async def hold_twice(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            name = one.message.document.path
            tries.append(name)
            yield Held(one, 0.1) if name == "1.txt" and tries.count(name) < 3 else Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(3)
        worker = bench.worker(hold_twice)
        await worker.start()
        await until(lambda: is_drained(bench))
        await worker.stop()
    assert (tries.count("0.txt"), tries.count("1.txt"), tries.count("2.txt")) == (1, 3, 1)


async def test_a_held_record_keeps_only_its_own_lane(broker_url: str) -> None:
    """The partition is read on; offsets wait for what is held; what comes later of its document is not even tried."""
    tries: list[str] = []
    held = True

    async def hold_one(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            name = one.message.document.path
            tries.append(name)
            yield Held(one, 0.05) if held and name == "0.txt" else Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(1)
        worker = bench.worker(hold_one)
        await worker.start()
        await until(lambda: tries.count("0.txt") > 2)
        await bench.publish(4)  # the first of them is of the document that waits
        await until(lambda: {"1.txt", "2.txt", "3.txt"} <= set(tries))
        before = tries.count("0.txt")
        await until(lambda: tries.count("0.txt") > before + 3)
        assert await bench.behind() == 5
        assert (await bench.flow.view()).outcomes == {bench.stage: 3}
        held = False
        await until(lambda: is_drained(bench))
        await worker.stop()
        assert (await bench.flow.view()).outcomes == {bench.stage: 5}
        assert [tries.count(f"{number}.txt") for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_worker_that_has_parked_enough_reads_no_more_until_something_is_finished(broker_url: str) -> None:
    held, tried = True, set()

    async def hold_all(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            tried.add(one.message.document.path)
            yield Held(one, 0.05) if held else Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(12)
        worker = bench.worker(hold_all, poll_records=2, read_ahead=2, parked_records=4)
        await worker.start()
        await until(lambda: bool(worker._crowded))
        turns = worker.metrics.held._value.get()
        await until(lambda: worker.metrics.held._value.get() > turns + 10)
        assert 4 <= len(tried) <= 6
        held = False
        await until(lambda: is_drained(bench))
        await worker.stop()
        assert len(tried) == 12


async def test_what_a_worker_has_parked_another_takes_over(broker_url: str) -> None:
    done: list[str] = []

    async def hold(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Held(one, 0.05)

    async def finish(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            done.append(one.message.document.path)
            yield Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(5)
        first = bench.worker(hold)
        await first.start()
        await until(lambda: len(first._backlog.parking) == 5)
        await first.stop()
        second = bench.worker(finish)
        await second.start()
        await until(lambda: is_drained(bench))
        await second.stop()
        assert sorted(done) == [f"{number}.txt" for number in range(5)]


async def test_a_partition_that_is_lost_is_let_go(broker_url: str) -> None:
    async def hold(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Held(one, 0.05)

    async with opened_bench(broker_url) as bench:
        await bench.publish(5)
        workers = [bench.worker(hold), bench.worker(hold)]
        for worker in workers:
            await worker.start()
        # one partition, two members: whoever loses it knows nothing of it any more
        await until(lambda: sorted(len(worker._backlog.parking) for worker in workers) == [0, 5])
        await until(lambda: sorted(len(worker._backlog.offsets) for worker in workers) == [0, 5])
        for worker in workers:
            await worker.stop()


async def test_a_rebalance_between_a_fetch_and_its_delivery_commits_nothing_past_what_is_unfinished(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = True
    done: list[str] = []

    async def hold_the_first(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            if holding:
                yield Held(one, 60)
            else:
                done.append(one.message.document.path)
                yield Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(2)
        worker = bench.worker(hold_the_first)
        await worker.start()
        await until(lambda: len(worker._backlog.parking) == 2)
        holding = False
        beating = worker._beating

        async def rebalanced(polling: Any) -> Any:
            found = await beating(polling)
            if found:
                worker._lose({(bench.topic, 0)})
            return found

        monkeypatch.setattr(worker, "_beating", rebalanced)
        await bench.publish(3, first=2)
        await until(lambda: len(done) == 3)
        await worker.stop()
        assert await bench.behind() == 5


async def test_a_wait_ends_when_its_messages_went_to_another_worker(broker_url: str) -> None:
    async def needs_it(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        raise Retryable("dependency.away", name="PostgreSQL")
        yield

    async with opened_bench(broker_url) as bench:
        await bench.publish(3)
        worker = bench.worker(needs_it)
        await worker.start()
        await until(lambda: worker.health.waits != ())
        worker._lose({(bench.topic, 0)})
        await until(lambda: worker.health.ready)
        await worker.stop()


async def test_a_dependency_away_shows_in_readyz_and_the_stage_resumes_by_itself(broker_url: str) -> None:
    away = True

    async def needs_it(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            if away:
                raise Retryable("dependency.away", name="PostgreSQL")
            yield Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(3)
        worker = bench.worker(needs_it)
        with TestClient(health_app(worker.health, worker.metrics)) as client:
            assert client.get("/readyz").status_code == 503
            await worker.start()
            await until(lambda: worker.health.away is not None)
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["waiting_for"]) == (503, "PostgreSQL does not answer.")
            assert client.get("/livez").status_code == 200
            away = False
            await until(lambda: is_drained(bench))
            assert client.get("/readyz").status_code == 200
            metrics = client.get("/metrics").text
        await worker.stop()
        assert await bench.broker.read(f"{bench.topic}.dlq") == []
    assert f'cradle_messages_total{{result="done",stage="{bench.stage}"}} 3.0' in metrics


async def test_a_stage_that_waits_is_paused_and_stays_in_its_group(broker_url: str) -> None:
    """Its partitions are paused, also for records that come meanwhile; no offset moves, and no message is blamed."""
    tries = 0
    away = True

    async def needs_it(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        nonlocal tries
        tries += 1
        for one in inputs:
            if away:
                raise Retryable("engine.busy", name="fake", what="GPU memory")
            yield Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(3)
        worker = bench.worker(needs_it)
        await worker.start()
        member = worker._consumer._coordinator.member_id
        await until(lambda: worker._consumer.paused() == worker._consumer.assignment() != set())
        assert [wait.code for wait in worker.health.waits] == ["engine.busy"]
        await bench.publish(3)
        seen = tries
        await until(lambda: tries > seen + 3)
        assert await bench.behind() == 6
        away = False
        await until(lambda: is_drained(bench))
        assert worker._consumer.paused() == set()
        assert worker._consumer._coordinator.member_id == member
        await worker.stop()
        assert await bench.broker.read(f"{bench.topic}.dlq") == []


async def test_a_storm_pauses_the_stage_until_one_message_passes(broker_url: str) -> None:
    broken = True

    async def fails(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Failed(one, Permanent("engine.vectors", name="fake", what="finite")) if broken else Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(30)
        worker = bench.worker(fails, storm_limit=5)
        with TestClient(health_app(worker.health, worker.metrics)) as client:
            await worker.start()
            await until(lambda: worker.health.waits != ())
            told = client.get("/readyz")
            assert (told.status_code, told.json()["codes"]) == (503, ["delivery.storm"])
            assert "engine.vectors" in told.json()["waiting_for"]
            broken = False
            await until(lambda: is_drained(bench))
            await until(lambda: client.get("/readyz").status_code == 200)
        await worker.stop()
        assert len(await bench.broker.read(f"{bench.topic}.dlq")) == 5


async def test_a_mistake_of_the_runtime_loses_nothing(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def finish(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Done(one)

    async with opened_bench(broker_url) as bench:
        await bench.publish(2)
        worker = bench.worker(finish)
        deliver = worker._delivery.deliver
        mistakes = iter([True, True])

        async def mistaken(poll: Any, **options: Any) -> Any:
            if next(mistakes, False):
                raise KeyError("a bug")
            return await deliver(poll, **options)

        monkeypatch.setattr(worker._delivery, "deliver", mistaken)
        await worker.start()
        await until(lambda: is_drained(bench))
        await worker.stop()
        assert (await bench.flow.view()).outcomes == {bench.stage: 2}


async def test_a_header_name_that_is_no_utf8_stops_nothing(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients in C write any bytes as a name. Ours cannot, so the test writes one like it and breaks it on its way."""
    name, broken = "x-name-to-break", b"x-name-\xfe\xff-break"

    class Breaking(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]  # aiokafka tells no types
        def build(self) -> Any:
            self._buffer[:] = self._buffer.replace(name.encode(), broken)
            return super().build()

    async def finish(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Done(one)

    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)  # put back as it was
    monkeypatch.setattr(message_accumulator, "DefaultRecordBatchBuilder", Breaking)
    async with opened_bench(broker_url) as bench:
        await bench.publish(2)
        await bench.broker.publish([OutgoingRecord(bench.topic, b"", b"a stranger's", [(name, b"")])])
        await bench.publish(3)
        worker = bench.worker(finish)
        await worker.start()
        await until(lambda: is_drained(bench))
        await worker.stop()
        assert (await bench.flow.view()).outcomes == {bench.stage: 5}
        assert len(await bench.broker.read(f"{bench.topic}.dlq")) == 1


async def test_stop_cuts_a_poll_that_outlasts_the_drain_and_commits_nothing_of_it(broker_url: str) -> None:
    begun = asyncio.Event()

    async def never_ends(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        begun.set()
        await asyncio.Event().wait()
        yield Done(inputs[0])

    async with opened_bench(broker_url) as bench:
        await bench.publish(2)
        worker = bench.worker(never_ends, drain_seconds=0.3)
        await worker.start()
        await asyncio.wait_for(begun.wait(), 30)
        before = time.monotonic()
        await worker.stop()
        assert time.monotonic() - before < 5
        assert await bench.behind() == 2


async def test_a_broker_that_does_not_answer_is_not_waited_for_at_the_end(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened_bench(broker_url) as bench:
        worker = bench.worker(never)
        await worker.start()
        leave = worker._broker.stop
        monkeypatch.setattr(worker._broker, "stop", asyncio.Event().wait)
        await asyncio.wait_for(worker.stop(), 5)
        await leave()


async def test_a_stage_without_progress_is_no_longer_alive(broker_url: str) -> None:
    begun = asyncio.Event()

    async def hangs(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        begun.set()
        await asyncio.Event().wait()
        yield Done(inputs[0])

    async with opened_bench(broker_url) as bench:
        worker = bench.worker(hangs, stuck_seconds=0.5, drain_seconds=0.1)
        await worker.start()
        await until(lambda: worker.health.idle_seconds < 0.3)  # idle, but polling
        assert worker.health.alive
        await bench.publish(1)
        await asyncio.wait_for(begun.wait(), 30)
        await until(lambda: not worker.health.alive, seconds=10)
        with TestClient(health_app(worker.health, worker.metrics)) as client:
            assert client.get("/livez").status_code == 503
        await worker.stop()
