"""Redrive: a dead letter goes back to the one stage that failed.

The ledger hears of it first, then the message goes to its topic again, under its own id: every other stage that reads
the topic has an outcome of it, and skips it. A crash in between leaves a message that the ledger waits for and nobody
has; redriving again mends it, and redriving what is under way costs a record that is skipped.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from infra.broker import Broker, OutgoingRecord, StoredRecord
from infra.keys import QUARANTINE, Keys
from infra.ledger import Ledger
from operations.dead_letters import Letter, LetterState, open_letter, open_quarantined
from schemas import envelope, sealing
from schemas.errors import Permanent
from schemas.ids import NO_JOB
from schemas.letters import read_traceparent
from schemas.messages import DocumentsSubmitted, Message
from schemas.topology import Key, Topic, Topology

SOURCE: Final = "/cradle/redrive"
"""Who wrote a record that was redriven."""
SPARE_BYTES: Final = 1024
"""How much larger than its first record a redriven one may be: it says that it was redriven, and when."""
PUBLISHED_AT_ONCE: Final = 64


class Open(Protocol):
    """Opens the job of a customer and reference, as `operations.jobs.PinnedJobs.open`."""

    async def __call__(self, customer: str, reference: str, *, update: bool = False) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one letter."""

    letter: Letter
    sent: bool
    """False: it had passed already, or was refused."""
    refused: Permanent | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """The ports that it takes to send letters back."""

    broker: Broker
    ledger: Ledger
    keys: Keys
    topology: Topology
    open_job: Open
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]


async def redrive(letters: Sequence[Letter], mail: Mail, *, dry_run: bool = False) -> list[Redriven]:
    """Sends these letters back, unless `dry_run`; one answer each. What has passed meanwhile is left alone.

    A job that was baked makes its next generation of it, a failed job goes on. Refused are, among others, letters of
    an erased or cancelled job (`job.erased`, `key.destroyed`), and events of a customer that is still unknown. Raises
    Retryable `dependency.away`: then it may be called again.
    """
    answers: dict[UUID, Redriven] = {}
    for letter in letters:
        answers[letter.id] = await _answer_beforehand(letter, mail)
    batch: list[OutgoingRecord] = []
    for topic in dict.fromkeys(letter.topic for letter in letters):
        wanted = {(one.partition, one.offset): one for one in letters if one.topic == topic and _can_pass(one)}
        async for record in _records(topic, wanted, mail.broker):
            letter = wanted[record.partition, record.offset]
            try:
                back = await _send_back(letter, record, mail, dry_run=dry_run)
            except Permanent as error:
                answers[letter.id] = Redriven(letter, sent=False, refused=error)
                continue
            answers[letter.id] = Redriven(letter, sent=back is not None)
            batch += [back] if back is not None else []
            if len(batch) >= PUBLISHED_AT_ONCE:
                batch = await _publish(batch, mail, dry_run=dry_run)
    await _publish(batch, mail, dry_run=dry_run)
    return [*answers.values()]


def _can_pass(letter: Letter) -> bool:
    return letter.state not in (LetterState.MENDED, LetterState.GONE)


async def _answer_beforehand(letter: Letter, mail: Mail) -> Redriven:
    """What is answered of a letter whose record is not met."""
    match letter.state:
        case LetterState.MENDED:
            return Redriven(letter, sent=False)
        case LetterState.GONE:
            return Redriven(letter, sent=False, refused=await _why_gone(letter.job, mail.ledger))
    return Redriven(letter, sent=False, refused=Permanent("letter.unknown", letter=letter.id))


async def _why_gone(job: UUID, ledger: Ledger) -> Permanent:
    try:
        view = await ledger.job(job)
    except Permanent as error:
        return error
    return Permanent("job.erased", when=view.erased_at or "its cancelling")


async def _records(topic: str, wanted: Collection[tuple[int, int]], broker: Broker) -> AsyncIterator[StoredRecord]:
    """The records at these partitions and offsets, as far as they are still there."""
    left = set(wanted)
    if not left:
        return
    start = {partition: min(o for p, o in left if p == partition) for partition in {p for p, _ in left}}
    async with aclosing(broker.scan(topic, start=start)) as records:
        async for record in records:
            if (record.partition, record.offset) in left:
                left.remove((record.partition, record.offset))
                yield record
            if not left:
                return


async def _publish(batch: list[OutgoingRecord], mail: Mail, *, dry_run: bool) -> list[OutgoingRecord]:
    """Returns the next batch, which is empty."""
    if batch and not dry_run:
        await mail.broker.publish(batch)
    return []


# -- one letter -------------------------------------------------------------------------------------------------------


async def _send_back(letter: Letter, record: StoredRecord, mail: Mail, *, dry_run: bool) -> OutgoingRecord | None:
    """The record to publish once the ledger waits for it; None where it has passed already."""
    job, back = await _sealed_anew(letter, record, mail, dry_run=dry_run)
    if dry_run or await _tell_ledger(letter, job, mail):
        return back
    return None


async def _tell_ledger(letter: Letter, job: UUID, mail: Mail) -> bool:
    """Whether the message is to be worked on. Raises Permanent `job.erased`."""
    mark, now = letter.mark, mail.clock()
    if mark.number == 0:
        return await mail.ledger.redrive(mark.stage, mark.message, job=job, now=now, document=letter.document)
    if letter.document is None:
        raise Permanent("letter.forged")
    if await mail.ledger.outcomes(mark.stage, [letter.id]):  # sent back before, and dealt with
        return False
    await mail.ledger.readmit(job, [letter.document], event=letter.id, now=now)
    return True


async def _sealed_anew(
    letter: Letter, record: StoredRecord, mail: Mail, *, dry_run: bool
) -> tuple[UUID, OutgoingRecord]:
    """Its job and its record, before anything is changed: what cannot travel is refused here."""
    if letter.quarantined:
        return NO_JOB, await _as_it_was(letter, record, mail)
    message = await open_letter(letter, record, mail.keys, mail.topology)
    address = envelope.address(record.headers)
    if address.key_id == QUARANTINE and isinstance(message, DocumentsSubmitted) and not dry_run:
        # it had no job, for want of its customer or of a version to update
        await mail.open_job(message.customer, message.reference, update=message.update)
    key = await mail.keys.fetch(address.key_id if dry_run else str(letter.job))
    topic = mail.topology.topics[letter.mark.topic]
    to = envelope.Address(
        id=letter.id if letter.mark.number else letter.mark.message,
        type=message.TYPE,
        source=SOURCE,
        job=letter.job,
        time=mail.clock(),
        key_id=str(letter.job),
        document=None if letter.mark.number else letter.document,
        traceparent=read_traceparent(record.headers),
    )
    nonce = mail.entropy(sealing.NONCE_BYTES)
    headers, value = envelope.close(message, to, key=key, nonce=nonce, limit=topic.max_bytes + SPARE_BYTES)
    return letter.job, OutgoingRecord(letter.mark.topic, _record_key(message, to, topic), value, headers)


async def _as_it_was(letter: Letter, record: StoredRecord, mail: Mail) -> OutgoingRecord:
    """A record that nobody could open, byte by byte: it may be another release's, or its key's store was away."""
    whole = await open_quarantined(letter, record, mail.keys, mail.topology)
    headers = [(name, content or b"") for name, content in whole.headers]
    return OutgoingRecord(letter.mark.topic, whole.key or b"", whole.value, headers)


def _record_key(message: Message, to: envelope.Address, topic: Topic) -> bytes:
    keys = {
        Key.CUSTOMER: message.customer if isinstance(message, DocumentsSubmitted) else None,
        Key.DOCUMENT: to.document,
    }
    return (keys.get(topic.key) or str(to.job)).encode()
