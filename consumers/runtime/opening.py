"""Step 1: from records to opened messages, less those that need no work.

Whatever a record's bytes are, it becomes exactly one of: opened, unreadable (dead letter) or skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from consumers.runtime.contract import Jobs, Received
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


async def open_poll(stage: str, poll: Sequence[StoredRecord], runtime: Runtime) -> OpenedPoll:
    """Opens a poll's records and asks the ledger, once for all of them, which are finished already."""
    opened = OpenedPoll()
    for record in poll:
        match await _open_record(record, runtime.topology.topics[record.topic], runtime.ports.jobs):
            case None:
                opened.skipped.append(record)
            case Unreadable() as one:
                opened.unreadable.append(one)
            case Opened() as one if one.received.id in opened.messages:
                opened.duplicates.setdefault(one.received.id, []).append(record)
            case Opened() as one:
                opened.messages[one.received.id] = one
    await _skip_finished(stage, opened, runtime)
    return opened


async def _skip_finished(stage: str, opened: OpenedPoll, runtime: Runtime) -> None:
    ledger = runtime.ports.ledger
    jobs = {one.received.job for one in opened.messages.values()}
    finished = await ledger.finished(stage, [*opened.messages, *(one.id for one in opened.unreadable)])
    erased = await ledger.erased_jobs([*jobs])
    for message, one in [*opened.messages.items()]:
        if message in finished or one.received.job in erased:
            del opened.messages[message]
            opened.skipped += [one.record, *opened.duplicates.pop(message, ())]
    opened.skipped += [one.record for one in opened.unreadable if one.id in finished]
    opened.unreadable = [one for one in opened.unreadable if one.id not in finished]


async def _open_record(record: StoredRecord, topic: Topic, jobs: Jobs) -> Opened | Unreadable | None:
    """None: the job's key is destroyed, so nobody can read the record again."""
    try:
        if topic.origin is Origin.PRODUCERS and envelope.is_clear(record.headers, record.value):
            return _open_clear(record)
        return await _open_sealed(record, topic, jobs)
    except Permanent as error:
        if error.code == "key.destroyed":
            return None
        return Unreadable(record, WholeRecord(record.key, record.headers, record.value).id(record.topic), error)


def _open_clear(record: StoredRecord) -> Opened:
    message_id, message = envelope.open_clear(record.value)
    return Opened(record, Received(message_id, message.job, message))


async def _open_sealed(record: StoredRecord, topic: Topic, jobs: Jobs) -> Opened:
    address = envelope.address(record.headers)
    key = await jobs.key(address.job)
    message = envelope.open_sealed(record.headers, record.value, key=key, expected=topic.type)
    if isinstance(message, DocumentsSubmitted) and message.job != address.job:
        raise Permanent("envelope.invalid", what="its customer and reference are of another job than its envelope")
    return Opened(record, Received(address.id, address.job, message, address.document), address.traceparent)
