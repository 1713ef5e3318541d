"""A flow in memory whose stages can be poisoned, and the ports that send its dead letters back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from consumers.runtime import Done, Failed, Handle, Outcome, Output, Received, Refused
from infra.ledger import DocumentState, NewDocument, NewJob
from operations.dead_letters import Letter, Wanted, find_letters
from operations.redrive import Mail
from schemas.errors import Permanent
from schemas.ids import job_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest, Message
from schemas.topology import read_topology
from tests.consumers.flow import FLOW, NOW, STAGES, Flow, document_message, open_flow

TWO_READERS = FLOW + "  mirror: {reads: [chunked], writes: [], version: 1}\n"
BROKEN = Permanent("document.broken", kind="text")


@dataclass
class Post:
    flow: Flow
    poisoned: set[str] = field(default_factory=set)
    """`stage:path` of what fails."""
    ran: list[str] = field(default_factory=list)
    """`stage:path` of what was handed to a stage."""
    seconds: int = 0

    def now(self) -> datetime:
        self.seconds += 1
        return NOW + timedelta(seconds=self.seconds)

    @property
    def mail(self) -> Mail:
        runtime = self.flow.runtime
        return Mail(
            broker=cast(Any, self.flow.log),
            ledger=runtime.ports.ledger,
            keys=runtime.keys,
            topology=runtime.topology,
            open_job=self.open_job,
            clock=self.now,
            entropy=runtime.ports.entropy,
        )

    async def open_job(self, customer: str, reference: str, *, update: bool = False) -> UUID:
        job = job_id(customer, reference)
        await self.flow.runtime.keys.create(job)
        opened = NewJob(id=job, customer=customer, reference=reference, parameters=1, fingerprint="f", opened_at=NOW)
        await self.flow.runtime.ports.ledger.open_job(replace(opened, extends="v1.0-init" if update else None))
        return job

    async def letters(self, **wanted: Any) -> list[Letter]:
        mail = self.mail
        found = await find_letters(Wanted(**wanted), broker=mail.broker, ledger=mail.ledger, topology=mail.topology)
        return [*found.letters]

    async def states(self, **wanted: Any) -> list[str]:
        return [letter.state.value for letter in await self.letters(**wanted)]

    async def submit(self, *paths: str) -> None:
        message = DocumentsSubmitted(
            customer="acme",
            reference="r",
            documents=tuple(DocumentReference(path=path, uri=f"file:///{path}") for path in paths),
            manifest=Manifest(documents=len(paths)),
        )
        await self.flow.publish(message, "ingest")
        await self.run()

    async def run(self) -> None:
        """Until nothing moves any more."""
        seen = -1
        while seen != (seen := sum(map(len, self.flow.log.records.values())) + sum(self.flow.log.committed.values())):
            await self.flow.run_to_the_end()
            await self.flow.poll("mirror")

    async def bake(self, inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        from infra.ledger import ImageRecord

        for one in inputs:
            generation = cast(Any, one.message).generation
            if f"bake:{generation}" in self.poisoned:
                yield Failed(one, Permanent("job.incomplete", what="a part is missing"))
                continue
            image = ImageRecord(f"sha256:{generation}", 1, {}, NOW, NOW + timedelta(hours=24))
            await self.flow.runtime.ports.ledger.baked(one.job, generation, image)
            yield Done(one)

    async def admit(self, inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        """A document for each reference, or a refused piece."""
        for one in inputs:
            event = cast(DocumentsSubmitted, one.message)
            if f"admit:{event.customer}" in self.poisoned:
                yield Failed(one, Permanent("customer.unknown", customer=event.customer))
                continue
            outputs, documents, refused = [], [], []
            for reference in event.documents:
                made = document_message(reference.path)
                self.ran.append(f"admit:{reference.path}")
                if f"admit:{reference.path}" in self.poisoned:
                    piece = event.model_copy(update={"documents": (reference,), "manifest": None})
                    refused.append(Refused(piece, BROKEN, made.document.id))
                    documents.append(NewDocument(made.document.id, b"s", DocumentState.FAILED, BROKEN.code))
                else:
                    outputs.append(Output(made, made.document.id, identity=UUID(made.document.id)))
                    documents.append(NewDocument(made.document.id, b"s"))
            manifest = event.manifest.documents if event.manifest else None
            yield Done(one, tuple(outputs), tuple(refused), tuple(documents), manifest=manifest)

    def guarded(self, stage: str, handle: Handle) -> Handle:
        async def guarded(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
            for one in inputs:
                name = f"{stage}:{cast(Any, one.message).document.path}"
                self.ran.append(name)
                if name in self.poisoned:
                    yield Failed(one, BROKEN)
                    continue
                async for outcome in handle([one]):
                    yield outcome

        return guarded


async def open_post(stack: AsyncExitStack) -> Post:
    """Job `acme`, `r` of a flow whose `chunked` has two readers: `sink` and `mirror`."""
    flow = await open_flow(stack, chunks=1)
    flow.runtime = replace(flow.runtime, topology=read_topology(TWO_READERS, folders={*STAGES, "mirror"}))
    post = Post(flow)
    flow.runtime = replace(flow.runtime, ports=replace(flow.runtime.ports, clock=post.now))
    flow.handles |= {"mirror": flow.handles["sink"], "admit": post.admit, "bake": post.bake}
    for stage in ("split", "sink", "mirror"):
        flow.handles[stage] = post.guarded(stage, flow.handles[stage])
    flow.job = await post.open_job("acme", "r")
    return post
