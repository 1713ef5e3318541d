"""A plan carried out: objects copied, records published, the ledger told.

The order makes a crash harmless. A document's objects are there before its records, its records before the ledger
waits for them, and the manifest comes last: until then nothing of the job can be complete. All of it has ids that
follow from the parent's, so doing it twice is doing it once.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar, cast
from uuid import UUID

from builders.parts import KIND, decode_part, encode_part, part_name
from infra.broker import OutgoingRecord, StoredRecord
from infra.ledger import Counted, DocumentState, JobState, NewDocument, Outcome, Unit
from operations.jobs import open_job, seal_path
from operations.replay.finding import Entry, open_event, open_sealed
from operations.replay.planning import KnownDocument, Plan
from operations.replay.ports import ReplayPorts
from operations.replay.rewriting import Child, Rewritten, raw_object, rewrite, rewritten_part
from schemas import envelope
from schemas.errors import CradleError, Permanent, Retryable
from schemas.ids import content_id, job_id, message_id
from schemas.messages import Document, Message
from schemas.sealing import NONCE_BYTES
from schemas.topology import Key, Origin

STAGE: Final = "replay"
"""What the ledger calls it. No stage of the flow: it reads no topic of its own."""
AT_ONCE: Final = 8
"""Documents that are copied at one time."""
PUBLISHED_AT_ONCE: Final = 64
RECORDED_AT_ONCE: Final = 200
SPARE_BYTES: Final = 1024
"""How much larger than the parent's record the new one may be: the topic allows for more than what it promises."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay that is under way: everything was published, and the ledger waits for it."""

    job: UUID
    reference: str
    plan: Plan


async def carry_out(plan: Plan, ports: ReplayPorts) -> Replayed:
    """Makes the new job, or goes on with the one of the same request that is not over yet.

    What can never pass fails the new job, with the error's code, and is raised: `replay.gone` (records went while it
    was read), `staging.missing`, `key.destroyed` (the parent was erased meanwhile). The parent is not changed.
    Raises Retryable `dependency.away`: then it may be called again.
    """
    child = await _open(plan, ports)
    work = _Work(plan, child, ports)
    if not await ports.ledger.finished(STAGE, [work.id_of(child.job)]):
        try:
            await work.do()
        except Retryable:
            raise
        except CradleError as error:
            await ports.ledger.failed(child.job, error.code)
            raise
    return Replayed(child.job, child.reference, plan)


async def _open(plan: Plan, ports: ReplayPorts) -> Child:
    reference = await _reference(plan, ports)
    opened = await open_job(
        plan.parent.customer,
        reference,
        parameters=ports.parameters,
        ledger=ports.ledger,
        keys=ports.keys,
        topology=ports.topology,
        clock=ports.clock,
        identify=ports.identify,
        version=plan.parameters,
        parent=plan.parent.id,
        extends=plan.parent.extends,
    )
    return Child(opened.id, reference, plan.parent.id, opened.key, plan.sources)


async def _reference(plan: Plan, ports: ReplayPorts) -> str:
    """The first of this request's names whose job is not over: an unfinished replay goes on under its own."""
    asked = plan.request.digest(await ports.jobs.key(plan.parent.id))
    for number in count(1):
        name = f"replay {number} of {plan.parent.id} from {plan.request.topic} ({asked})"
        try:
            view = await ports.ledger.job(job_id(plan.parent.customer, name))
        except Permanent:
            return name
        if view.state in (JobState.OPEN, JobState.PROCESSING, JobState.COMPLETE):
            return name
    raise AssertionError("counting does not end")


@dataclass(slots=True)
class _Work:
    plan: Plan
    child: Child
    ports: ReplayPorts
    met: dict[str, Document] = field(default_factory=dict)
    """Replayed documents as they are now, by their ids in the parent."""
    units: dict[str, list[Unit]] = field(default_factory=dict)
    """What each of them opens."""
    copied: set[str] = field(default_factory=set)
    """The parent's objects that the new job has as well."""
    originals: dict[str | None, Document] = field(default_factory=dict)
    """Documents as they are now, by what their bytes are called in the parent."""
    counted: dict[str, Counter[Counted]] = field(default_factory=lambda: defaultdict(Counter))
    """What was counted of each document before the replayed topic, or at all of one that is inherited; by its id in
    the parent."""

    def id_of(self, source: UUID) -> UUID:
        """The id of what the replay makes of a message, of a document, or of the job itself."""
        return message_id(self.child.job, STAGE, source, 0)

    async def do(self) -> None:
        await self._count()
        await self._inherit()
        await self._publish_all()
        await self._introduce()
        await self._introduce_duplicates()
        manifest = Outcome(self.id_of(self.child.job), self.child.job, None, manifest=self.plan.manifest)
        await self._record(STAGE, [manifest])

    async def _count(self) -> None:
        """Of a replayed document what comes after the topic is counted anew."""
        replayed = {document.id for document in self.plan.replayed}
        following = self.ports.topology.following(self.plan.request.topic)
        for unit in await self.ports.ledger.counted(self.plan.parent.id):
            if unit.document is not None and not (unit.document in replayed and unit.stage in following):
                self.counted[unit.document].update(unit.counts)

    # -- what is inherited --------------------------------------------------------------------------------------------

    async def _inherit(self) -> None:
        for some in _slices(self.plan.inherited, RECORDED_AT_ONCE):
            await self._record(STAGE, await _each(some, self._inherit_one))
        for document in self.plan.failed:  # it failed where it failed, not here
            state, code = DocumentState.FAILED, document.row.code
            introduced = self._introduced(document, self._unread_id(document), state, code=code)
            await self._record(document.row.stage or STAGE, [introduced])

    async def _inherit_one(self, document: KnownDocument) -> Outcome:
        if document.row.state is DocumentState.DUPLICATE:
            raise Permanent("job.incomplete", what="a document is a duplicate of none")
        identity, made = self._unread_id(document), None
        if document.row.state is DocumentState.DONE:
            parts = self.ports.staging.list(self.plan.parent.id, KIND, f"{document.id}/")
            async for name in parts:
                part = decode_part(await self.ports.staging.get(self.plan.parent.id, name))
                mine = rewritten_part(part, self.child)
                await self.ports.staging.put(self.child.job, KIND, part_name(mine), encode_part(mine))
                made = mine.chunks.document
                identity = made.id
        return self._introduced(document, identity, document.row.state, made=made)

    def _unread_id(self, document: KnownDocument) -> str:
        """Of a document whose hash nothing tells here: its id in the parent, which was made of it, stands for it."""
        return self.child.document_id(document.path, document.id)

    def _introduced(
        self,
        document: KnownDocument,
        identity: str,
        state: DocumentState,
        *,
        code: str | None = None,
        opens: Sequence[Unit] = (),
        made: Document | None = None,
        same_as: str | None = None,
    ) -> Outcome:
        """`made`: the document as it is now, or the one that it is a duplicate of."""
        sealed = seal_path(self.child.key, identity, document.path, nonce=self.ports.entropy(NONCE_BYTES))
        content = None
        if made is not None:
            content = content_id(self.child.key, made.sha256, made.media_type)
            self.originals.setdefault(document.row.content, made)
        introduced = NewDocument(identity, sealed, state, code, document.row.member, content, same_as)
        counts = dict(self.counted[document.id])
        return Outcome(
            self.id_of(UUID(document.id)),
            self.child.job,
            identity if counts else None,
            opens=tuple(opens),
            documents=(introduced,),
            counts=counts,
        )

    # -- what is replayed ---------------------------------------------------------------------------------------------

    async def _publish_all(self) -> None:
        """Reads the topic again and publishes what the plan names. Raises Permanent `replay.gone`."""
        left = dict(self.plan.messages)
        async with aclosing(self._wanted(left)) as wanted:
            async for records in _in_groups(wanted, PUBLISHED_AT_ONCE):
                await self._publish(records)
        if left:
            lacking = {entry.document or entry.id for entry in left.values()}
            raise CradleError("replay.gone", topic=self.plan.request.topic, documents=len(lacking))

    async def _wanted(self, left: dict[UUID, Entry]) -> AsyncGenerator[tuple[UUID, Message], None]:
        """Each wanted message once, opened; `left` is emptied on the way."""
        by_topic: dict[str, dict[UUID, Entry]] = {}
        for entry in left.values():
            by_topic.setdefault(entry.topic, {})[entry.id] = entry
        for topic, entries in by_topic.items():
            async with aclosing(self.ports.broker.scan(topic, start=_starts(entries.values()))) as records:
                async for record in records:
                    opened = await self._open(record, entries)
                    if opened is not None:
                        del entries[opened[0]], left[opened[0]]
                        yield opened
                    if not entries:
                        break

    async def _open(self, record: StoredRecord, left: dict[UUID, Entry]) -> tuple[UUID, Message] | None:
        """None for a record that is not wanted, or does not open: one with its id that does may follow."""
        try:
            if self.ports.topology.topics[record.topic].origin is Origin.PRODUCERS:
                identity, message = await open_event(record, self.ports)
                return (identity, message) if identity in left else None
            at = envelope.address(record.headers)
            if at.id not in left or at.job != self.plan.parent.id:
                return None
            return at.id, await open_sealed(record, at, self.ports)
        except Permanent as error:
            if error.code == "key.destroyed":
                raise
            return None

    async def _publish(self, messages: Sequence[tuple[UUID, Message]]) -> None:
        records: list[OutgoingRecord] = []
        opened: list[Outcome] = []
        rewritten = ((identity, rewrite(message, self.child)) for identity, message in messages)
        made = [(identity, one) for identity, one in rewritten if one is not None]
        await self._copy_objects([one for _, one in made])
        for identity, one in made:
            record, units = self._sealed(identity, one)
            records.append(record)
            if not one.documents:
                opened.append(Outcome(self.id_of(identity), self.child.job, None, opens=tuple(units)))
            for old, new in one.documents:
                self.met[old] = new
                self.units.setdefault(old, []).extend(units)
        await self.ports.broker.publish(records)
        await self._record(STAGE, opened)

    def _sealed(self, source: UUID, made: Rewritten) -> tuple[OutgoingRecord, list[Unit]]:
        """The record to publish in place of the message `source`, on its topic, and the work that it opens."""
        name = self.plan.messages[source].topic
        topic = self.ports.topology.topics[name]
        document = made.documents[0][1].id if made.documents else None
        to = envelope.Address(
            id=self.id_of(source),
            type=topic.type,
            source=f"/cradle/{STAGE}",
            job=self.child.job,
            time=self.ports.clock(),
            key_id=str(self.child.job),
            document=document,
        )
        headers, value = envelope.close(
            made.message,
            to,
            key=self.child.key,
            nonce=self.ports.entropy(NONCE_BYTES),
            limit=topic.max_bytes + SPARE_BYTES,
        )
        keys = {Key.CUSTOMER: self.plan.parent.customer, Key.JOB: str(self.child.job), Key.DOCUMENT: document}
        record_key = keys[topic.key] or str(self.child.job)
        units = [Unit(to.id, reader, document) for reader in self.ports.topology.readers[name]]
        return OutgoingRecord(name, record_key.encode(), value, headers), units

    async def _introduce(self) -> None:
        """Tells the ledger of the replayed documents, whose records are all out. Events are told of as they go."""
        known = [document for document in self.plan.replayed if document.id in self.met]
        for some in _slices(known, RECORDED_AT_ONCE):
            await self._record(STAGE, [self._introduced_open(one, self.met[one.id]) for one in some])

    def _introduced_open(self, document: KnownDocument, made: Document) -> Outcome:
        return self._introduced(document, made.id, DocumentState.OPEN, opens=self.units[document.id], made=made)

    async def _introduce_duplicates(self) -> None:
        """Last, since what they are duplicates of is known then."""
        for some in _slices(self.plan.duplicates, RECORDED_AT_ONCE):
            await self._record(STAGE, [self._introduced_duplicate(one) for one in some])

    def _introduced_duplicate(self, document: KnownDocument) -> Outcome:
        original = self.originals[document.row.content]
        identity = self.child.document_id(document.path, original.sha256)
        return self._introduced(document, identity, DocumentState.DUPLICATE, made=original, same_as=original.id)

    async def _record(self, stage: str, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            await self.ports.ledger.record(stage, outcomes, now=self.ports.clock())

    # -- objects ------------------------------------------------------------------------------------------------------

    async def _copy_objects(self, made: Sequence[Rewritten]) -> None:
        """The objects they name, and the documents themselves, should they have to be admitted again one day."""
        named = [pair for one in made for pair in one.objects]
        await _each(self._fresh(named), self._copy)
        raw = [
            (raw_object(self.child.parent, old), raw_object(self.child.job, document.id))
            for one in made
            for old, document in one.documents
        ]
        await _each(self._fresh(raw), self._copy_if_there)

    def _fresh(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that were not copied yet: the messages of a document share its objects."""
        fresh = {old: new for old, new in pairs if old not in self.copied}
        self.copied.update(fresh)
        return list(fresh.items())

    async def _copy(self, pair: tuple[str, str]) -> None:
        old, new = pair
        kind, name = new.removeprefix(f"jobs/{self.child.job}/").split("/", 1)
        await self.ports.staging.put(self.child.job, kind, name, self.ports.staging.stream(self.plan.parent.id, old))

    async def _copy_if_there(self, pair: tuple[str, str]) -> None:
        try:
            await self._copy(pair)
        except Permanent as error:
            if error.code != "staging.missing":  # nothing that is replayed needs it
                raise


async def _each(items: Iterable[Item], do: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """`do` of each, AT_ONCE at one time. Raises the first error once none is under way any more."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Result:
        async with slots:
            return await do(item)

    results = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast(list[Result], results)


def _starts(entries: Iterable[Entry]) -> dict[int, int]:
    """By partition: the offset of the first of the entries."""
    starts: dict[int, int] = {}
    for entry in entries:
        starts[entry.partition] = min(entry.offset, starts.get(entry.partition, entry.offset))
    return starts


def _slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


async def _in_groups(items: AsyncIterator[Item], size: int) -> AsyncIterator[list[Item]]:
    group: list[Item] = []
    async for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
