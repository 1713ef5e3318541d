"""The ports' side of `admit`: an event's job, then its pieces as the customer's window lets them in.

A piece is a run of the event's references, published and recorded on its own, so that an event of a thousand documents
fills the window no further than one of a single document. What does not fit is held, and goes on with its next piece.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, cast
from uuid import UUID

from consumers.admit import core
from consumers.admit.core import Raw, Verdict
from consumers.admit.raw import Fetcher
from consumers.admit.window import Window
from consumers.runtime.contract import Done, Failed, Handle, Held, Outcome, Piece, Ports, Received, piece_id
from engines.extraction import Probe
from infra.ledger import DocumentState, NewDocument
from infra.parameters import Customer
from operations.jobs import seal_path
from schemas.errors import Permanent
from schemas.ids import document_id, removal_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Message
from schemas.sealing import NONCE_BYTES

STAGE: Final = "admit"
AT_ONCE: Final = 8
"""Documents of one event that are fetched and probed at one time."""
HOLD_SECONDS: Final = 0.2
"""How long an event waits before its customer's window is looked at again."""


def stage(ports: Ports) -> Handle:
    fetcher = Fetcher(ports)

    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        window = Window(ports.ledger)
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
                async for outcome in _admit(received, submission, window):
                    yield outcome
            except Permanent as error:
                yield Failed(received, error)

    return handle


async def _admit(received: Received[Message], submission: "_Submission", window: Window) -> AsyncIterator[Outcome]:
    """The pieces that have no outcome yet, as long as the window takes them. The last is the event's own outcome."""
    ports, event, customer = submission.ports, submission.event, submission.customer
    *ahead, last = core.pieces(event)
    for piece in (*await _left(received, ahead, ports), last):
        if event.documents and await window.is_full(customer):
            yield Held(received, HOLD_SECONDS)
            return
        verdicts = core.distinct(await submission.verdicts(piece))
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


@dataclass(frozen=True, slots=True)
class _Submission:
    """One event of one job: turns its references into verdicts."""

    ports: Ports
    fetcher: Fetcher
    event: DocumentsSubmitted
    customer: Customer
    job: UUID
    key: bytes

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
        async with slots, AsyncExitStack() as exits:
            try:
                raw = await self.fetcher.fetch(
                    reference, job=self.job, key=self.key, customer=self.customer, exits=exits
                )
            except Permanent as error:
                unread = document_id(self.key, reference.path, reference.sha256 or "")
                return [self._refused(unread, reference, error)]
            return await self._of_document(raw, reference, depth=0)

    async def _of_document(self, raw: Raw, reference: DocumentReference, depth: int) -> list[Verdict]:
        try:
            found = await self._probed(raw)
            inside = await self._opened(raw, found, depth)
        except Permanent as error:
            return [self._refused(raw.id, reference, error, member=raw.member)]
        verdicts = [self._expanded(raw) if found.route == "archive" else self._admitted(raw, found)]
        for path, data in inside:
            verdicts += await self._of_member(path, data, depth + 1)
        return verdicts

    async def _of_member(self, path: str, data: bytes, depth: int) -> list[Verdict]:
        sha256 = hashlib.sha256(data).hexdigest()
        raw = await self.fetcher.seal(path, data, sha256, job=self.job, key=self.key, member=True)
        return await self._of_document(raw, raw.reference(), depth)

    async def _probed(self, raw: Raw) -> Probe:
        if not raw.data:
            raise Permanent("source.empty")
        found = await self.ports.parsers.probe(self.job, raw.data, raw.path)
        core.check_route(found)
        return found

    async def _opened(self, raw: Raw, found: Probe, depth: int) -> list[tuple[str, bytes]]:
        """The members of an archive or mail, by their paths as documents; none of anything else."""
        if found.route not in core.CONTAINER_ROUTES:
            return []
        inside = [member async for member in self.ports.parsers.members(self.job, raw.data, found.media_type)]
        if inside and depth == core.MAX_DEPTH:
            raise Permanent("document.nested", limit=core.MAX_DEPTH)
        wanted = [(name, data) for name, data in inside if found.route == "mail" or core.is_document(name)]
        return [(core.member_path(raw.path, name), data) for name, data in wanted]

    # -- the three verdicts -------------------------------------------------------------------------------------------

    def _admitted(self, raw: Raw, found: Probe) -> Verdict:
        return Verdict(self._new(raw.id, raw.path, member=raw.member), output=raw.admitted(found.media_type))

    def _expanded(self, raw: Raw) -> Verdict:
        return Verdict(self._new(raw.id, raw.path, DocumentState.EXPANDED, member=raw.member))

    def _refused(
        self, document: str, reference: DocumentReference, error: Permanent, *, member: bool = False
    ) -> Verdict:
        if error.code.startswith("key."):
            raise error  # the job is being erased: that is the event's end, not the document's fault
        failed = self._new(document, reference.path, DocumentState.FAILED, error.code, member=member)
        return Verdict(failed, refused=core.refusal(self.event, reference, error, document))

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
