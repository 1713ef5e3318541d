"""One suite over every broker: in memory, the embedded one, Apache Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.broker import Broker, OutgoingRecord, open_broker
from infra.broker.memory import MemoryBroker
from infra.local.broker import EmbeddedBroker
from infra.local.processes import free_port
from schemas.envelope import MAX_RECORD_BYTES
from schemas.errors import CradleError, Permanent, Retryable

Commit = Callable[[str, str, int, int], Awaitable[None]]
ROOMY = {"max.message.bytes": str(MAX_RECORD_BYTES + 64 * 1024)}


@dataclass
class Stand:
    broker: Broker
    commit: Commit
    """(group, topic, partition, offset), as a consumer would."""


@pytest.fixture(params=["memory", "embedded", "kafka"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    if request.param == "memory":
        async with open_broker("memory:") as broker:
            assert isinstance(broker, MemoryBroker)

            async def commit(group: str, topic: str, partition: int, offset: int) -> None:
                broker.commit(group, topic, partition, offset)

            yield Stand(broker, commit)
        return
    url = request.getfixturevalue({"embedded": "embedded_broker_url", "kafka": "kafka_url"}[request.param])

    async def commit_over_the_wire(group: str, topic: str, partition: int, offset: int) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=url.removeprefix("kafka://"), group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([TopicPartition(topic, partition)])
        await consumer.commit({TopicPartition(topic, partition): offset})
        await consumer.stop()

    async with open_broker(url) as broker:
        yield Stand(broker, commit_over_the_wire)


@pytest.fixture
def topic() -> str:
    return f"test-{uuid4().hex}"


def record(topic: str, value: bytes = b"value", key: bytes = b"key", **headers: bytes) -> OutgoingRecord:
    return OutgoingRecord(topic, key, value, list(headers.items()))


async def test_what_was_published_is_there_whole(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=3, replication=1, config={})
    before = int(time.time() * 1000)
    sent = [record(topic, b"%d" % i, b"key-%d" % i, ce_id=b"%d" % i, empty=b"") for i in range(50)]
    await stand.broker.publish(sent)

    found = await stand.broker.read(topic)

    assert sorted((r.key, r.value, tuple(r.headers)) for r in found) == sorted(
        (r.key, r.value, tuple(r.headers)) for r in sent
    )
    assert {r.topic for r in found} == {topic}
    assert all(before - 1000 <= r.timestamp_ms <= time.time() * 1000 + 1000 for r in found)
    assert [(r.partition, r.offset) for r in found] == sorted((r.partition, r.offset) for r in found)
    assert len({r.partition for r in found}) > 1, "50 keys should not all fall to one of 3 partitions"


async def test_one_key_keeps_its_order(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=4, replication=1, config={})
    for i in range(20):
        await stand.broker.publish([record(topic, b"%d" % (2 * i)), record(topic, b"%d" % (2 * i + 1))])
    found = await stand.broker.read(topic)
    assert [int(r.value) for r in found] == [*range(40)]
    assert len({r.partition for r in found}) == 1
    assert [r.offset for r in found] == [*range(40)]


async def test_a_large_group_arrives_whole_and_in_order(stand: Stand, topic: str) -> None:
    """More bytes than are sent at one time."""
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    values = [bytes([number]) * 900_000 for number in range(11)]
    await stand.broker.publish([record(topic, value) for value in values])
    assert [stored.value for stored in await stand.broker.read(topic)] == values


async def test_publishing_nothing_is_fine(stand: Stand) -> None:
    await stand.broker.publish([])


async def test_read_stops_at_the_limit(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i, b"%d" % i) for i in range(10)])
    assert len(await stand.broker.read(topic, limit=3)) == 3
    assert len(await stand.broker.read(topic, limit=0)) == 0
    assert len(await stand.broker.read(topic, limit=30)) == 10


async def test_an_empty_or_unknown_topic_reads_as_nothing(stand: Stand, topic: str) -> None:
    assert await stand.broker.read(topic) == []
    assert await stand.broker.lag("group", [topic]) == []
    assert topic not in await stand.broker.topics(), "looking must not create it"
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    assert await stand.broker.read(topic) == []


async def test_a_full_record_passes_and_a_larger_one_is_refused_for_good(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=1, replication=1, config=ROOMY)
    full = b"\xff" * (MAX_RECORD_BYTES - 5)
    await stand.broker.publish([record(topic, full, h=b"head")])
    assert [r.value for r in await stand.broker.read(topic)] == [full]

    with pytest.raises(Permanent) as refused:
        await stand.broker.publish([record(topic, b"\xff" * (MAX_RECORD_BYTES + 80 * 1024))])
    assert refused.value.code == "message.too-large"

    await stand.broker.publish([record(topic, b"next")])
    assert len(await stand.broker.read(topic)) == 2


async def test_a_topic_is_created_once_with_its_configuration(stand: Stand, topic: str) -> None:
    config = {"retention.ms": "3600000", "max.message.bytes": "2000000"}
    await stand.broker.create_topic(topic, partitions=3, replication=1, config=config)
    await stand.broker.create_topic(topic, partitions=5, replication=1, config={"retention.ms": "1000"})
    state = (await stand.broker.topics())[topic]
    assert state.partitions == 3
    assert {name: state.config[name] for name in config} == config


async def test_altering_leaves_the_rest_as_it_is(stand: Stand, topic: str) -> None:
    config = {"retention.ms": "3600000", "max.message.bytes": "2000000"}
    await stand.broker.create_topic(topic, partitions=2, replication=1, config=config)
    await stand.broker.publish([record(topic)])

    await stand.broker.alter_topic(topic, partitions=4, config={"retention.ms": "7200000"})
    state = (await stand.broker.topics())[topic]
    assert state.partitions == 4
    assert (state.config["retention.ms"], state.config["max.message.bytes"]) == ("7200000", "2000000")

    await stand.broker.alter_topic(topic, partitions=None, config={"max.message.bytes": "1500000"})
    await stand.broker.alter_topic(topic, partitions=4, config={})
    state = (await stand.broker.topics())[topic]
    assert state.partitions == 4
    assert (state.config["retention.ms"], state.config["max.message.bytes"]) == ("7200000", "1500000")
    assert len(await stand.broker.read(topic)) == 1


async def test_topics_tell_retention_and_size_also_where_they_are_defaults(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    config = (await stand.broker.topics())[topic].config
    assert int(config["retention.ms"]) and int(config["max.message.bytes"])


async def test_lag_counts_from_what_the_group_has_committed(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    [nothing, _] = await stand.broker.lag(group, [topic])
    assert (nothing.committed, nothing.end, nothing.records_behind, nothing.seconds_behind) == (0, 0, 0, 0.0)

    await stand.broker.publish([record(topic, b"%d" % i) for i in range(5)])
    partition = (await stand.broker.read(topic))[0].partition
    fresh = (await stand.broker.lag(group, [topic]))[partition]
    assert (fresh.topic, fresh.partition) == (topic, partition)
    assert (fresh.committed, fresh.end, fresh.records_behind) == (0, 5, 5)

    await stand.commit(group, topic, partition, 3)
    lag = await stand.broker.lag(group, [topic])
    assert [(one.partition, one.committed, one.end) for one in lag if one.end] == [(partition, 3, 5)]

    await stand.commit(group, topic, partition, 5)
    done = (await stand.broker.lag(group, [topic]))[partition]
    assert (done.records_behind, done.seconds_behind) == (0, 0.0)
    other = await stand.broker.lag(f"{group}-other", [topic])
    assert sum(one.records_behind for one in other) == 5, "one group's offsets are not another's"


async def test_seconds_behind_is_the_age_of_the_record_at_the_committed_offset(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    for i in range(3):
        await stand.broker.publish([record(topic, b"%d" % i)])
        written = time.time()
        while time.time() < written + 0.15:
            await asyncio.sleep(0.01)
    stamps = [r.timestamp_ms / 1000 for r in await stand.broker.read(topic)]
    for offset in (0, 1, 2):
        await stand.commit(group, topic, 0, offset)
        before = time.time()
        [lag] = await stand.broker.lag(group, [topic])
        assert before - stamps[offset] <= lag.seconds_behind <= time.time() - stamps[offset]


async def test_lag_of_several_topics_comes_by_topic_and_partition(stand: Stand) -> None:
    names = sorted(f"test-{uuid4().hex}" for _ in range(2))
    for name in names:
        await stand.broker.create_topic(name, partitions=2, replication=1, config={})
    lag = await stand.broker.lag("group", [*reversed(names)])
    assert [(one.topic, one.partition) for one in lag] == [(name, i) for name in names for i in (0, 1)]


async def test_concurrent_publishers_share_one_broker(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    await asyncio.gather(*(stand.broker.publish([record(topic, b"%d" % i, b"%d" % i)]) for i in range(20)))
    assert len(await stand.broker.read(topic)) == 20


async def test_a_topic_that_is_missing_is_named(
    request: pytest.FixtureRequest, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.broker.kafka.TIMEOUT_SECONDS", 1)
    for url in ("memory:", request.getfixturevalue("kafka_url")):
        async with open_broker(url) as broker:
            with pytest.raises(Retryable) as error:
                await broker.publish([record(topic)])
            assert error.value.code == "topic.missing"
            assert topic in str(error.value)


async def test_ping(stand: Stand) -> None:
    await stand.broker.ping()


@pytest.fixture(params=["memory", "kafka"])
async def away(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    async with open_broker("memory:" if request.param == "memory" else f"kafka://127.0.0.1:{free_port()}") as broker:
        if isinstance(broker, MemoryBroker):
            broker.away = True
        yield broker


@pytest.mark.parametrize(
    "call",
    [
        lambda broker: broker.publish([record("topic")]),
        lambda broker: broker.topics(),
        lambda broker: broker.create_topic("topic", partitions=1, replication=1, config={}),
        lambda broker: broker.alter_topic("topic", partitions=2, config={}),
        lambda broker: broker.lag("group", ["topic"]),
        lambda broker: broker.read("topic"),
        lambda broker: broker.ping(),
    ],
    ids=["publish", "topics", "create_topic", "alter_topic", "lag", "read", "ping"],
)
async def test_a_broker_that_is_away_is_retryable(away: Broker, call: Callable[[Broker], Awaitable[object]]) -> None:
    with pytest.raises(Retryable) as error:
        await call(away)
    assert error.value.code == "dependency.away"
    assert str(error.value) == "Kafka does not answer."


async def test_a_broker_that_goes_and_comes_back_is_used_again(
    tmp_path: Path, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.broker.kafka.TIMEOUT_SECONDS", 2)
    server = EmbeddedBroker(tmp_path, kafka_port=free_port(), redis_port=free_port())
    server.start()
    async with open_broker(server.broker_url) as broker:
        await broker.create_topic(topic, partitions=1, replication=1, config={})
        await broker.publish([record(topic, b"before")])
        server.stop()
        for call in (lambda: broker.publish([record(topic, b"lost")]), broker.topics):
            with pytest.raises(Retryable) as error:
                await call()
            assert error.value.code == "dependency.away"

        server.start()
        await broker.create_topic(topic, partitions=1, replication=1, config={})
        await broker.publish([record(topic, b"after")])
        assert (await broker.read(topic))[-1].value == b"after"
    server.stop()


async def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(CradleError) as error:
        open_broker("amqp://localhost")
    assert error.value.code == "settings.scheme"
    assert "kafka, memory" in error.value.next_step
