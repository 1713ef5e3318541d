"""Where a stage reads on: its group's offsets set to a time, an end of its topics, or an offset.

The plain Kafka way to have records read again. It is harmless: an input that has an outcome is skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from infra.broker import Broker, OffsetRange
from schemas.errors import CradleError, Permanent
from schemas.topology import Topology

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class End(StrEnum):
    EARLIEST = "earliest"
    LATEST = "latest"


Target = End | datetime | int
"""An end of every partition, the first record written then or later, or an offset."""


@dataclass(frozen=True, slots=True)
class Move:
    """One partition of a group."""

    topic: str
    partition: int
    before: int
    """Where the group would have read on."""
    after: int
    end: int

    @property
    def again(self) -> int:
        """How many records are read again; negative: how many are left out."""
        return self.before - self.after


def read_target(text: str) -> Target:
    """`earliest`, `latest`, an offset, or a time as ISO 8601, in UTC where it names no zone. Raises CradleError
    `offsets.target`."""
    if text in tuple(End):
        return End(text)
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CradleError("offsets.target") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment < EPOCH:
        raise CradleError("offsets.target")
    return moment


async def reset(
    group: str,
    to: Target,
    *,
    broker: Broker,
    topology: Topology,
    topic: str | None = None,
    partition: int | None = None,
    dry_run: bool = False,
) -> list[Move]:
    """Sets a stage's group, or those of its partitions that are named, unless `dry_run`; returns every move.

    A target beyond what a partition holds becomes its nearer end. Raises CradleError `stage.unknown` or
    `offsets.topic`, Permanent `group.active` while the stage has workers, Retryable `dependency.away`.
    """
    moves = await _plan(group, to, _topics(group, topic, topology), partition, broker)
    if not moves:
        raise CradleError("offsets.topic", group=group, known=", ".join(topology.stages[group].reads))
    if await broker.members(group):
        raise Permanent("group.active", group=group)
    if not dry_run:
        await broker.reset(group, {(move.topic, move.partition): move.after for move in moves})
    return moves


def _topics(group: str, topic: str | None, topology: Topology) -> tuple[str, ...]:
    if group not in topology.stages:
        raise CradleError("stage.unknown", stage=group, known=", ".join(topology.stages))
    return tuple(name for name in topology.stages[group].reads if topic in (None, name))


async def _plan(group: str, to: Target, topics: tuple[str, ...], partition: int | None, broker: Broker) -> list[Move]:
    moves = []
    for topic in topics:
        spans = await broker.ranges(topic)
        wanted = await _offsets(topic, to, spans, broker)
        for lag in await broker.lag(group, [topic]):
            if partition in (None, lag.partition):
                span = spans[lag.partition]
                after = min(max(wanted[lag.partition], span.begin), span.end)
                moves.append(Move(topic, lag.partition, lag.committed, after, span.end))
    return moves


async def _offsets(topic: str, to: Target, spans: Mapping[int, OffsetRange], broker: Broker) -> Mapping[int, int]:
    match to:
        case End.EARLIEST:
            return {number: span.begin for number, span in spans.items()}
        case End.LATEST:
            return {number: span.end for number, span in spans.items()}
        case datetime():
            return await broker.offsets_at(topic, int(to.timestamp() * 1000))
        case int():
            return dict.fromkeys(spans, to)
