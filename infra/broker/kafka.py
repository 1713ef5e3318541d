"""The broker over the Kafka protocol: Apache Kafka, and the embedded broker, which speaks the same.

Connections are made by the first call that needs them, and dropped after an error so that the next call makes new
ones: an idempotent producer whose batch failed has a gap in its sequence and cannot go on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Generic, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CommitFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotCoordinatorForGroupError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata

from infra.broker import Broker, Member, OffsetRange, OutgoingRecord, PartitionLag, StoredRecord, TopicState
from infra.broker.header_names import read_any_header_name
from schemas.envelope import MAX_RECORD_BYTES
from schemas.errors import CradleError, Permanent, Retryable

TIMEOUT_SECONDS: Final = 10
SLICE_BYTES: Final = 4 * 1024 * 1024
MAX_REQUEST_BYTES: Final = MAX_RECORD_BYTES + 128 * 1024
"""A record and its headers, its key, its framing, and what a dead letter adds to it."""
BATCH_BYTES: Final = 256 * 1024
RETRY_SECONDS: Final = 0.1
FETCH_MS: Final = 200
"""How long a fetch waits for records; where none are left behind the position, one such wait is lost."""
FETCH_RECORDS: Final = 500

_DYNAMIC_TOPIC_CONFIG: Final = 1  # Kafka's ConfigSource: set on this very topic
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)
_COORDINATOR_MOVES: Final = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


class _Client(Protocol):
    async def start(self) -> None: ...


C = TypeVar("C", bound=_Client)
T = TypeVar("T")


class _Lazy(Generic[C]):
    """A client that its first use starts; after `drop` the next use starts another."""

    def __init__(self, make: Callable[[], C], stop: Callable[[C], Awaitable[None]]) -> None:
        self._make, self._stop = make, stop
        self._starting = asyncio.Lock()
        self._client: C | None = None

    async def get(self) -> C:
        async with self._starting:
            if self._client is None:
                client = self._make()
                try:
                    await client.start()
                except BaseException:
                    await self._stop(client)
                    raise
                self._client = client
            return self._client

    async def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError, OSError, TimeoutError):  # it is gone either way
                await self._stop(client)


@dataclass(frozen=True, slots=True)
class _Setting:
    value: str
    own: bool
    """Set on the topic itself, not inherited."""


class KafkaBroker:
    def __init__(self, servers: str) -> None:
        self._connection: dict[str, Any] = {
            "bootstrap_servers": servers,
            "request_timeout_ms": TIMEOUT_SECONDS * 1000,
        }
        self._producer = _Lazy(self._make_producer, _stop_producer)
        self._admin = _Lazy(self._make_admin, AIOKafkaAdminClient.close)

    async def close(self) -> None:
        await self._producer.drop()
        await self._admin.drop()

    # -- publishing -------------------------------------------------------------------------------------------------

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        try:
            with _answering():
                for some in _slices(records):
                    # an idempotent producer itself would try for ever; the client's own answer comes first
                    async with asyncio.timeout(TIMEOUT_SECONDS * 1.5):
                        await _send_all(await self._producer.get(), some)
        except CradleError as error:
            if error.code != "topic.missing":
                await self._producer.drop()
            raise

    # -- topics -----------------------------------------------------------------------------------------------------

    async def topics(self) -> dict[str, TopicState]:
        async with self._administering() as admin:
            partitions = {
                topic["topic"]: len(topic["partitions"])
                for topic in await admin.describe_topics()
                if not topic["is_internal"] and not topic["topic"].startswith("__")
            }
            settings = await _settings(admin, partitions)
        return {
            name: TopicState(count, {key: setting.value for key, setting in settings[name].items()})
            for name, count in sorted(partitions.items())
        }

    async def create_topic(self, name: str, *, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        new = NewTopic(name, partitions, replication, topic_configs=dict(config))
        async with self._administering() as admin:
            response = await admin.create_topics([new])
            with suppress(TopicAlreadyExistsError):
                _raise_first(error[1] for error in response.topic_errors)
            await _until_known(admin, name, partitions=1)

    async def alter_topic(self, name: str, *, partitions: int | None, config: Mapping[str, str]) -> None:
        async with self._administering() as admin:
            if config:
                # the protocol's AlterConfigs replaces what it is not told, so it is told all that is set here
                own = {key: one.value for key, one in (await _settings(admin, [name]))[name].items() if one.own}
                resource = ConfigResource(ConfigResourceType.TOPIC, name, {**own, **config})
                for response in await admin.alter_configs([resource]):
                    _raise_first(answer[0] for answer in response.resources)
            if partitions is not None and partitions > await _partition_count(admin, name):
                await admin.create_partitions({name: NewPartitions(partitions)})
                await _until_known(admin, name, partitions=partitions)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def lag(self, group: str, topics: Sequence[str]) -> list[PartitionLag]:
        async with self._administering() as admin:
            partitions = await _partitions(admin, topics)
            if not partitions:
                return []
            committed = await _committed(admin, group, partitions)
        async with self._consuming() as consumer:
            spans = await _spans(consumer, partitions)
            resumes = {p: _resume(committed.get(p), span) for p, span in spans.items()}
            ages = await _ages(consumer, resumes, spans)
        return [
            PartitionLag(p.topic, p.partition, resumes[p], spans[p].end, ages.get(p, 0.0), _note(committed.get(p)))
            for p in partitions
        ]

    async def members(self, group: str) -> list[Member]:
        async with self._administering() as admin:
            return sorted(await _members(admin, group), key=lambda member: member.name)

    async def read(self, topic: str, *, limit: int | None = None) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        async with aclosing(self.scan(topic)) as records:
            async for record in records:
                if limit is not None and len(found) >= limit:
                    break
                found.append(record)
        return found

    async def scan(
        self,
        topic: str,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> AsyncGenerator[StoredRecord]:
        async with self._administering() as admin:
            partitions = await _partitions(admin, [topic])
        if not partitions:
            return
        async with self._consuming() as consumer:
            spans = await _spans(consumer, partitions)
            since = await _first_since(consumer, spans, since_ms or 0)
            for partition, span in spans.items():
                begin = max(span.begin, since[partition], (start or {}).get(partition.partition, 0))
                async for record in _stream(consumer, partition, begin, span.end):
                    if (since_ms or 0) <= record.timestamp_ms and (until_ms is None or record.timestamp_ms < until_ms):
                        yield record

    async def ranges(self, topic: str) -> dict[int, OffsetRange]:
        async with self._administering() as admin:
            partitions = await _partitions(admin, [topic])
        if not partitions:
            return {}
        async with self._consuming() as consumer:
            return {one.partition: span for one, span in (await _spans(consumer, partitions)).items()}

    async def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        async with self._administering() as admin:
            partitions = await _partitions(admin, [topic])
        if not partitions:
            return {}
        async with self._consuming() as consumer:
            spans = await _spans(consumer, partitions)
            return {
                one.partition: offset for one, offset in (await _first_since(consumer, spans, timestamp_ms)).items()
            }

    async def reset(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        if await self.members(group):
            raise Permanent("group.active", group=group)
        places = {TopicPartition(*place): offset for place, offset in offsets.items()}
        if not places:
            return
        async with self._consuming(group) as consumer:
            consumer.assign([*places])
            consumer.pause(*places)
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await consumer.commit(places)
            except CommitFailedError as error:  # somebody joined meanwhile
                raise Permanent("group.active", group=group) from error

    async def ping(self) -> None:
        async with self._administering() as admin:
            await admin.describe_cluster()

    # -- connections ------------------------------------------------------------------------------------------------

    def _make_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_REQUEST_BYTES,
            max_batch_size=BATCH_BYTES,
        )

    def _make_admin(self) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**self._connection)

    @asynccontextmanager
    async def _administering(self) -> AsyncIterator[AIOKafkaAdminClient]:
        try:
            with _answering():
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    yield await self._admin.get()
        except BaseException:
            await self._admin.drop()
            raise

    @asynccontextmanager
    async def _consuming(self, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer that joins no group: with `group` it may commit for one that has no members."""
        consumer = AIOKafkaConsumer(
            **self._connection,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=2 * MAX_REQUEST_BYTES,
        )
        with _answering():
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await consumer.start()
                yield consumer
            finally:
                await consumer.stop()


@asynccontextmanager
async def open_kafka(url: str) -> AsyncIterator[Broker]:
    broker = KafkaBroker(url.partition("://")[2].rstrip("/"))
    try:
        yield broker
    finally:
        await broker.close()


def _slices(records: Sequence[OutgoingRecord]) -> Iterator[list[OutgoingRecord]]:
    """Runs of about SLICE_BYTES: a huge document's many messages need more than one timeout on a slow link."""
    some: list[OutgoingRecord] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record.value)
        if size >= SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


async def _send_all(producer: AIOKafkaProducer, records: Sequence[OutgoingRecord]) -> None:
    """Returns once all are acknowledged; otherwise raises what stopped the first that was not."""
    sent: list[Awaitable[Any]] = []
    refused: Exception | None = None
    for record in records:
        try:
            sent.append(await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers)))
        except Exception as error:
            refused = error
            break
    outcomes = [*await asyncio.gather(*sent, return_exceptions=True), refused]
    for record, outcome in zip(records, outcomes, strict=False):
        if isinstance(outcome, UnknownTopicOrPartitionError):
            raise Retryable("topic.missing", topic=record.topic)
        if isinstance(outcome, _TOO_LARGE):
            size = len(record.value) + sum(len(name) + len(content) for name, content in record.headers)
            raise Permanent("message.too-large", size=size, limit=f"what topic {record.topic} allows")
        if isinstance(outcome, BaseException):
            raise outcome


async def _stop_producer(producer: AIOKafkaProducer) -> None:
    """Gives up what is not acknowledged: `stop` alone would wait until it is, for ever if the broker is away."""
    await producer._sender.close()
    waiting = producer._message_accumulator
    given_up = [*waiting._pending_batches, *chain.from_iterable(waiting._batches.values())]
    waiting._pending_batches.update(given_up)  # where a batch that was to be sent again takes itself out
    for batch in given_up:
        batch.failure(KafkaTimeoutError())
        batch._drain_waiter.exception()  # taken note of, so that asyncio need not log it
    await producer.stop()


async def _settings(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, dict[str, _Setting]]:
    """Every topic's configuration by name."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    answers = [answer for response in await admin.describe_configs(resources) for answer in response.resources]
    _raise_first(answer[0] for answer in answers)
    return {
        topic: {
            entry[0]: _Setting(entry[1], own=entry[3] == _DYNAMIC_TOPIC_CONFIG)
            for entry in entries
            if entry[1] is not None
        }
        for _, _, _, topic, entries in answers
    }


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of those of `topics` that exist, in order."""
    counts = {topic: await _partition_count(admin, topic) for topic in sorted(topics)}
    return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]


async def _partition_count(admin: AIOKafkaAdminClient, topic: str) -> int:
    """0 where there is no such topic. Asks for all topics: asking for one by name could create it."""
    return sum(len(found["partitions"]) for found in await admin.describe_topics() if found["topic"] == topic)


async def _until_known(admin: AIOKafkaAdminClient, topic: str, *, partitions: int) -> None:
    """The controller answers before every broker has heard of a change."""
    while await _partition_count(admin, topic) < partitions:  # noqa: ASYNC110 (nobody tells us)
        await asyncio.sleep(RETRY_SECONDS)


async def _committed(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's offsets; a young cluster elects its coordinator first."""
    while True:
        try:
            offsets: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
                group, partitions=list(partitions)
            )
            return offsets
        except _COORDINATOR_MOVES:
            await asyncio.sleep(RETRY_SECONDS)


async def _members(admin: AIOKafkaAdminClient, group: str) -> list[Member]:
    while True:
        try:
            responses = await admin.describe_consumer_groups([group])
        except _COORDINATOR_MOVES:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        found = [member for response in responses for answer in response.groups for member in answer[5]]
        return [
            Member(client, host.lstrip("/"), _assigned(assignment))
            for _, client, host, _metadata, assignment, *_ in found
        ]


def _assigned(assignment: bytes) -> frozenset[tuple[str, int]]:
    """What a group's leader wrote for a member; nothing while the group settles, or for another kind of group."""
    if not assignment:
        return frozenset()
    partitions = ConsumerProtocolMemberAssignment.decode(assignment).partitions()
    return frozenset((one.topic, one.partition) for one in partitions)


def _note(committed: OffsetAndMetadata | None) -> str:
    return committed.metadata if committed is not None else ""


def _resume(committed: OffsetAndMetadata | None, span: OffsetRange) -> int:
    """Where the group reads on. An offset that the partition does not reach, of a broker that lost its disk, counts as
    none: so the group's consumers take it."""
    offset = committed.offset if committed is not None else 0
    return span.begin if offset > span.end else max(span.begin, offset)


async def _ages(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int], spans: Mapping[TopicPartition, OffsetRange]
) -> dict[TopicPartition, float]:
    """Seconds since the record at each offset was written; none where only a transaction's marks are left."""
    waiting = [partition for partition, offset in offsets.items() if offset < spans[partition].end]
    ages: dict[TopicPartition, float] = {}
    consumer.assign(waiting)
    for partition in waiting:
        consumer.seek(partition, offsets[partition])
    for partition in waiting:
        for record in await _fetch(consumer, partition, spans[partition].end, most=1):
            ages[partition] = max(0.0, time.time() - record.timestamp / 1000)
    return ages


async def _spans(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
    beginnings = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return {one: OffsetRange(beginnings[one], ends[one]) for one in partitions}


async def _first_since(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, OffsetRange], timestamp_ms: int
) -> dict[TopicPartition, int]:
    """The first record written then or later, whatever the order of times; the end where there is none."""
    if timestamp_ms <= 0:
        return {one: span.begin for one, span in spans.items()}
    found = await consumer.offsets_for_times(dict.fromkeys(spans, timestamp_ms))
    return {one: span.end if found[one] is None else found[one].offset for one, span in spans.items()}


async def _stream(
    consumer: AIOKafkaConsumer, partition: TopicPartition, begin: int, end: int
) -> AsyncGenerator[StoredRecord]:
    """What lies from `begin` up to `end`, a fetch at a time."""
    if begin >= end:
        return
    consumer.assign([partition])
    consumer.seek(partition, begin)
    while records := await _fetch(consumer, partition, end):
        for record in records:
            if record.offset < end:
                yield _stored(record)


async def _fetch(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end: int, *, most: int = FETCH_RECORDS
) -> list[Any]:
    """The next records; none once the position is at the end, also where what lay before it was deleted."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await consumer.position(partition) < end:
            try:
                found = await consumer.getmany(partition, timeout_ms=FETCH_MS, max_records=most)
            except UnicodeDecodeError:
                read_any_header_name()
                continue
            if records := found.get(partition):
                return list(records)
    return []


def _stored(record: Any) -> StoredRecord:
    return StoredRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value or b"",  # Kafka knows records without a value
        headers=record.headers,
        timestamp_ms=record.timestamp,
    )


def _raise_first(codes: Iterable[int]) -> None:
    """Raises the error of the first code that is one."""
    for code in codes:
        if code:
            raise for_code(code)


@contextmanager
def _answering() -> Iterator[None]:
    """Tells a broker that is away from one that refuses."""
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, OSError, TimeoutError) as error:
        raise Retryable("dependency.away", name="Kafka") from error
    except KafkaError as error:
        code = "dependency.away" if error.retriable else "dependency.refused"
        raise Retryable(code, name="Kafka", kind=type(error).__name__) from error
