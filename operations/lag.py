"""How far each stage is behind, partition by partition: what waits, since when, who has it, and when it will be done.

Everything comes from the broker, so it works while no consumer runs. A worker writes into each commit who it is, since
when the partition is its own, and when it committed (`Mark`): Kafka keeps that text beside the offset.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.broker import Broker, Member, PartitionLag
from schemas.topology import Stage, Topic, Topology

RATE_SECONDS: Final = 30.0
"""Rates are taken over this much time, or as much of it as was looked at."""
RETENTION_SHARE: Final = 0.5
"""An unread record that has used up this part of its topic's retention is a warning: Kafka will delete it unread."""

Place = tuple[str, str, int]
"""Stage, topic, partition."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a worker says of itself in a commit. Times are milliseconds since 1970."""

    worker: str
    since: int
    """When the partition was assigned to it."""
    at: int
    """When it committed."""

    def text(self) -> str:
        return json.dumps({"worker": self.worker, "since": self.since, "at": self.at}, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> "Mark | None":
        """None for the text of some other client, or of none."""
        try:
            found = json.loads(text)
            return cls(str(found["worker"]), int(found["since"]), int(found["at"]))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Sample:
    """Every partition of every stage at one moment."""

    at: float
    """Seconds since 1970."""
    partitions: Mapping[Place, PartitionLag]
    owners: Mapping[Place, str]
    """The workers that the broker knows; a partition that nobody has is left out."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as a stage's group sees it."""

    topic: str
    number: int
    committed: int
    end: int
    seconds_behind: float
    """Age of the record at the committed offset; 0 where none waits."""
    owner: str | None
    owned_since: float | None
    """Seconds since 1970; None where the owner has not said so yet."""
    rate_in: float | None
    """Records a second; None before a second look."""
    rate_out: float | None
    stuck: bool
    """Records wait, and for longer than the stage's `stuck` time nothing was committed."""
    retention_used: float
    """Part of the topic's retention that the oldest unread record has used up, from 0 to 1 and beyond."""

    @property
    def records_behind(self) -> int:
        return max(0, self.end - self.committed)

    @property
    def expiring(self) -> bool:
        return self.retention_used >= RETENTION_SHARE


@dataclass(frozen=True, slots=True)
class StageLag:
    stage: str
    partitions: tuple[Partition, ...]
    """By topic and partition."""

    @property
    def records_behind(self) -> int:
        return sum(partition.records_behind for partition in self.partitions)

    @property
    def seconds_behind(self) -> float:
        """Age of the oldest record that waits; 0 where none does."""
        return max((partition.seconds_behind for partition in self.partitions), default=0.0)

    @property
    def rate_in(self) -> float | None:
        return _sum([partition.rate_in for partition in self.partitions])

    @property
    def rate_out(self) -> float | None:
        return _sum([partition.rate_out for partition in self.partitions])

    @property
    def drain_seconds(self) -> float | None:
        """Until nothing waits, at these rates; 0 where nothing does, None where they are unknown or it only grows."""
        return drain_seconds(self.records_behind, self.rate_in, self.rate_out)

    @property
    def stuck(self) -> int:
        return sum(partition.stuck for partition in self.partitions)

    @property
    def expiring(self) -> int:
        return sum(partition.expiring for partition in self.partitions)

    @property
    def owners(self) -> int:
        """Workers that have a partition."""
        return len({partition.owner for partition in self.partitions if partition.owner})


@dataclass(slots=True)
class LagMeter:
    """Looks again and again, and keeps as many looks as rates need. One a process."""

    broker: Broker
    flow: Topology
    _seen: deque[Sample] = field(default_factory=deque)

    async def look(self, stages: Sequence[str], *, now: float) -> list[StageLag]:
        """The stages as they stand at `now`, seconds since 1970. Rates are there from the second look on.

        Raises Retryable `dependency.away`.
        """
        sample = await take_sample(self.broker, self.flow, stages, now=now)
        while self._seen and now - self._seen[0].at > RATE_SECONDS:
            self._seen.popleft()
        before = self._seen[0] if self._seen else None
        self._seen.append(sample)
        return judge(self.flow, sample, before)


async def take_sample(broker: Broker, flow: Topology, stages: Sequence[str], *, now: float) -> Sample:
    """A stage's consumer group bears its name. Raises Retryable `dependency.away`."""
    partitions: dict[Place, PartitionLag] = {}
    owners: dict[Place, str] = {}
    for stage in stages:
        for one in await broker.lag(stage, flow.stages[stage].reads):
            partitions[stage, one.topic, one.partition] = one
        for member in await broker.members(stage):
            owners.update(_owned(stage, member))
    return Sample(now, partitions, owners)


def judge(flow: Topology, now: Sample, before: Sample | None) -> list[StageLag]:
    """What a sample means, beside an earlier one for the rates. Stages in the order of the sample."""
    found: dict[str, list[Partition]] = {}
    for place, lag in now.partitions.items():
        stage, topic, _ = place
        found.setdefault(stage, []).append(
            _judge_one(flow.stages[stage], flow.topics[topic], place, lag, now=now, before=before)
        )
    return [StageLag(stage, tuple(partitions)) for stage, partitions in found.items()]


def drain_seconds(behind: int, rate_in: float | None, rate_out: float | None) -> float | None:
    """Seconds until `behind` records are done; 0 where none are behind, None where it is unknown or never."""
    if behind == 0:
        return 0.0
    if rate_in is None or rate_out is None or rate_out <= rate_in:
        return None
    return behind / (rate_out - rate_in)


def _judge_one(
    stage: Stage, topic: Topic, place: Place, lag: PartitionLag, *, now: Sample, before: Sample | None
) -> Partition:
    owner = now.owners.get(place)
    mark = Mark.read(lag.note)
    rate_in, rate_out = _rates(place, lag, now, before)
    return Partition(
        topic=lag.topic,
        number=lag.partition,
        committed=lag.committed,
        end=lag.end,
        seconds_behind=lag.seconds_behind,
        owner=owner,
        owned_since=mark.since / 1000 if mark is not None and mark.worker == owner else None,
        rate_in=rate_in,
        rate_out=rate_out,
        stuck=_is_stuck(lag, mark, stage.stuck, now.at),
        retention_used=lag.seconds_behind / topic.retention,
    )


def _is_stuck(lag: PartitionLag, mark: Mark | None, patience: float, now: float) -> bool:
    """A record that has only just come, or a commit that was only just made, is no standstill."""
    if lag.records_behind == 0:
        return False
    since_commit = now - mark.at / 1000 if mark is not None else lag.seconds_behind
    return min(lag.seconds_behind, since_commit) > patience


def _rates(place: Place, lag: PartitionLag, now: Sample, before: Sample | None) -> tuple[float | None, float | None]:
    earlier = before.partitions.get(place) if before is not None else None
    if before is None or earlier is None or now.at <= before.at:
        return None, None
    seconds = now.at - before.at
    return max(0, lag.end - earlier.end) / seconds, max(0, lag.committed - earlier.committed) / seconds


def _owned(stage: str, member: Member) -> dict[Place, str]:
    return {(stage, topic, number): member.name for topic, number in member.partitions}


def _sum(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
