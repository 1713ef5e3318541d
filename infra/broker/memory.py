"""The broker in one process's memory, for tests: same semantics as Kafka's, and offsets that a test may commit."""

import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from infra.broker import Broker, Member, OffsetRange, OutgoingRecord, PartitionLag, StoredRecord, TopicState
from schemas.errors import Permanent, Retryable

DEFAULTS: Final = {"retention.ms": "604800000", "max.message.bytes": "1048588"}
"""Kafka's own."""


class MemoryBroker:
    def __init__(self) -> None:
        self._topics: dict[str, TopicState] = {}
        self._partitions: dict[tuple[str, int], list[StoredRecord]] = {}
        self._ranges: dict[tuple[str, int], OffsetRange] = {}
        self._committed: dict[tuple[str, str, int], int] = {}
        self.away = False
        """True: every method raises as if nothing answered."""
        self.joined: dict[str, list[Member]] = {}
        """By group; nobody consumes from memory, but a test may say so."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self._answer()
        for record in records:
            if record.topic not in self._topics:
                raise Retryable("topic.missing", topic=record.topic)
            self._check_size(record)
            self.append(record, timestamp_ms=int(time.time() * 1000))

    async def topics(self) -> dict[str, TopicState]:
        self._answer()
        return dict(sorted(self._topics.items()))

    async def create_topic(self, name: str, *, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        self._answer()
        if name not in self._topics:
            self._topics[name] = TopicState(partitions, {**DEFAULTS, **config})

    async def alter_topic(self, name: str, *, partitions: int | None, config: Mapping[str, str]) -> None:
        self._answer()
        if name not in self._topics:
            raise Retryable("topic.missing", topic=name)
        now = self._topics[name]
        self._topics[name] = TopicState(max(now.partitions, partitions or 0), {**now.config, **config})

    async def lag(self, group: str, topics: Sequence[str]) -> list[PartitionLag]:
        self._answer()
        return [
            self._lag_of(group, topic, number)
            for topic in sorted(topics)
            if topic in self._topics
            for number in range(self._topics[topic].partitions)
        ]

    async def members(self, group: str) -> list[Member]:
        self._answer()
        return list(self.joined.get(group, ()))

    async def read(self, topic: str, *, limit: int | None = None) -> list[StoredRecord]:
        self._answer()
        return self.records(topic)[:limit]

    async def scan(
        self,
        topic: str,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> AsyncGenerator[StoredRecord]:
        self._answer()
        for record in self.records(topic):
            begun = record.offset >= (start or {}).get(record.partition, 0)
            if (
                begun
                and (since_ms or 0) <= record.timestamp_ms
                and (until_ms is None or record.timestamp_ms < until_ms)
            ):
                yield record

    async def ranges(self, topic: str) -> dict[int, OffsetRange]:
        self._answer()
        count = self._topics[topic].partitions if topic in self._topics else 0
        return {number: self._range(topic, number) for number in range(count)}

    async def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        found = {number: span.end for number, span in (await self.ranges(topic)).items()}
        for record in reversed(self.records(topic)):
            if record.timestamp_ms >= timestamp_ms:
                found[record.partition] = record.offset
        return found

    async def reset(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        if await self.members(group):
            raise Permanent("group.active", group=group)
        for (topic, partition), offset in offsets.items():
            self.commit(group, topic, partition, offset)

    async def ping(self) -> None:
        self._answer()

    # -- what only tests need ---------------------------------------------------------------------------------------

    def records(self, topic: str) -> list[StoredRecord]:
        """What the topic holds, by partition and offset; nothing if there is no such topic."""
        count = self._topics[topic].partitions if topic in self._topics else 0
        return [record for number in range(count) for record in self._partitions.get((topic, number), ())]

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """The group resumes at `offset`."""
        self._committed[group, topic, partition] = offset

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Where the group resumes: 0 where it has committed nothing."""
        return self._committed.get((group, topic, partition), 0)

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Deletes what lies before that offset; the partition's end stays where it is."""
        log = self._partitions.get((topic, partition), [])
        log[:] = [record for record in log if record.offset >= before]
        self._ranges[topic, partition] = OffsetRange(before, self._range(topic, partition).end)

    def append(self, record: OutgoingRecord, *, timestamp_ms: int) -> None:
        """Writes a record as if at that time."""
        number = zlib.crc32(record.key) % self._topics[record.topic].partitions
        span = self._range(record.topic, number)
        self._ranges[record.topic, number] = OffsetRange(span.begin, span.end + 1)
        self._partitions.setdefault((record.topic, number), []).append(
            StoredRecord(
                topic=record.topic,
                partition=number,
                offset=span.end,
                key=record.key,
                value=record.value,
                headers=tuple(record.headers),
                timestamp_ms=timestamp_ms,
            )
        )

    def _range(self, topic: str, partition: int) -> OffsetRange:
        return self._ranges.get((topic, partition), OffsetRange(0, 0))

    def _check_size(self, record: OutgoingRecord) -> None:
        size = len(record.value) + sum(len(name) + len(content) for name, content in record.headers)
        if size > int(self._topics[record.topic].config["max.message.bytes"]):
            raise Permanent("message.too-large", size=size, limit=f"what topic {record.topic} allows")

    def _lag_of(self, group: str, topic: str, number: int) -> PartitionLag:
        span = self._range(topic, number)
        committed = self.committed(group, topic, number)
        committed = span.begin if committed > span.end else max(span.begin, committed)
        ahead = [record for record in self._partitions.get((topic, number), ()) if record.offset >= committed]
        behind = max(0.0, time.time() - ahead[0].timestamp_ms / 1000) if ahead else 0.0
        return PartitionLag(topic, number, committed, span.end, behind)

    def _answer(self) -> None:
        if self.away:
            raise Retryable("dependency.away", name="Kafka")


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[Broker]:
    yield MemoryBroker()
