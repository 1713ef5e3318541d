"""Step 1: from records to opened messages, less those that need no work.

Whatever a record's bytes are, it becomes exactly one of: opened, unreadable (dead letter) or skipped.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from consumers.runtime.contract import Jobs, Received
from consumers.runtime.lanes import lane_of
from consumers.runtime.runtime import Runtime
from infra.broker import StoredRecord
from schemas import envelope
from schemas.errors import Permanent
from schemas.letters import WholeRecord
from schemas.messages import DocumentsSubmitted, Message
from schemas.topology import Origin, Topic


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that can be handed to the stage, and the record it came in."""

    record: StoredRecord
    received: Received[Message]
    lane: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that can never be opened.

    `id` comes from its bytes, never from its headers: a forged record must not take the id of a real message.
    """

    record: StoredRecord
    id: UUID
    error: Permanent


@dataclass(slots=True)
class OpenedPoll:
    messages: dict[UUID, Opened] = field(default_factory=dict)
    duplicates: dict[UUID, list[StoredRecord]] = field(default_factory=dict)
    """Further records of those messages in the same poll: finished when the message is."""
    unreadable: list[Unreadable] = field(default_factory=list)
    skipped: list[StoredRecord] = field(default_factory=list)
    """Records of messages that have an outcome, and of jobs that are erased or cancelled."""
    queued: list[Opened] = field(default_factory=list)
    """What has to wait behind older records of its lane."""
    in_hand: set[UUID] = field(default_factory=set)
    """What the ledger notes as ours until it has an outcome or is put down."""
    suspects: dict[UUID, int] = field(default_factory=dict)
    """Messages that another worker may have died of, and how often each killed a process that it was alone in."""


async def open_poll(
    stage: str, poll: Sequence[StoredRecord], runtime: Runtime, *, behind: Collection[str] = ()
) -> OpenedPoll:
    """Opens a poll's records, and takes in hand what is not finished and of no erased or cancelled job.

    What is of a lane in `behind` only queues: the ledger is not asked about it.
    """
    opened = OpenedPoll()
    for record in poll:
        match await _open_record(record, runtime.topology.topics[record.topic], runtime.ports.jobs):
            case None:
                opened.skipped.append(record)
            case Unreadable() as one:
                opened.unreadable.append(one)
            case Opened() as one if one.lane in behind:
                opened.queued.append(one)
            case Opened() as one if one.received.id in opened.messages:
                opened.duplicates.setdefault(one.received.id, []).append(record)
            case Opened() as one:
                opened.messages[one.received.id] = one
    if opened.messages:
        await _skip_stopped(opened, runtime)
    if opened.messages or opened.unreadable:
        await _take(stage, opened, runtime)
    return opened


async def _skip_stopped(opened: OpenedPoll, runtime: Runtime) -> None:
    jobs = {one.received.job for one in opened.messages.values()}
    stopped = await runtime.ports.ledger.erased_jobs([*jobs])
    _skip(opened, {message for message, one in opened.messages.items() if one.received.job in stopped})


async def _take(stage: str, opened: OpenedPoll, runtime: Runtime) -> None:
    """One question for all: what of these is finished, what did another worker leave in hand; the rest is ours."""
    messages = [*opened.messages, *(one.id for one in opened.unreadable)]
    taken = await runtime.ports.ledger.take(stage, messages, worker=runtime.worker, now=runtime.ports.clock())
    opened.in_hand = set(messages) - taken.finished
    opened.suspects = {message: strikes for message, strikes in taken.suspects.items() if message in opened.messages}
    _skip(opened, taken.finished & opened.messages.keys())
    opened.skipped += [one.record for one in opened.unreadable if one.id in taken.finished]
    opened.unreadable = [one for one in opened.unreadable if one.id not in taken.finished]


def _skip(opened: OpenedPoll, messages: Collection[UUID]) -> None:
    for message in messages:
        opened.skipped += [opened.messages.pop(message).record, *opened.duplicates.pop(message, ())]


async def _open_record(record: StoredRecord, topic: Topic, jobs: Jobs) -> Opened | Unreadable | None:
    """None: the job's key is destroyed, so nobody can read the record again."""
    try:
        if topic.origin is Origin.PRODUCERS and envelope.is_clear(record.headers, record.value):
            return _open_clear(record, topic)
        return await _open_sealed(record, topic, jobs)
    except Permanent as error:
        if error.code == "key.destroyed":
            return None
        return Unreadable(record, WholeRecord(record.key, record.headers, record.value).id(record.topic), error)


def _open_clear(record: StoredRecord, topic: Topic) -> Opened:
    message_id, message = envelope.open_clear(record.value)
    received: Received[Message] = Received(message_id, message.job, message)
    return Opened(record, received, lane_of(received, topic.key))


async def _open_sealed(record: StoredRecord, topic: Topic, jobs: Jobs) -> Opened:
    address = envelope.address(record.headers)
    key = await jobs.key(address.job)
    message = envelope.open_sealed(record.headers, record.value, key=key, expected=topic.type)
    if isinstance(message, DocumentsSubmitted) and message.job != address.job:
        raise Permanent("envelope.invalid", what="its customer and reference are of another job than its envelope")
    received: Received[Message] = Received(address.id, address.job, message, address.document)
    return Opened(record, received, lane_of(received, topic.key), address.traceparent)
