"""One job's lost work: documents admitted again from staging, a completion announced again.

The ledger hears of it first, then the event is published that admits the documents. A crash in between leaves an open
event without a record, which the next reconciliation finds like any other lost work.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from uuid import UUID, uuid5

from infra.broker import OutgoingRecord
from infra.ledger import ADMIT, DocumentRow, JobState, JobView, Outcome, WorkRow
from infra.staging.names import RAW, STAGED, object_name
from operations.jobs import open_path
from operations.reconcile.looking import Looked, check_alive
from operations.reconcile.ports import Bench
from schemas import envelope, sealing
from schemas.errors import Permanent
from schemas.ids import NAMESPACE, document_id, message_id
from schemas.letters import read_postmark
from schemas.messages import DocumentReference, DocumentsSubmitted
from schemas.topology import DEAD_LETTER_SUFFIX, Origin

PER_EVENT: Final = 16
"""Documents of one event: no more than admit lets in as one piece, so that all of an event is done or none of it."""
AT_ONCE: Final = 8
"""Documents that are read at one time, for their hashes."""
ATTEMPTS: Final = 8
"""Ids of one question to the ledger."""
SOURCE: Final = "/cradle/reconcile"


@dataclass(slots=True)
class Mended:
    """What became of one job. Under a dry run: what would."""

    view: JobView
    """As it stood before."""
    documents: list[str] = field(default_factory=list)
    """Admitted again."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Documents that staging no longer gives, each with the error's code: only the upstream can send them."""
    announced: bool = False
    """Its completion was announced again."""
    unmet: int = 0
    """Documents whose admission the ledger forgot: they come back with their events, and are looked at then."""
    stranded: int = 0
    """Open units of no document, which nothing but a dead letter can bring back."""
    gone: bool = False
    """Its key was destroyed: it is erased, and the ledger was restored to a time before that."""
    missing: int | None = 0
    """Documents of its manifest that never arrived, and no event that brings them; None: nor was it closed."""

    @property
    def whole(self) -> bool:
        """Nothing was amiss, or nothing but that it was not closed yet."""
        lost = self.documents or self.unreadable or self.announced or self.unmet or self.stranded or self.gone
        return not lost and not self.missing


async def mend(view: JobView, suspects: Collection[tuple[str, UUID]], looked: Looked, bench: Bench) -> Mended:
    """Does the job's lost work again. `suspects` are its open units of which no record was found.

    Raises Retryable `dependency.away`; then it may be called again.
    """
    mended = Mended(view)
    try:
        if view.state is JobState.COMPLETE:
            await _announce(mended, suspects, bench)
        else:
            await _mend_work(mended, suspects, bench)
            mended.missing = await _missing(mended, looked, bench)
    except Permanent as error:
        if error.code not in ("key.destroyed", "job.erased"):
            raise
        mended.gone = error.code == "key.destroyed"
    return mended


# -- its completion ---------------------------------------------------------------------------------------------------


def completion(view: JobView, bench: Bench) -> tuple[str, UUID]:
    """The unit that its announcement is to the stage that reads it."""
    [stage] = bench.topology.readers[bench.topic_of(Origin.COMPLETION)]
    return stage, message_id(view.id, "completion", view.id, view.generation)


async def _announce(mended: Mended, suspects: Collection[tuple[str, UUID]], bench: Bench) -> None:
    job = mended.view.id
    if completion(mended.view, bench) not in suspects:
        return
    now = await bench.ledger.job(job)
    if (now.state, now.generation) == (JobState.COMPLETE, mended.view.generation):
        await check_alive(job, bench)  # a job that was erased after the ledger's backup is not announced any more
        mended.announced = bench.dry_run or await bench.ledger.announce_again(job)


# -- its documents ----------------------------------------------------------------------------------------------------


async def _mend_work(mended: Mended, suspects: Collection[tuple[str, UUID]], bench: Bench) -> None:
    job = mended.view.id
    still_open = await bench.ledger.work(job, open_only=True)  # again: what was done meanwhile is not lost
    lost = [row for row in still_open if (row.stage, row.message) in suspects]
    awaited = await bench.ledger.awaited(job)
    events = [row.message for row in lost if row.document is None and row.stage == ADMIT]
    wanted = {row.document for row in lost if row.document is not None}
    if events or not _admissions(still_open):
        wanted.update(row.id for row in awaited)
    if not wanted and not events and not lost:
        return
    known = {row.id: row for row in (*awaited, *await bench.ledger.documents(job))}
    mended.unmet = len(wanted - known.keys())
    mended.stranded = sum(row.document is None and row.stage != ADMIT for row in lost)
    references = await _references(mended, [known[id_] for id_ in sorted(wanted & known.keys())], bench)
    used = _admissions(still_open)
    await _admit_again(mended, references, used, bench)
    if events and not mended.unreadable:  # what cannot be read may be of such an event, which then stays open
        dead = await _dead_events(events, bench)
        mended.stranded += len(dead)
        await _finish_events(mended, [event for event in events if event not in dead], bench)


def _admissions(rows: Iterable[WorkRow]) -> set[UUID]:
    """Events of which an admission waits."""
    return {row.message for row in rows if row.stage == ADMIT and row.document is None}


async def _references(mended: Mended, rows: Sequence[DocumentRow], bench: Bench) -> list[DocumentReference]:
    """How the documents are submitted again, in their order. Those that cannot be read are noted."""
    job, slots = mended.view.id, asyncio.Semaphore(AT_ONCE)

    async def read(row: DocumentRow) -> DocumentReference | Permanent:
        async with slots:
            try:
                return await _reference(job, row, bench)
            except Permanent as error:
                return error

    answers = await asyncio.gather(*map(read, rows))
    found: list[DocumentReference] = []
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, DocumentReference):
            found.append(answer)
        elif answer.code == "key.destroyed":
            raise answer
        else:
            mended.unreadable.append((row.id, answer.code))
    return found


async def _reference(job: UUID, row: DocumentRow, bench: Bench) -> DocumentReference:
    """The ledger has its path, staging its bytes. Raises Permanent `staging.*`, `key.*` or `envelope.*`."""
    key = await bench.key(job)
    path = open_path(key, row.id, row.sealed_path)
    name = object_name(job, RAW, row.id)
    digest, size = hashlib.sha256(), 0
    async for piece in bench.unsealed.stream(job, name):
        digest.update(piece)
        size += len(piece)
    if document_id(key, path, digest.hexdigest()) != row.id:
        raise Permanent("staging.tampered")
    return DocumentReference(path=path, uri=STAGED + name, sha256=digest.hexdigest(), size=size)


async def _admit_again(mended: Mended, references: Sequence[DocumentReference], used: set[UUID], bench: Bench) -> None:
    job = mended.view.id
    mended.documents = [_document(reference) for reference in references]
    if bench.dry_run:
        return
    for start in range(0, len(references), PER_EVENT):
        group = references[start : start + PER_EVENT]
        event = await _new_event(job, group, used, bench)
        await bench.ledger.readmit(job, [_document(one) for one in group], event=event, now=bench.clock())
        await bench.broker.publish([await _sealed(mended.view, event, group, bench)])


async def _dead_events(events: Collection[UUID], bench: Bench) -> set[UUID]:
    """Those that were sent back from the dead letters: nothing of such an event was ever admitted. Its letter brings it
    once more."""
    given_up: set[UUID] = set()
    async with aclosing(bench.broker.scan(bench.topic_of(Origin.PRODUCERS) + DEAD_LETTER_SUFFIX)) as records:
        async for record in records:
            mark = read_postmark(record.headers)
            if mark is not None and mark.number == 0:
                given_up.add(mark.message)
    return given_up.intersection(events)


async def _finish_events(mended: Mended, events: Sequence[UUID], bench: Bench) -> None:
    """Lost events have nothing left to bring: their documents are admitted by others now, or met already.

    Should one turn up after all, it is skipped; what a worker may just be making of it, those others make as well.
    """
    if not bench.dry_run:
        outcomes = [Outcome(message=event, job=mended.view.id, document=None) for event in events]
        await bench.ledger.record(ADMIT, outcomes, now=bench.clock())


async def _new_event(job: UUID, group: Sequence[DocumentReference], used: Collection[UUID], bench: Bench) -> UUID:
    """Derived from the group's documents, and of no earlier admission of the same: that one would count as this."""
    for first in count(step=ATTEMPTS):
        events = [_event_id(job, group, attempt) for attempt in range(first, first + ATTEMPTS)]
        finished = await bench.ledger.finished(ADMIT, events)
        for event in events:
            if event not in finished and event not in used:
                return event
    raise AssertionError("there is always a next attempt")


def _event_id(job: UUID, group: Sequence[DocumentReference], attempt: int) -> UUID:
    source = uuid5(NAMESPACE, "reconcile\0" + "\0".join(map(_document, group)))
    return message_id(job, "reconcile", source, attempt)


def _document(reference: DocumentReference) -> str:
    return reference.uri.rpartition("/")[2]


async def _sealed(view: JobView, event: UUID, documents: Sequence[DocumentReference], bench: Bench) -> OutgoingRecord:
    message = DocumentsSubmitted(
        customer=view.customer,
        reference=view.reference,
        documents=tuple(documents),
        update=view.extends is not None,
    )
    to = envelope.Address(
        id=event, type=message.TYPE, source=SOURCE, job=view.id, time=bench.clock(), key_id=str(view.id)
    )
    topic = bench.topic_of(Origin.PRODUCERS)
    headers, value = envelope.close(message, to, key=await bench.key(view.id), nonce=bench.entropy(sealing.NONCE_BYTES))
    return OutgoingRecord(topic, view.customer.encode(), value, headers)


# -- what never arrived -----------------------------------------------------------------------------------------------


async def _missing(mended: Mended, looked: Looked, bench: Bench) -> int | None:
    """How many documents of the manifest no event brings any more; None: the job was never closed, nor will be."""
    job = mended.view.id
    if job in looked.coming or looked.published[job]:
        return 0
    now = await bench.ledger.job(job)
    if now.state not in (JobState.OPEN, JobState.PROCESSING):
        return 0
    if now.manifest is None:
        return None
    known = (*await bench.ledger.documents(job), *await bench.ledger.awaited(job))
    return max(0, now.manifest - sum(not row.member for row in known))
