"""The broker in one process's memory, for tests: same semantics as Kafka's, and offsets that a test may commit."""

import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from infra.broker import Broker, OutgoingRecord, PartitionLag, StoredRecord, TopicState
from schemas.errors import Permanent, Retryable

DEFAULTS: Final = {"retention.ms": "604800000", "max.message.bytes": "1048588"}
"""Kafka's own."""


class MemoryBroker:
    def __init__(self) -> None:
        self._topics: dict[str, TopicState] = {}
        self._partitions: dict[tuple[str, int], list[StoredRecord]] = {}
        self._committed: dict[tuple[str, str, int], int] = {}
        self.away = False
        """True: every method raises as if nothing answered."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self._answer()
        for record in records:
            if record.topic not in self._topics:
                raise Retryable("topic.missing", topic=record.topic)
            self._check_size(record)
            self._append(record)

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

    async def read(self, topic: str, *, limit: int | None = None) -> list[StoredRecord]:
        self._answer()
        return self.records(topic)[:limit]

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

    def _append(self, record: OutgoingRecord) -> None:
        number = zlib.crc32(record.key) % self._topics[record.topic].partitions
        log = self._partitions.setdefault((record.topic, number), [])
        log.append(
            StoredRecord(
                topic=record.topic,
                partition=number,
                offset=len(log),
                key=record.key,
                value=record.value,
                headers=tuple(record.headers),
                timestamp_ms=int(time.time() * 1000),
            )
        )

    def _check_size(self, record: OutgoingRecord) -> None:
        size = len(record.value) + sum(len(name) + len(content) for name, content in record.headers)
        if size > int(self._topics[record.topic].config["max.message.bytes"]):
            raise Permanent("message.too-large", size=size, limit=f"what topic {record.topic} allows")

    def _lag_of(self, group: str, topic: str, number: int) -> PartitionLag:
        log = self._partitions.get((topic, number), [])
        committed = self.committed(group, topic, number)
        behind = max(0.0, time.time() - log[committed].timestamp_ms / 1000) if committed < len(log) else 0.0
        return PartitionLag(topic, number, committed, len(log), behind)

    def _answer(self) -> None:
        if self.away:
            raise Retryable("dependency.away", name="Kafka")


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[Broker]:
    yield MemoryBroker()
