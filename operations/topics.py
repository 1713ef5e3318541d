"""Makes a broker's topics what topics.yaml says, and draws the flow.

It creates what lacks, raises partitions, and sets retention and sizes. It never deletes a topic and never lowers
partitions, which Kafka cannot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infra.broker import Broker, TopicState
from schemas.errors import CradleError
from schemas.topology import DEAD_LETTER_SUFFIX, Origin, Topic, Topology

BATCH_BYTES: Final = 64 * 1024
"""What Kafka's batch header, the key and a dead letter's own headers may add to a record: its limit is the batch's."""
SEGMENTS: Final = 4
"""Kafka deletes whole segments: one spans at most this part of the retention, so nothing stays much longer than it."""
AT_CREATION: Final = frozenset({"min.insync.replicas"})
"""Settings of new topics alone: a topic keeps its copies, and two in sync of one would refuse every record."""
DEAD_LETTER_PARTITIONS: Final = 1
DEAD_LETTER_SECONDS: Final = 14 * 24 * 3600
"""A person has to look at them, so they stay for two weeks, or as long as their topic where that is longer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the broker and topics.yaml."""

    topic: str
    partitions: int | None
    """The number to create it with or to raise it to; None where it stays."""
    config: Mapping[str, str]
    """What to set."""
    present: TopicState | None
    """What the topic is now; None: it does not exist."""

    def __str__(self) -> str:
        if self.present is None:
            settings = [f"{name}={value}" for name, value in self.config.items()]
            return f"{self.topic}: create with " + ", ".join([f"partitions={self.partitions}", *settings])
        was = {"partitions": str(self.present.partitions), **self.present.config}
        sets = self.config if self.partitions is None else {"partitions": str(self.partitions), **self.config}
        changes = [f"{name} {was.get(name, 'unset')} -> {value}" for name, value in sets.items()]
        return f"{self.topic}: alter " + ", ".join(changes)


def wanted_topics(flow: Topology, *, replication: int) -> dict[str, Wanted]:
    """Every topic that the flow uses, and one for the dead letters of each that a stage reads."""
    durable = {"min.insync.replicas": "2"} if replication > 2 else {}
    found: dict[str, Wanted] = {}
    for name, topic in flow.topics.items():
        if topic.reserved:
            continue
        found[name] = Wanted(topic.partitions, _config(topic, topic.retention) | durable)
        if flow.readers[name]:
            kept = max(topic.retention, DEAD_LETTER_SECONDS)
            letters = _config(topic, kept, spare=2 * BATCH_BYTES)  # of any record that its topic takes, and a postmark
            found[name + DEAD_LETTER_SUFFIX] = Wanted(DEAD_LETTER_PARTITIONS, letters | durable)
    return found


def plan(wanted: Mapping[str, Wanted], present: Mapping[str, TopicState]) -> list[Change]:
    """The changes that make `present` what is `wanted`, in its order; none where all is as it should be.

    Raises CradleError `topology.partitions` for a topic that has more partitions than are wanted.
    """
    changes = [
        _alteration(name, topic, present[name])
        if name in present
        else Change(name, topic.partitions, topic.config, present=None)
        for name, topic in wanted.items()
    ]
    return [change for change in changes if change.partitions is not None or change.config]


async def apply(broker: Broker, flow: Topology, *, replication: int, dry_run: bool = False) -> list[Change]:
    """Makes the changes, unless `dry_run`; returns them. Twice is harmless.

    `replication`: copies of each partition of a topic created here; from 3 on, two of them have to be in sync.
    Raises CradleError `topology.partitions` before anything is changed, Retryable `dependency.away`.
    """
    changes = plan(wanted_topics(flow, replication=replication), await broker.topics())
    for change in changes if not dry_run else ():
        if change.present is None:
            assert change.partitions is not None
            await broker.create_topic(
                change.topic, partitions=change.partitions, replication=replication, config=change.config
            )
        else:
            await broker.alter_topic(change.topic, partitions=change.partitions, config=change.config)
    return changes


def _config(topic: Topic, seconds: int, spare: int = BATCH_BYTES) -> dict[str, str]:
    return {
        "retention.ms": str(seconds * 1000),
        "segment.ms": str(seconds * 1000 // SEGMENTS),
        "max.message.bytes": str(topic.max_bytes + spare),
    }


def _alteration(name: str, wanted: Wanted, present: TopicState) -> Change:
    if present.partitions > wanted.partitions:
        raise CradleError("topology.partitions", topic=name, found=present.partitions, wanted=wanted.partitions)
    alterable = {key: value for key, value in wanted.config.items() if key not in AT_CREATION}
    config = {key: value for key, value in alterable.items() if present.config.get(key) != value}
    raised = wanted.partitions if wanted.partitions > present.partitions else None
    return Change(name, raised, config, present)


def draw(flow: Topology) -> str:
    """The flow for a terminal: a block of lines for each stage, after the stages that feed it, what it reads on the
    left and what it writes on the right; reserved topics below.

     producers  ──▶ ingest      ──▶ admit ──▶ chunk-ready
                    chunk-ready ──▶ chunk ──▶ chunked
    """
    blocks = [_block(name, flow) for name in _in_order(flow)]
    widths = [max(len(row[column]) for block in blocks for row in block) for column in range(3)]
    lines = [
        " " + "".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for block in blocks
        for row in block
    ]
    reserved = [name for name, topic in flow.topics.items() if topic.reserved]
    if reserved:
        lines += ["", f" reserved for stages to come: {', '.join(reserved)}"]
    return "\n".join(lines)


def _in_order(flow: Topology) -> list[str]:
    """The stages, each after those whose topics it reads, otherwise in the order of topics.yaml."""
    placed: list[str] = []
    while len(placed) < len(flow.stages):
        placed.append(
            next(
                name
                for name, stage in flow.stages.items()
                if name not in placed and all(writer in placed for t in stage.reads for writer in flow.writers[t])
            )
        )
    return placed


def _block(name: str, flow: Topology) -> list[tuple[str, str, str, str]]:
    """Rows of (origin, topic read, stage, topics written), to be padded column by column."""
    stage = flow.stages[name]
    reads, writes = len(stage.reads), len(stage.writes)
    widest = max(len(origin) for origin in Origin)
    longest = max(len(topic) for other in flow.stages.values() for topic in other.reads)
    rows = []
    for i in range(max(reads, writes)):
        topic = stage.reads[i] if i < reads else ""
        origin = flow.topics[topic].origin if topic else None
        rows.append(
            (
                f"{origin:{widest}} ──▶ " if origin else "",
                f"{topic:{longest}} {_joint(i, reads, '──▶', ('─┬▶', '─┤ ', '─┘ '))} " if topic else "",
                f"{name} " if i == 0 else "",
                f"{_joint(i, writes, '──▶', ('─┬▶', ' ├▶', ' └▶'))} {stage.writes[i]}" if i < writes else "",
            )
        )
    return rows


def _joint(row: int, rows: int, alone: str, first_middle_last: tuple[str, str, str]) -> str:
    if rows == 1:
        return alone
    return first_middle_last[0 if row == 0 else 2 if row == rows - 1 else 1]
