"""Dead letters: finding them, telling what became of them, opening one, and discarding them.

A letter's state is not stored with it but asked of the ledger, since only the ledger knows whether what failed was
mended meanwhile. A message that failed again after a redrive has several letters, which are one here: the newest.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

from infra.broker import Broker, StoredRecord
from infra.keys import QUARANTINE, Keys
from infra.ledger import Ledger
from schemas import envelope, sealing
from schemas.errors import CATALOGUE, CradleError, Permanent
from schemas.ids import NAMESPACE, NO_JOB
from schemas.letters import (
    QUARANTINED_CONTENT_TYPE,
    Postmark,
    WholeRecord,
    read_postmark,
    read_traceparent,
    unpack_record,
)
from schemas.messages import Document, DocumentsSubmitted, EmbeddingsMade, Message
from schemas.topology import DEAD_LETTER_SUFFIX, Topology

T = TypeVar("T")

ASKED_AT_ONCE: Final = 1000
"""Messages of one question to the ledger."""
MOST_JOBS: Final = 1_000_000
"""Of one customer, that are looked through for its letters."""


class LetterState(StrEnum):
    DEAD = "dead"
    REDRIVEN = "redriven"  # sent back, and not dealt with yet
    MENDED = "mended"  # it has passed since
    DISCARDED = "discarded"
    GONE = "gone"  # its job is erased, cancelled or forgotten: nobody can read it again


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: the newest of its message."""

    id: UUID
    mark: Postmark
    job: UUID
    """NO_JOB for a record that could not be opened."""
    document: str | None
    topic: str
    """Where the letter itself lies."""
    partition: int
    offset: int
    count: int = 1
    """How often it was given up so far."""
    first_ms: int = 0
    """When the first of these records was written."""
    state: LetterState = LetterState.DEAD

    @property
    def quarantined(self) -> bool:
        """Whether it holds a record that nobody could open."""
        return self.job == NO_JOB

    @property
    def burial(self) -> UUID:
        """This one time that it was given up: what is discarded, so that a later failure shows again."""
        return uuid5(NAMESPACE, f"burial\0{self.id}\0{self.mark.last_ms}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; None: whichever."""

    job: UUID | None = None
    code: str | None = None
    stage: str | None = None
    customer: str | None = None

    def takes(self, letter: Letter, customers_jobs: frozenset[UUID]) -> bool:
        return (
            self.job in (None, letter.job)
            and self.code in (None, letter.mark.code)
            and self.stage in (None, letter.mark.stage)
            and (self.customer is None or letter.job in customers_jobs)
        )


@dataclass(frozen=True, slots=True)
class Found:
    letters: tuple[Letter, ...]
    """Those given up first come first."""
    foreign: int
    """Records in the topics of dead letters that are none of ours."""


# -- finding them -----------------------------------------------------------------------------------------------------


async def find_letters(wanted: Wanted, *, broker: Broker, ledger: Ledger, topology: Topology) -> Found:
    """Every letter that is wanted, as it stands. Records are read as a stream, and only postmarks are kept.

    Raises Retryable `dependency.away`.
    """
    pile = await _collect(broker, topology)
    jobs = frozenset[UUID]()
    if wanted.customer is not None:
        jobs = frozenset(view.id for view in await ledger.jobs(wanted.customer, limit=MOST_JOBS))
    letters = [letter for letter in pile.newest().values() if wanted.takes(letter, jobs)]
    return Found(tuple(await with_states(letters, ledger)), pile.foreign)


async def find_by_id(ids: Sequence[UUID], *, broker: Broker, ledger: Ledger, topology: Topology) -> list[Letter]:
    """The newest letter of each message that one of these letters is of. Raises Permanent `letter.unknown`."""
    pile = await _collect(broker, topology)
    for id_ in ids:
        if id_ not in pile.letters:
            raise Permanent("letter.unknown", letter=id_)
    newest = pile.newest()
    return await with_states([newest[first] for first in dict.fromkeys(map(pile.first, ids))], ledger)


async def fetch_record(letter: Letter, broker: Broker) -> StoredRecord:
    """The letter's newest record. Raises Permanent `letter.unknown`: its retention is over."""
    async with aclosing(broker.scan(letter.topic, start={letter.partition: letter.offset})) as records:
        async for record in records:
            if (record.partition, record.offset) == (letter.partition, letter.offset):
                return record
    raise Permanent("letter.unknown", letter=letter.id)


@dataclass(slots=True)
class _Pile:
    letters: dict[UUID, Letter] = field(default_factory=dict)
    """By id, of each the newest record."""
    foreign: int = 0

    def add(self, record: StoredRecord) -> None:
        letter = _read(record)
        if letter is None:
            self.foreign += 1
            return
        before = self.letters.get(letter.id)
        if before is not None:
            letter = _joined(letter, before)
        self.letters[letter.id] = letter

    def first(self, id_: UUID) -> UUID:
        """The first letter of a message. A piece that was sent back and failed again names the one it was sent from."""
        seen = {id_}
        while (before := self.letters[id_].mark.message) in self.letters and before not in seen:
            seen.add(before)
            id_ = before
        return id_

    def newest(self) -> dict[UUID, Letter]:
        """By the first letter of each message, the newest."""
        found: dict[UUID, Letter] = {}
        for letter in sorted(self.letters.values(), key=lambda letter: letter.mark.last_ms):
            first = self.first(letter.id)
            found[first] = _joined(letter, found[first]) if first in found else letter
        return found


def _joined(letter: Letter, before: Letter) -> Letter:
    return replace(letter, count=before.count + letter.count, first_ms=min(before.first_ms, letter.first_ms))


async def _collect(broker: Broker, topology: Topology) -> _Pile:
    pile = _Pile()
    for topic in topology.topics:
        if topology.readers[topic]:
            async for record in broker.scan(topic + DEAD_LETTER_SUFFIX):
                pile.add(record)
    return pile


def _read(record: StoredRecord) -> Letter | None:
    """None for a record that is no letter of ours, whatever its bytes are."""
    mark = read_postmark(record.headers)
    if mark is None or mark.topic + DEAD_LETTER_SUFFIX != record.topic:
        return None
    headers = dict(record.headers)
    try:
        if headers.get("content-type") == QUARANTINED_CONTENT_TYPE.encode():
            id_, job, document = UUID(headers["ce_id"].decode()), NO_JOB, None
        else:
            address = envelope.address(record.headers)
            id_, job, document = address.id, address.job, address.document
    except (Permanent, KeyError, ValueError, AttributeError):
        return None
    kept = replace(
        mark,
        code=sys.intern(mark.code),
        error=sys.intern(mark.error),
        stage=sys.intern(mark.stage),
        topic=sys.intern(mark.topic),
    )
    return Letter(id_, kept, job, document, record.topic, record.partition, record.offset, first_ms=mark.first_ms)


# -- what became of them ----------------------------------------------------------------------------------------------


async def with_states(letters: Sequence[Letter], ledger: Ledger) -> list[Letter]:
    """The letters as the ledger knows them now."""
    outcomes = await _outcomes(letters, ledger)
    lost = await _over({letter.job for letter in letters}, ledger)
    lost |= await _forgotten({letter.job for letter in letters if letter.id not in outcomes} - lost, ledger)
    waiting = await _readmitted([one for one in letters if one.id not in outcomes and one.job not in lost], ledger)
    discarded = set[UUID]()
    for some in _in_batches([letter.burial for letter in letters]):
        discarded |= await ledger.discarded(some)

    def state(letter: Letter) -> LetterState:
        if letter.job in lost:
            return LetterState.GONE
        if letter.id in outcomes and outcomes[letter.id] is None:
            return LetterState.MENDED
        if letter.id not in outcomes and (letter.mark.number == 0 or letter.id in waiting):
            return LetterState.REDRIVEN
        return LetterState.DISCARDED if letter.burial in discarded else LetterState.DEAD

    return [replace(letter, state=state(letter)) for letter in letters]


async def _outcomes(letters: Sequence[Letter], ledger: Ledger) -> dict[UUID, str | None]:
    """By letter, what the message that mends it has come to: itself, or for a piece the event it was sent back as."""
    found: dict[UUID, str | None] = {}
    by_stage: dict[str, dict[UUID, UUID]] = defaultdict(dict)
    for letter in letters:
        by_stage[letter.mark.stage][letter.id] = letter.id if letter.mark.number else letter.mark.message
    for stage, messages in by_stage.items():
        for some in _in_batches([*messages.items()]):
            known = await ledger.outcomes(stage, [message for _, message in some])
            found |= {letter: known[message] for letter, message in some if message in known}
    return found


async def _over(jobs: set[UUID], ledger: Ledger) -> set[UUID]:
    """Those that are erased or cancelled."""
    over = set[UUID]()
    for some in _in_batches([*jobs]):
        over |= await ledger.erased_jobs(some)
    return over


async def _forgotten(jobs: set[UUID], ledger: Ledger) -> set[UUID]:
    """Those that the ledger does not know any more, nor any outcome of theirs."""
    forgotten = set[UUID]()
    for job in jobs - {NO_JOB}:
        try:
            await ledger.job(job)
        except Permanent:
            forgotten.add(job)
    return forgotten


async def _readmitted(letters: Sequence[Letter], ledger: Ledger) -> set[UUID]:
    """The refused pieces that were sent back as events of their own, and wait."""
    jobs = {letter.job for letter in letters if letter.mark.number}
    return {unit.message for job in jobs for unit in await ledger.work(job, open_only=True)}


def _in_batches(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, ASKED_AT_ONCE)):
        yield some


# -- opening one ------------------------------------------------------------------------------------------------------


async def open_letter(letter: Letter, record: StoredRecord, keys: Keys, topology: Topology) -> Message:
    """The message within, of a letter that was opened before it failed.

    The postmark is bound to nothing, but the letter's own id is, and follows from it: so what it says of stage and
    message is true. Raises Permanent `letter.forged` where it is not, `key.destroyed`, `key.unknown`, `envelope.*`.
    """
    address = envelope.address(record.headers)
    if address.key_id not in (str(address.job), QUARANTINE):
        raise Permanent("letter.forged")
    message = envelope.open_sealed(record.headers, record.value, key=await keys.fetch(address.key_id))
    check_postmark(letter, topology)
    if letter.mark.letter(address.job) != address.id or topology.topics[letter.mark.topic].type != message.TYPE:
        raise Permanent("letter.forged")
    return message


async def open_quarantined(letter: Letter, record: StoredRecord, keys: Keys, topology: Topology) -> WholeRecord:
    """The record within, of a letter that nobody could open. Raises Permanent `letter.forged`, `envelope.*`."""
    packed = sealing.unseal(await keys.fetch(QUARANTINE), record.value, associated=letter.id.bytes)
    whole = unpack_record(packed)
    check_postmark(letter, topology)
    if not letter.id == letter.mark.message == whole.id(letter.mark.topic):
        raise Permanent("letter.forged")
    return whole


def check_postmark(letter: Letter, topology: Topology) -> None:
    """Raises Permanent `letter.forged` where it names a stage that does not read its topic."""
    stage = topology.stages.get(letter.mark.stage)
    if stage is None or letter.mark.topic not in stage.reads:
        raise Permanent("letter.forged")


async def describe_letter(letter: Letter, *, broker: Broker, keys: Keys, topology: Topology) -> dict[str, Any]:
    """`letter_report`, and what only the key's holder may know: the paths it is about; None once the key is gone.

    `sealed` says in the latter case why it cannot be opened, as an error code.
    """
    record = await fetch_record(letter, broker)
    opened: dict[str, Any] = {"paths": None, "sealed": None}
    try:
        if letter.quarantined:
            whole = await open_quarantined(letter, record, keys, topology)
            opened["bytes"] = len(whole.value)
        else:
            opened["paths"] = _paths(await open_letter(letter, record, keys, topology))
    except Permanent as error:
        opened["sealed"] = error.code
    return letter_report(letter) | {"trace": read_traceparent(record.headers), "size": len(record.value)} | opened


async def quarantined_bytes(letter: Letter, *, broker: Broker, keys: Keys, topology: Topology) -> bytes:
    """The value of the record that nobody could open.

    Raises CradleError `letter.readable` for a letter of a message, or Permanent as `open_quarantined`.
    """
    if not letter.quarantined:
        raise CradleError("letter.readable", letter=letter.id)
    return (await open_quarantined(letter, await fetch_record(letter, broker), keys, topology)).value


def letter_report(letter: Letter) -> dict[str, Any]:
    """A letter as plain values, for `cradle dlq list --json`. Times are milliseconds since 1970."""
    mark = letter.mark
    return {
        "letter": str(letter.id),
        "state": letter.state.value,
        "stage": mark.stage,
        "code": mark.code,
        "error": mark.error,
        "next_step": _next_step(letter),
        "attempts": mark.attempts,
        "letters": letter.count,
        "job": None if letter.quarantined else str(letter.job),
        "document": letter.document,
        "message": str(mark.message),
        "number": mark.number,
        "topic": mark.topic,
        "partition": mark.partition,
        "offset": mark.offset,
        "first": letter.first_ms,
        "last": mark.last_ms,
        "quarantined": letter.quarantined,
    }


def _paths(message: Message) -> list[str]:
    """The documents that the message is about. One that is about a whole job names none."""
    if isinstance(message, DocumentsSubmitted):
        return [*message.removed, *(reference.path for reference in message.documents)]
    about = message.chunks if isinstance(message, EmbeddingsMade) else message
    document: Document | None = getattr(about, "document", None)
    return [] if document is None else [document.path]


def _next_step(letter: Letter) -> str:
    """What the catalogue says; its details beyond the job are not kept."""
    kind = CATALOGUE.get(letter.mark.code)
    if kind is None:
        return ""
    return kind.next_step.format_map(_Known(job=letter.job, stage=letter.mark.stage))


class _Known(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return name.upper()


# -- discarding them --------------------------------------------------------------------------------------------------


async def discard(
    letters: Iterable[Letter], *, ledger: Ledger, clock: Callable[[], datetime], dry_run: bool = False
) -> list[Letter]:
    """Marks these as dealt with: they stay where they are until their retention ends, and no filter takes them again.

    Returns those that were dead. Their documents stay failed. Twice is harmless.
    """
    dead = [letter for letter in letters if letter.state is LetterState.DEAD]
    if dead and not dry_run:
        await ledger.discard([letter.burial for letter in dead], now=clock())
    return dead


def count_by(letters: Iterable[Letter], of: Callable[[Letter], str]) -> Mapping[str, int]:
    """How many letters by what `of` says of them, the most first."""
    counts = defaultdict[str, int](int)
    for letter in letters:
        counts[of(letter)] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
