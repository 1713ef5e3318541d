"""What the topics still hold: for which units there is a record, and which events the ledger never heard of.

A record of an open unit lies at its group's committed offset or behind it: a stage commits only what has an outcome.
What a worker has in hand lies there as well.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from infra.broker import OutgoingRecord, StoredRecord
from infra.ledger import ADMIT
from operations.reconcile.ports import Bench
from schemas import envelope
from schemas.errors import Permanent
from schemas.ids import clear_message_id
from schemas.messages import DocumentsSubmitted
from schemas.topology import Origin

ASKED_AT_ONCE: Final = 500
"""Events of one question to the ledger."""
HELD_BYTES: Final = 8 * 1024 * 1024
"""Of events that wait for its answer."""

Unit = tuple[str, UUID]
"""Stage and message."""
Resumes = Mapping[str, Mapping[int, int]]
"""By stage and partition: where it reads on."""


@dataclass(slots=True)
class Looked:
    left: set[Unit] = field(default_factory=set)
    """Of the units looked for, those of which a record is still to be read; and events published again."""
    coming: set[UUID] = field(default_factory=set)
    """Jobs of which an event is still to be admitted."""
    published: Counter[UUID] = field(default_factory=Counter)
    """By job: events that admit had read, and that the ledger knew no outcome of. They were published again."""


async def look(wanted: Collection[Unit], bench: Bench, *, job: UUID | None) -> Looked:
    """Reads the topics that the wanted units are read from, from where their stages stand, and all that was submitted.

    Of other jobs than `job` no event is published again; None: of any. Memory holds the units and one batch of events.
    Raises Retryable `dependency.away`.
    """
    looked, units = Looked(), frozenset(wanted)
    stages = {stage for stage, _ in units}
    submissions = bench.topic_of(Origin.PRODUCERS)
    for topic, readers in bench.topology.readers.items():
        if topic != submissions and stages.isdisjoint(readers):
            continue
        resumes = {stage: await _resumes(stage, topic, bench) for stage in readers}
        if topic == submissions:
            behind = _Behind(topic, bench, job, looked)
            await _look_at_submissions(topic, resumes, units, looked, behind)
        else:
            await _look_at(topic, resumes, units, looked, bench)
    return looked


async def _resumes(stage: str, topic: str, bench: Bench) -> dict[int, int]:
    """An offset that the partition does not reach, of a broker that lost its disk, counts as none: so Kafka does."""
    spans = await bench.broker.ranges(topic)
    return {
        lag.partition: spans[lag.partition].begin if lag.committed > lag.end else lag.committed
        for lag in await bench.broker.lag(stage, [topic])
    }


async def _look_at(topic: str, resumes: Resumes, units: frozenset[Unit], looked: Looked, bench: Bench) -> None:
    partitions = {number for offsets in resumes.values() for number in offsets}
    start = {number: min(offsets[number] for offsets in resumes.values()) for number in partitions}
    async with aclosing(bench.broker.scan(topic, start=start)) as records:
        async for record in records:
            if (message := _message(record)) is not None:
                looked.left |= _ahead(record, message, resumes) & units


async def _look_at_submissions(
    topic: str, resumes: Resumes, units: frozenset[Unit], looked: Looked, behind: "_Behind"
) -> None:
    """First what is still to be read, then all before it: an event may have been admitted in a time that the ledger has
    forgotten. One that was published again and is not admitted yet lies in both parts."""
    bench, resume = behind.bench, resumes[ADMIT]
    async with aclosing(bench.broker.scan(topic, start=resume)) as records:
        async for record in records:
            if (message := _event(record)) is None:
                continue
            looked.left |= _ahead(record, message, resumes) & units
            behind.seen.add(message)
            if (event := await _opened(record, topic, bench)) is not None:
                looked.coming.add(event.job)
    async with aclosing(bench.broker.scan(topic)) as records:
        async for record in records:
            if record.offset < resume.get(record.partition, 0) and (message := _event(record)) is not None:
                await behind.add(message, record)
    await behind.settle()


def _ahead(record: StoredRecord, message: UUID, resumes: Resumes) -> set[Unit]:
    """The stages that have the record still to do, each with the message."""
    return {(stage, message) for stage, offsets in resumes.items() if record.offset >= offsets.get(record.partition, 0)}


def _message(record: StoredRecord) -> UUID | None:
    """By its envelope, which is not opened; None for what is no message of ours."""
    try:
        return envelope.address(record.headers).id
    except Permanent:
        return None


def _event(record: StoredRecord) -> UUID | None:
    if envelope.is_clear(record.headers, record.value):
        return clear_message_id(record.value)
    return _message(record)


async def _opened(record: StoredRecord, topic: str, bench: Bench) -> DocumentsSubmitted | None:
    """None for what nobody can open: admit answered it with a dead letter, or its job is erased."""
    try:
        if envelope.is_clear(record.headers, record.value):
            _, event = envelope.open_clear(record.value)
            await check_alive(event.job, bench)
            return event
        key = await bench.key(envelope.address(record.headers).job)
        message = envelope.open_sealed(
            record.headers, record.value, key=key, expected=bench.topology.topics[topic].type
        )
    except Permanent:
        return None
    return message if isinstance(message, DocumentsSubmitted) else None


async def check_alive(job: UUID, bench: Bench) -> None:
    """Raises Permanent `key.destroyed`. A job that was never opened has no key, and may yet be opened."""
    try:
        await bench.key(job)
    except Permanent as error:
        if error.code != "key.unknown":
            raise


@dataclass(slots=True)
class _Behind:
    """Events that admit has read. Those without an outcome are published again, as they were."""

    topic: str
    bench: Bench
    job: UUID | None
    looked: Looked
    seen: set[UUID] = field(default_factory=set)
    """Those that are asked about already, or are still to be read."""
    waiting: dict[UUID, StoredRecord] = field(default_factory=dict)
    size: int = 0

    async def add(self, message: UUID, record: StoredRecord) -> None:
        if message in self.seen:
            return
        self.seen.add(message)
        self.waiting[message] = record
        self.size += len(record.value)
        if len(self.waiting) >= ASKED_AT_ONCE or self.size >= HELD_BYTES:
            await self.settle()

    async def settle(self) -> None:
        finished = await self.bench.ledger.finished(ADMIT, [*self.waiting])
        unknown = {message: record for message, record in self.waiting.items() if message not in finished}
        self.waiting, self.size = {}, 0
        jobs: dict[UUID, UUID] = {}
        for message, record in unknown.items():
            event = await _opened(record, self.topic, self.bench)
            if event is not None and self.job in (None, event.job):
                jobs[message] = event.job
        stopped = await self.bench.ledger.erased_jobs([*set(jobs.values())])
        jobs = {message: job for message, job in jobs.items() if job not in stopped}
        if jobs and not self.bench.dry_run:
            await self.bench.broker.publish([_as_it_was(unknown[message]) for message in jobs])
        self.looked.left |= {(ADMIT, message) for message in jobs}
        self.looked.published.update(jobs.values())


def _as_it_was(record: StoredRecord) -> OutgoingRecord:
    headers = [(name, content or b"") for name, content in record.headers]
    return OutgoingRecord(record.topic, record.key or b"", record.value, headers)
