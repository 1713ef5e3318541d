"""Pausing, and telling once. The consumer is a fake; tests/consumers/test_worker.py has the real one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError
from structlog.testing import capture_logs

from consumers.runtime import waiting as waiting_module
from consumers.runtime.health import Health
from consumers.runtime.metrics import Metrics
from consumers.runtime.waiting import Waiting
from infra.waits import WaitNote, waits_of
from schemas.errors import Retryable

AWAY = Retryable("dependency.away", name="PostgreSQL")
KAFKA = Retryable("dependency.away", name="Kafka")
ONE, TWO = TopicPartition("chunk-ready", 0), TopicPartition("chunk-ready", 1)


class Consumer:
    def __init__(self, *assigned: TopicPartition) -> None:
        self.assigned = set(assigned)
        self.stopped: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def paused(self) -> set[TopicPartition]:
        return set(self.stopped)

    def pause(self, *partitions: TopicPartition) -> None:
        self.stopped |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.stopped -= set(partitions)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(waiting_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting_module.random, "uniform", lambda low, high: high)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    with monkeypatch.context() as patched:
        yield Clock(patched)


def waiting_of(note: WaitNote | None = None) -> tuple[Waiting, Health]:
    health = Health("chunk", 300.0, consuming=True)
    return Waiting(health, Metrics("chunk"), seconds=(1.0, 4.0), note=note), health


def test_partitions_are_paused_until_the_next_try(clock: Clock) -> None:
    waiting, _ = waiting_of()
    consumer = Consumer(ONE)
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == set()
    waiting.begin(AWAY)
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == {ONE}
    consumer.assigned.add(TWO)  # a rebalance brought it
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == {ONE, TWO}
    clock.now += 1.01
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == set()


def test_a_partition_that_another_paused_stays_paused(clock: Clock) -> None:
    waiting, _ = waiting_of()
    consumer = Consumer(ONE, TWO)
    consumer.pause(TWO)
    waiting.begin(AWAY)
    waiting.pause(consumer)  # type: ignore[arg-type]
    consumer.assigned.discard(ONE)  # and one that went away is not asked to resume
    clock.now += 2
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == {ONE, TWO}


def test_waits_grow_and_begin_anew_after_a_poll_that_went_through(clock: Clock) -> None:
    waiting, _ = waiting_of()

    def seconds() -> float:
        began = clock.now
        waiting.begin(AWAY)
        while not waiting.over:
            clock.now += 0.25
        return clock.now - began

    assert [seconds() for _ in range(5)] == [1.0, 2.0, 4.0, 4.0, 4.0]
    waiting.end()
    assert seconds() == 1.0


def test_it_is_told_once_at_the_beginning_and_once_at_the_end(tmp_path: Path) -> None:
    waiting, health = waiting_of(WaitNote(tmp_path, "chunk"))
    with capture_logs() as lines:
        for _ in range(100):
            waiting.begin(AWAY)
        assert (health.ready, health.away) == (False, "PostgreSQL does not answer.")
        assert [wait.code for wait in waits_of(tmp_path)] == ["dependency.away"]
        for _ in range(100):
            waiting.end()
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "waiting"),
        ("info", "no longer waiting"),
    ]
    assert lines[0] | {"stage": "chunk", "code": AWAY.code, "what": AWAY.sentence, "next": AWAY.next_step} == lines[0]
    assert health.ready
    assert waits_of(tmp_path) == []


def test_another_dependency_is_told_as_well() -> None:
    waiting, health = waiting_of()
    with capture_logs() as lines:
        waiting.begin(AWAY)
        waiting.begin(Retryable("dependency.full", name="The object store"))
    assert [line["event"] for line in lines] == ["waiting", "waiting", "no longer waiting"]
    assert health.away == "The object store is full."


async def test_the_broker_is_asked_while_no_poll_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "LOOK_SECONDS", 0.001)
    waiting, health = waiting_of()
    answers = iter([True, False, False, True])
    asked_all = asyncio.Event()
    seen: list[bool] = []

    async def ping() -> None:
        seen.append(health.ready)
        answer = next(answers, None)
        if answer is None:
            asked_all.set()
        if answer is False:
            health.last_beat = 0.0
            raise KAFKA

    with capture_logs() as lines:
        task = asyncio.create_task(waiting.look_out(ping))
        await asyncio.wait_for(asked_all.wait(), 10)
        task.cancel()
    assert seen[:5] == [True, True, False, False, True]
    assert [line["event"] for line in lines] == ["waiting", "no longer waiting"]
    assert health.alive, "nothing can move without the broker, and that is no hang"


def test_the_broker_met_by_a_poll_and_by_the_look_out_is_told_once() -> None:
    waiting, health = waiting_of()
    with capture_logs() as lines:
        waiting.begin(KAFKA)
        waiting._tell("broker", KAFKA)
        waiting.end()
        assert not health.ready
        waiting._tell("broker", None)
    assert [line["event"] for line in lines] == ["waiting", "no longer waiting"]
    assert health.ready


def test_nothing_is_tried_while_the_broker_is_away(clock: Clock) -> None:
    waiting, _ = waiting_of()
    consumer = Consumer(ONE)
    waiting._tell("broker", KAFKA)
    clock.now += 3600
    assert not waiting.over
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert consumer.stopped == {ONE}
    waiting._tell("broker", Retryable("dependency.refused", name="Kafka", kind="ClusterAuthorizationFailedError"))
    assert waiting.over, "a broker that refuses to be asked may well deliver"
    waiting._tell("broker", None)
    waiting.pause(consumer)  # type: ignore[arg-type]
    assert (waiting.over, consumer.stopped) == (True, set())


def test_an_error_of_the_groups_own_connection_shows() -> None:
    waiting, health = waiting_of()
    waiting.begin_for_client(GroupAuthorizationFailedError("chunk"))
    assert health.away == "Kafka refused a request: GroupAuthorizationFailedError."
    waiting.end_for_client()
    assert health.ready


def test_a_stage_that_ends_waits_for_nothing(tmp_path: Path) -> None:
    waiting, _ = waiting_of(WaitNote(tmp_path, "chunk"))
    waiting.begin(AWAY)
    waiting.begin_for_client(GroupAuthorizationFailedError("chunk"))
    waiting.close()
    assert waits_of(tmp_path) == []
