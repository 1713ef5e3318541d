"""One suite over every broker: in memory, the embedded one, Apache Kafka."""

import ast
import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from infra.broker import Broker, Member, OffsetRange, OutgoingRecord, StoredRecord, open_broker
from infra.broker.memory import MemoryBroker
from infra.local.broker import EmbeddedBroker
from infra.local.processes import free_port
from schemas.envelope import MAX_RECORD_BYTES
from schemas.errors import CradleError, Permanent, Retryable

Commit = Callable[[str, str, int, int], Awaitable[None]]
Write = Callable[[str, bytes, int], Awaitable[None]]
Truncate = Callable[[str, int, int], Awaitable[None]]
Join = Callable[[str, str], AbstractAsyncContextManager[None]]
ROOMY = {"max.message.bytes": str(MAX_RECORD_BYTES + 64 * 1024)}


@dataclass
class Stand:
    broker: Broker
    commit: Commit
    """(group, topic, partition, offset), as a consumer would."""
    write: Write
    """(topic, value, milliseconds since 1970), as a client with a clock of its own would."""
    truncate: Truncate
    """(topic, partition, before)."""
    join: Join
    """Lets a consumer join a group that reads a topic."""


@pytest.fixture(params=["memory", "embedded", "kafka"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    if request.param == "memory":
        async with open_broker("memory:") as broker:
            assert isinstance(broker, MemoryBroker)
            yield memory_stand(broker)
        return
    url = request.getfixturevalue({"embedded": "embedded_broker_url", "kafka": "kafka_url"}[request.param])
    async with open_broker(url) as broker:
        yield wire_stand(broker, url.removeprefix("kafka://"))


def memory_stand(broker: MemoryBroker) -> Stand:
    async def commit(group: str, topic: str, partition: int, offset: int) -> None:
        broker.commit(group, topic, partition, offset)

    async def write(topic: str, value: bytes, timestamp_ms: int) -> None:
        broker.append(record(topic, value), timestamp_ms=timestamp_ms)

    async def truncate(topic: str, partition: int, before: int) -> None:
        broker.truncate(topic, partition, before)

    @asynccontextmanager
    async def join(group: str, topic: str) -> AsyncIterator[None]:
        broker.joined[group] = [Member("member", "host", frozenset({(topic, 0)}))]
        yield
        del broker.joined[group]

    return Stand(broker, commit, write, truncate, join)


def wire_stand(broker: Broker, servers: str) -> Stand:
    async def commit(group: str, topic: str, partition: int, offset: int) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([TopicPartition(topic, partition)])
        await consumer.commit({TopicPartition(topic, partition): offset})
        await consumer.stop()

    async def write(topic: str, value: bytes, timestamp_ms: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            await producer.send_and_wait(topic, value, key=b"key", timestamp_ms=timestamp_ms)

    async def truncate(topic: str, partition: int, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})
        await admin.close()

    @asynccontextmanager
    async def join(group: str, topic: str) -> AsyncIterator[None]:
        async with AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id=group) as consumer:
            async with asyncio.timeout(20):
                while not consumer.assignment():
                    await asyncio.sleep(0.02)
            yield

    return Stand(broker, commit, write, truncate, join)


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


async def test_an_offset_that_the_topic_does_not_reach_counts_as_none(stand: Stand, topic: str) -> None:
    """The broker lost its disk, and the topic was made anew: its consumers begin at the beginning."""
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i) for i in range(5)])
    await stand.broker.reset(group, {(topic, 0): 70})
    [lag] = await stand.broker.lag(group, [topic])
    assert (lag.committed, lag.end, lag.records_behind) == (0, 5, 5)
    assert lag.seconds_behind > 0


async def test_the_mark_of_a_transaction_has_no_age(kafka_url: str, topic: str) -> None:
    """It is no record, but has an offset: the group is at its end all the same."""
    async with open_broker(kafka_url) as broker:
        await broker.create_topic(topic, partitions=1, replication=1, config={})
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka_url.removeprefix("kafka://"), transactional_id=topic) as producer,
            producer.transaction(),
        ):
            await producer.send_and_wait(topic, b"foreign")
        await broker.reset("group-" + topic, {(topic, 0): 1})
        [lag] = await broker.lag("group-" + topic, [topic])
        assert (lag.end, lag.seconds_behind) == (2, 0.0)


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


async def offsets(records: AsyncGenerator[StoredRecord]) -> list[int]:
    async with aclosing(records):
        return [stored.offset async for stored in records]


async def test_a_scan_is_what_the_topic_holds_in_order(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=3, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i, b"%d" % i, ce_id=b"id") for i in range(700)])
    whole = await stand.broker.read(topic)
    assert [stored async for stored in stand.broker.scan(topic)] == whole
    assert len(whole) == 700

    number = whole[0].partition
    later = [stored async for stored in stand.broker.scan(topic, start={number: 5})]
    assert later == [stored for stored in whole if stored.partition != number or stored.offset >= 5]


async def test_a_scan_ends_where_the_topic_ended_when_it_began(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i) for i in range(3)])
    async with aclosing(stand.broker.scan(topic)) as records:
        seen = [await anext(records)]
        await stand.broker.publish([record(topic, b"later")])
        seen += [stored async for stored in records]
    assert [stored.value for stored in seen] == [b"0", b"1", b"2"]


async def test_a_scan_can_be_left(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i, b"%d" % i) for i in range(10)])
    async with aclosing(stand.broker.scan(topic)) as records:
        await anext(records)
    await stand.broker.ping()


async def test_times_are_exact_whatever_their_order(stand: Stand, topic: str) -> None:
    """Clients have clocks of their own: a later record may bear an earlier time."""
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    day = int(time.time() * 1000) - 3_600_000
    for moment in (10, 50, 20, 40, 30, 60, 15):
        await stand.write(topic, b"%d" % moment, day + moment)

    async def found(since: int | None, until: int | None) -> list[int]:
        since_ms, until_ms = (None if bound is None else day + bound for bound in (since, until))
        return await offsets(stand.broker.scan(topic, since_ms=since_ms, until_ms=until_ms))

    assert await found(None, None) == [0, 1, 2, 3, 4, 5, 6]
    assert await found(20, None) == [1, 2, 3, 4, 5], "since is inclusive"
    assert await found(None, 20) == [0, 6], "until is exclusive, and a late record may be early"
    assert await found(30, 41) == [3, 4]
    assert await found(61, None) == []
    assert await offsets(stand.broker.scan(topic, start={0: 4}, since_ms=day + 30)) == [4, 5]

    assert await stand.broker.offsets_at(topic, day) == {0: 0}
    assert await stand.broker.offsets_at(topic, day + 50) == {0: 1}
    assert await stand.broker.offsets_at(topic, day + 51) == {0: 5}
    assert await stand.broker.offsets_at(topic, day + 61) == {0: 7}


async def test_a_truncated_topic_tells_its_range_and_is_read_from_there(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    assert await stand.broker.ranges(topic) == {0: OffsetRange(0, 0)}
    await stand.broker.publish([record(topic, b"%d" % i) for i in range(10)])
    assert await stand.broker.ranges(topic) == {0: OffsetRange(0, 10)}

    await stand.truncate(topic, 0, 6)
    assert await stand.broker.ranges(topic) == {0: OffsetRange(6, 10)}
    assert await offsets(stand.broker.scan(topic)) == [6, 7, 8, 9]
    assert await offsets(stand.broker.scan(topic, start={0: 2})) == [6, 7, 8, 9]
    [lag] = await stand.broker.lag(group, [topic])
    assert (lag.committed, lag.end) == (6, 10)

    await stand.truncate(topic, 0, 10)
    assert await stand.broker.ranges(topic) == {0: OffsetRange(10, 10)}
    assert await offsets(stand.broker.scan(topic)) == []
    assert await stand.broker.offsets_at(topic, 1) == {0: 10}
    await stand.broker.publish([record(topic, b"next")])
    assert await offsets(stand.broker.scan(topic)) == [10]


async def test_a_topic_that_is_truncated_while_it_is_read(stand: Stand, topic: str) -> None:
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    await stand.broker.publish([record(topic, bytes(1000), b"%d" % i) for i in range(200)])
    spans = await stand.broker.ranges(topic)
    async with aclosing(stand.broker.scan(topic)) as records:
        assert (await anext(records)).partition == 0
        await stand.truncate(topic, 1, spans[1].end)
        rest = [stored async for stored in records]
    assert {stored.partition for stored in rest} <= {0, 1}, "what is left is read, and it ends"
    assert len([stored for stored in rest if stored.partition == 0]) == spans[0].end - 1


async def test_of_an_unknown_topic_there_is_nothing(stand: Stand, topic: str) -> None:
    assert await offsets(stand.broker.scan(topic)) == []
    assert await stand.broker.ranges(topic) == {}
    assert await stand.broker.offsets_at(topic, 5) == {}
    assert topic not in await stand.broker.topics(), "looking must not create it"


async def test_a_group_without_members_resumes_where_it_is_told(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=2, replication=1, config={})
    await stand.broker.publish([record(topic, b"%d" % i, b"%d" % i) for i in range(20)])
    await stand.broker.reset(group, {(topic, 0): 3, (topic, 1): 4})
    assert [lag.committed for lag in await stand.broker.lag(group, [topic])] == [3, 4]
    await stand.broker.reset(group, {(topic, 1): 0})
    assert [lag.committed for lag in await stand.broker.lag(group, [topic])] == [3, 0]
    await stand.broker.reset(group, {})


async def test_members_and_what_they_have(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    assert await stand.broker.members(group) == []
    async with stand.join(group, topic):
        [member] = await stand.broker.members(group)
        assert member.name
        assert member.partitions == {(topic, 0)}
    assert await stand.broker.members(group) == []


async def test_what_a_worker_wrote_beside_its_offset(kafka_url: str, topic: str) -> None:
    group, partition = f"group-{uuid4().hex}", TopicPartition(topic, 0)
    async with open_broker(kafka_url) as broker:
        await broker.create_topic(topic, partitions=1, replication=1, config={})
        assert [one.note for one in await broker.lag(group, [topic])] == [""]
        servers = kafka_url.removeprefix("kafka://")
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([partition])
        await consumer.commit({partition: (0, "a note")})
        await consumer.stop()
        assert [one.note for one in await broker.lag(group, [topic])] == ["a note"]


async def test_a_group_with_members_keeps_its_offsets(stand: Stand, topic: str) -> None:
    group = f"group-{uuid4().hex}"
    await stand.broker.create_topic(topic, partitions=1, replication=1, config={})
    async with stand.join(group, topic):
        with pytest.raises(Permanent) as refused:
            await stand.broker.reset(group, {(topic, 0): 0})
        assert refused.value.code == "group.active"
    await stand.broker.reset(group, {(topic, 0): 0})


class OddName(str):
    """A header's name that is no UTF-8 on the wire."""

    def encode(self, *_: object) -> bytes:
        return super().encode() + b"\xff"


async def test_records_whose_header_names_are_no_utf8_are_read_and_have_an_age(
    kafka_url: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: the parser that takes them stays for all consumers of a process."""
    for place in ("producer", "message_accumulator"):  # the builder in C takes no subclass of str
        monkeypatch.setattr(f"aiokafka.producer.{place}.DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
    async with open_broker(kafka_url) as broker:
        await broker.create_topic(topic, partitions=1, replication=1, config={})
    async with AIOKafkaProducer(bootstrap_servers=kafka_url.removeprefix("kafka://")) as producer:
        for value, name in ((b"odd", OddName("bad")), (b"after", "good"), (b"last", "good")):
            await producer.send_and_wait(topic, value, headers=[(name, b"1")])
    reading = (
        "import asyncio, sys\nfrom infra.broker import open_broker\n"
        "async def read():\n"
        "    async with open_broker(sys.argv[1]) as broker:\n"
        "        [lag] = await broker.lag('nobody', [sys.argv[2]])\n"
        "        assert lag.records_behind == 3 and lag.seconds_behind > 0\n"
        "        return [(r.offset, r.value, r.headers) async for r in broker.scan(sys.argv[2])]\n"
        "print(asyncio.run(read()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", reading, kafka_url, topic], capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(found.stdout) == [
        (0, b"odd", (("bad?", b"1"),)),
        (1, b"after", (("good", b"1"),)),
        (2, b"last", (("good", b"1"),)),
    ]


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
        lambda broker: anext(broker.scan("topic")),
        lambda broker: broker.ranges("topic"),
        lambda broker: broker.offsets_at("topic", 1),
        lambda broker: broker.reset("group", {("topic", 0): 0}),
        lambda broker: broker.members("group"),
        lambda broker: broker.ping(),
    ],
    ids=["publish", "topics", "create", "alter", "lag", "read", "scan", "ranges", "at", "reset", "members", "ping"],
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
