"""The ports' side of `admit`: an event's job, then its pieces as the customer's window lets them in.

A piece is a run of the event's references, published and recorded on its own, so that an event of a thousand documents
fills the window no further than one of a single document. What does not fit is held, and goes on with its next piece.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, TypeVar, cast
from uuid import UUID

from consumers.admit import core
from consumers.admit.core import Raw, Verdict, Waiting
from consumers.admit.duplicates import Duplicates
from consumers.admit.raw import Fetcher, Room
from consumers.admit.window import Window
from consumers.runtime.contract import Done, Failed, Handle, Held, Outcome, Piece, Ports, Received, Underway, piece_id
from engines.extraction import Probe
from infra.ledger import DocumentState, NewDocument
from infra.parameters import Customer
from operations.jobs import seal_path
from schemas.errors import Permanent
from schemas.ids import content_id, document_id, removal_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Message
from schemas.sealing import NONCE_BYTES

T = TypeVar("T")

STAGE: Final = "admit"
AT_ONCE: Final = 8
"""Documents of one event that are fetched and probed at one time."""
TOLD_SECONDS: Final = 5.0
"""How often it is told that an event goes on."""
HOLD_SECONDS: Final = 0.2
"""How long an event waits before its customer's window is looked at again."""


def stage(ports: Ports) -> Handle:
    fetcher = Fetcher(ports)

    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome | Underway]:
        window, duplicates = Window(ports.ledger), Duplicates(ports.ledger)
        for received in inputs:
            event = cast(DocumentsSubmitted, received.message)
            try:
                customer = await ports.parameters.customer(event.customer)
                if event.documents and await window.is_full(customer):
                    yield Held(received, HOLD_SECONDS)
                    continue
                job = await ports.jobs.open(event.customer, event.reference, update=event.update)
                core.check_job(event, await ports.ledger.job(job))
                submission = _Submission(ports, fetcher, event, customer, job, await ports.jobs.key(job))
                async for outcome in _admit(received, submission, window, duplicates):
                    yield outcome
            except Permanent as error:
                yield Failed(received, error)

    return handle


async def _admit(
    received: Received[Message], submission: "_Submission", window: Window, duplicates: Duplicates
) -> AsyncIterator[Outcome | Underway]:
    """The pieces that have no outcome yet, as long as the window takes them. The last is the event's own outcome."""
    ports, event, customer = submission.ports, submission.event, submission.customer
    *ahead, last = core.pieces(event)
    for piece in (*await _left(received, ahead, ports), last):
        if event.documents and await window.is_full(customer):
            yield Held(received, HOLD_SECONDS)
            return
        working = asyncio.ensure_future(submission.verdicts(piece))
        async with aclosing(submission.progress.until(working)) as steps:
            async for _ in steps:
                yield Underway(received)
        verdicts = await duplicates.marked(submission.job, core.distinct(working.result()))
        window.let_in(customer, core.admitted_count(verdicts))
        done = _done(received, verdicts)
        if piece is last:
            yield replace(
                done,
                documents=(*done.documents, *submission.removals()),
                manifest=event.manifest.sources if event.manifest else None,
            )
        else:
            yield Piece(received, core.number_of(piece), done.outputs, done.refused, done.documents, done.items)


async def _left(received: Received[Message], pieces: Sequence[range], ports: Ports) -> list[range]:
    """The pieces that were not let in when the event was read before."""
    ids = {piece_id(STAGE, received, core.number_of(piece)): piece for piece in pieces}
    finished = await ports.ledger.finished(STAGE, [*ids]) if ids else set()
    return [piece for id_, piece in ids.items() if id_ not in finished]


def _done(received: Received[Message], verdicts: Sequence[Verdict]) -> Done:
    outputs = tuple(verdict.output for verdict in verdicts if verdict.output)
    return Done(
        received,
        outputs=outputs,
        refused=tuple(verdict.refused for verdict in verdicts if verdict.refused),
        documents=tuple(verdict.document for verdict in verdicts),
        items=len(outputs),
    )


def _check_key(error: Permanent) -> None:
    """Raises `error` if the job is being erased: that is the event's end, not the document's fault."""
    if error.code.startswith("key."):
        raise error


class _Progress:
    """Documents read and members sealed: a large archive takes minutes, and must not seem to hang."""

    def __init__(self) -> None:
        self.steps = 0

    async def until(self, working: asyncio.Future[T]) -> AsyncGenerator[int, None]:
        """The steps, now and then while there are more, until it is done."""
        told = self.steps
        try:
            while not (await asyncio.wait([working], timeout=TOLD_SECONDS))[0]:
                if self.steps > told:
                    told = self.steps
                    yield told
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Submission:
    """One event of one job: turns its references into verdicts."""

    ports: Ports
    fetcher: Fetcher
    event: DocumentsSubmitted
    customer: Customer
    job: UUID
    key: bytes
    progress: _Progress = field(default_factory=_Progress)

    def removals(self) -> list[NewDocument]:
        """What the event removes, as the ledger keeps it until the image is baked: with its path sealed, and no work
        open. The manifest counts it, so the job is not complete before it is known."""
        paths = dict.fromkeys(self.event.removed)
        return [self._new(removal_id(self.key, path), path, DocumentState.EXPANDED, member=False) for path in paths]

    async def verdicts(self, piece: range) -> list[Verdict]:
        """Those of the piece's references and of the members found in them, in the event's order.

        Raises Permanent `key.destroyed` if the job is erased meanwhile, Retryable if a dependency is away.
        """
        slots = asyncio.Semaphore(AT_ONCE)
        references = self.event.documents[piece.start : piece.stop]
        under_way = (self._of_reference(reference, slots) for reference in references)
        results = await asyncio.gather(*under_way, return_exceptions=True)  # so that none outlives another's failure
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return list(chain.from_iterable(cast(list[list[Verdict]], results)))

    async def _of_reference(self, reference: DocumentReference, slots: asyncio.Semaphore) -> list[Verdict]:
        """Those of the document that it names and of all that lies in it: the members of one archive before those of
        the archives among them. Each is read from staging when its turn comes, so that memory holds one at a time."""
        verdicts: list[Verdict] = []
        async with slots:
            allowance = core.Allowance()
            waiting = deque([Waiting(reference)])
            while waiting:
                one = waiting.popleft()
                async with self.fetcher.room() as room:
                    found, inside = await self._of_document(one, allowance, room)
                self.progress.steps += 1
                verdicts += found
                waiting += inside
        return verdicts

    async def _of_document(
        self, one: Waiting, allowance: core.Allowance, room: Room
    ) -> tuple[list[Verdict], list[Waiting]]:
        """Its verdict, with those of members that cannot be read, and the members that can."""
        try:
            raw = await self.fetcher.fetch(one.reference, job=self.job, key=self.key, customer=self.customer, room=room)
        except Permanent as error:
            unread = document_id(self.key, one.reference.path, one.reference.sha256 or "")
            return [self._refused(unread, one, error)], []
        allowance.begin(len(raw.data))
        try:
            found = await self._probed(raw)
            unreadable, inside = await self._opened(raw, found, one.depth, allowance, room)
        except Permanent as error:
            allowance.charge(error)
            return [self._refused(raw.id, one, error)], []
        verdict = self._expanded(raw, one) if found.route == "archive" else self._admitted(raw, found, one)
        return [verdict, *unreadable], inside

    async def _probed(self, raw: Raw) -> Probe:
        if not raw.data:
            raise Permanent("source.empty")
        found = await self.ports.parsers.probe(self.job, raw.data, raw.path)
        core.check_route(found)
        return found

    async def _opened(
        self, raw: Raw, found: Probe, depth: int, allowance: core.Allowance, room: Room
    ) -> tuple[list[Verdict], list[Waiting]]:
        """What came out of an archive or mail, sealed as it came; nothing of anything else. The container is read to
        its end before a member of it counts: one that breaks off is refused whole."""
        unreadable: list[Verdict] = []
        inside: list[Waiting] = []
        if found.route not in core.CONTAINER_ROUTES:
            return unreadable, inside
        if found.route == "archive":
            allowance.open(depth)
            await room.take()  # a small archive may hold large members
        async with aclosing(self.ports.parsers.members(self.job, raw.data, found.media_type)) as members:
            async for name, content in members:
                if depth == core.MAX_DEPTH:
                    raise Permanent("document.nested", limit=core.MAX_DEPTH)
                if found.route == "archive" and not core.is_document(name):
                    continue
                allowance.spend(content)
                self.progress.steps += 1
                try:
                    inside.append(await self._sealed(core.member_path(raw.path, name), content, depth + 1))
                except Permanent as error:
                    unreadable.append(self._unreadable(raw, name, error))
        return unreadable, inside

    async def _sealed(self, path: str, content: bytes | Permanent, depth: int) -> Waiting:
        """Raises what `content` is, where it could not be read."""
        if isinstance(content, Permanent):
            raise content
        sha256 = hashlib.sha256(content).hexdigest()
        raw = await self.fetcher.seal(path, content, sha256, job=self.job, key=self.key)
        return Waiting(raw.reference(), depth)

    # -- the three verdicts -------------------------------------------------------------------------------------------

    def _admitted(self, raw: Raw, found: Probe, one: Waiting) -> Verdict:
        let_in = replace(
            self._new(raw.id, raw.path, member=one.member),
            content=content_id(self.key, raw.sha256, found.media_type),
        )
        return Verdict(let_in, output=raw.admitted(found))

    def _expanded(self, raw: Raw, one: Waiting) -> Verdict:
        return Verdict(self._new(raw.id, raw.path, DocumentState.EXPANDED, member=one.member))

    def _refused(self, document: str, one: Waiting, error: Permanent) -> Verdict:
        _check_key(error)
        failed = self._new(document, one.reference.path, DocumentState.FAILED, error.code, member=one.member)
        return Verdict(failed, refused=core.refusal(self.event, one.reference, error, document))

    def _unreadable(self, container: Raw, name: str, error: Permanent) -> Verdict:
        """Of a member that has no bytes which could be submitted: its dead letter names the container."""
        _check_key(error)
        path = core.told_path(container.path, name)
        document = document_id(self.key, path, "")
        failed = self._new(document, path, DocumentState.FAILED, error.code, member=True)
        return Verdict(failed, refused=core.refusal(self.event, container.reference(), error, document))

    def _new(
        self,
        document: str,
        path: str,
        state: DocumentState = DocumentState.OPEN,
        code: str | None = None,
        *,
        member: bool,
    ) -> NewDocument:
        sealed = seal_path(self.key, document, path, nonce=self.ports.entropy(NONCE_BYTES))
        return NewDocument(document, sealed, state, code, member)
