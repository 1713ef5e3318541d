"""Reads the topic, and those beside it, from end to end and notes what is there of which job.

Consumers' offsets are not touched.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from infra.broker import StoredRecord
from infra.ledger import JobView
from operations.replay.asking import Request
from operations.replay.ports import ReplayPorts
from schemas import envelope
from schemas.errors import Permanent
from schemas.messages import DocumentReference, DocumentsSubmitted, Message
from schemas.topology import Origin


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that the topic holds."""

    id: UUID
    topic: str
    partition: int
    offset: int
    document: str | None
    """The document it belongs to, where it belongs to one."""
    references: tuple[DocumentReference, ...] = ()
    """Of an ingest event."""
    removed: tuple[str, ...] = ()
    """Paths that it removes."""

    @property
    def paths(self) -> set[str]:
        """What an ingest event names, to add or to remove."""
        return {*self.removed, *(reference.path for reference in self.references)}


@dataclass(slots=True)
class Found:
    """What the topic, and those beside it, hold of one job."""

    job: JobView
    entries: dict[UUID, Entry] = field(default_factory=dict)
    """Each message once, however often it was published."""
    taken: set[UUID] = field(default_factory=set)
    """Those whose time and offset are asked for."""


async def find(request: Request, ports: ReplayPorts) -> list[Found]:
    """The job that was asked for, or every job of which a record matches, but for replays: they hold copies.

    Raises Permanent `job.unknown`, Retryable `dependency.away`.
    """
    known: dict[UUID, Found | None] = {}
    if request.job is not None:
        known[request.job] = Found(await ports.ledger.job(request.job))
    async for record in _records(request, ports):
        if request.job is not None and _job_of(record) not in (None, request.job):
            continue
        read = await _read(record, ports)
        if read is None:
            continue
        job, entry = read
        if job not in known:
            known[job] = await _candidate(job, request, ports)
        found = known[job]
        if found is not None:
            found.entries.setdefault(entry.id, entry)
            if request.takes(record):
                found.taken.add(entry.id)
    matching = [found for found in known.values() if found is not None and (found.taken or request.job)]
    return sorted(matching, key=lambda found: (found.job.opened_at, found.job.id))


async def _records(request: Request, ports: ReplayPorts) -> AsyncIterator[StoredRecord]:
    for topic in ports.topology.beside(request.topic):
        async for record in ports.broker.scan(topic):
            yield record


async def _candidate(job: UUID, request: Request, ports: ReplayPorts) -> Found | None:
    if request.job is not None:
        return None  # another one was asked for
    try:
        view = await ports.ledger.job(job)
    except Permanent:
        return None  # forgotten, or never heard of
    if view.parent is not None or request.customer not in (None, view.customer):
        return None
    return Found(view)


def _job_of(record: StoredRecord) -> UUID | None:
    """The job that a sealed record's envelope names; None where it has none, as a foreign client's event."""
    try:
        return envelope.address(record.headers).job
    except Permanent:
        return None


async def _read(record: StoredRecord, ports: ReplayPorts) -> tuple[UUID, Entry] | None:
    """The record's job and entry; None for what cannot be read. An event is opened, of any other the headers will do:
    a forged one fails to open when its turn comes."""
    place = record.topic, record.partition, record.offset
    try:
        if ports.topology.topics[record.topic].origin is not Origin.PRODUCERS:
            at = envelope.address(record.headers)
            return at.job, Entry(at.id, *place, at.document)
        identity, event = await open_event(record, ports)
        return event.job, Entry(identity, *place, None, event.documents, event.removed)
    except Permanent:
        return None


async def open_event(record: StoredRecord, ports: ReplayPorts) -> tuple[UUID, DocumentsSubmitted]:
    """An ingest event, sealed or clear, and its id. Raises Permanent."""
    if envelope.is_clear(record.headers, record.value):
        return envelope.open_clear(record.value)
    at = envelope.address(record.headers)
    message = await open_sealed(record, at, ports)
    if not isinstance(message, DocumentsSubmitted) or message.job != at.job:
        raise Permanent("envelope.invalid", what="its customer and reference are of another job than its envelope")
    return at.id, message


async def open_sealed(record: StoredRecord, at: envelope.Address, ports: ReplayPorts) -> Message:
    expected = ports.topology.topics[record.topic].type
    return envelope.open_sealed(record.headers, record.value, key=await ports.jobs.key(at.job), expected=expected)
