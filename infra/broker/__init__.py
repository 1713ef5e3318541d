"""The broker port: publishing, topics, offsets and lag. Consuming is the runtime's, through FastStream.

One adapter speaks the Kafka protocol to Apache Kafka and to the embedded broker alike; the in-memory one serves tests.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.broker.memory:open_memory",
    "kafka": "infra.broker.kafka:open_kafka",
}


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class TopicState:
    partitions: int
    config: Mapping[str, str]
    """`retention.ms` and `max.message.bytes` at least."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    topic: str
    partition: int
    committed: int
    """Offset the group resumes at; the partition's beginning where it has committed nothing."""
    end: int
    seconds_behind: float
    """Age of the record at the committed offset; 0 where there is none."""
    note: str = ""
    """What the committing worker wrote beside the offset."""

    @property
    def records_behind(self) -> int:
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class Member:
    """A consumer in a group."""

    name: str
    """Its client id."""
    host: str
    partitions: frozenset[tuple[str, int]]
    """Topic and partition."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """What a partition holds: offsets from `begin` up to `end`, exclusive."""

    begin: int
    end: int


class Broker(Protocol):
    """Every method raises Retryable: `dependency.away` when no broker answers in time, `dependency.refused` when one
    answers that it will not."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        """Returns once every record is acknowledged by all in-sync replicas (idempotent producer, acks=all).

        After an error some may be published all the same. Raises Permanent `message.too-large`, Retryable
        `topic.missing`.
        """

    async def topics(self) -> dict[str, TopicState]: ...

    async def create_topic(self, name: str, *, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Harmless where the topic exists."""

    async def alter_topic(self, name: str, *, partitions: int | None, config: Mapping[str, str]) -> None:
        """Raises `partitions` and sets the given configuration, leaving the rest as it is."""

    async def lag(self, group: str, topics: Sequence[str]) -> list[PartitionLag]:
        """By topic and partition; works while no consumer runs."""

    async def members(self, group: str) -> list[Member]:
        """The group's consumers by name; none if it has none, or does not exist. While it rebalances they have no
        partitions."""

    async def read(self, topic: str, *, limit: int | None = None) -> list[StoredRecord]:
        """The first `limit` of what the topic holds now, by partition and offset; nothing if there is no such topic."""

    def scan(
        self,
        topic: str,
        *,
        start: Mapping[int, int] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> AsyncGenerator[StoredRecord]:
        """What the topic holds when the first record is asked for, as a stream, by partition and offset; nothing if
        there is no such topic. What is deleted meanwhile is passed over.

        `start`: the first offset of a partition, its beginning where none is given. `since_ms` (inclusive) and
        `until_ms` (exclusive) bound the records' timestamps, in whatever order these are. Whoever stops before the end
        closes the stream (`contextlib.aclosing`), which holds a connection.
        """

    async def ranges(self, topic: str) -> dict[int, OffsetRange]:
        """By partition; empty if there is no such topic."""

    async def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """By partition: the offset of the first record written at that time or later, the end where there is none."""

    async def reset(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Lets the group resume at these offsets, by topic and partition. Raises Permanent `group.active` while it has
        members: Kafka lets only them commit then."""

    async def ping(self) -> None: ...


def open_broker(url: str) -> AbstractAsyncContextManager[Broker]:
    """`kafka://host:port,host:port`, `memory:`. Opening needs no broker to answer: the first call does."""
    context: AbstractAsyncContextManager[Broker] = adapter("broker", url, ADAPTERS)(url)
    return context
