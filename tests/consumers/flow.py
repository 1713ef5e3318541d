"""A small flow in memory, under the real runtime: `split` makes messages of a document, `sink` ends them.

It polls and commits as the worker does, so a test can end any step by a crash and start the process anew.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from consumers.runtime import Done, Handle, Options, Outcome, Output, Ports, Received, Runtime
from consumers.runtime.announcing import announce_completed
from consumers.runtime.delivery import Delivered, Delivery
from consumers.runtime.metrics import Metrics
from consumers.runtime.offsets import Offsets, Partition
from consumers.runtime.settling import seal_message
from engines.extraction.parsers import InProcess
from infra.broker import OutgoingRecord, StoredRecord
from infra.keys import open_keys
from infra.ledger import JobView, NewDocument, NewJob, open_ledger
from infra.progress import open_progress
from infra.staging import open_staging
from schemas import envelope
from schemas.messages import Chunk, ChunksMade, Document, DocumentAdmitted, DocumentsSubmitted, Message
from schemas.topology import Topology, read_topology

FLOW = """
topics:
  ingest: {type: cradle.ingest.v1, key: customer, partitions: 1, retention: 1h, max_bytes: 1MiB, origin: producers}
  chunk-ready: {type: cradle.documents.v1, key: document, partitions: 1, retention: 1h, max_bytes: 1MiB}
  chunked: {type: cradle.chunks.v1, key: document, partitions: 1, retention: 1h, max_bytes: 1MiB}
  bake-ready: {type: cradle.jobs.v1, key: job, partitions: 1, retention: 1h, max_bytes: 1MiB, origin: completion}
stages:
  admit: {reads: [ingest],      writes: [chunk-ready], version: 1}
  split: {reads: [chunk-ready], writes: [chunked],     version: 1}
  sink:  {reads: [chunked],     writes: [],            version: 1}
  bake:  {reads: [bake-ready],  writes: [],            version: 1}
"""
STAGES = ("admit", "split", "sink", "bake")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Crash(BaseException):
    """The process is gone: nothing may catch it and carry on."""


@dataclass
class Log:
    """A broker's topics of one partition each, and each group's committed offset."""

    records: dict[str, list[StoredRecord]] = field(default_factory=dict)
    committed: dict[tuple[str, str], int] = field(default_factory=dict)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        for one in records:
            held = self.records.setdefault(one.topic, [])
            held.append(StoredRecord(one.topic, 0, len(held), one.key, one.value, one.headers, 1_700_000_000_000))

    async def scan(self, topic: str, *, start: Mapping[int, int] | None = None) -> AsyncIterator[StoredRecord]:
        for record in self.of(topic)[(start or {}).get(0, 0) :]:
            yield record

    def of(self, topic: str) -> list[StoredRecord]:
        return self.records.get(topic, [])

    def ids(self, topic: str) -> list[str]:
        return [dict(record.headers)["ce_id"].decode() for record in self.of(topic)]


class CrashAt:
    """Lets an object's method run `before` or `after` it, and then ends the process; once."""

    def __init__(self, wrapped: Any, method: str, *, after: bool) -> None:
        self._wrapped, self._method, self._after = wrapped, method, after
        self.crashed = False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        if name != self._method or self.crashed:
            return attribute

        async def crash(*args: Any, **kwargs: Any) -> None:
            if self._after:
                await attribute(*args, **kwargs)
            self.crashed = True
            raise Crash

        return crash


class Keyring:
    """Jobs as the runtime sees them: their keys."""

    def __init__(self, keys: Any) -> None:
        self._keys = keys

    async def key(self, job: UUID) -> bytes:
        return cast(bytes, await self._keys.fetch(str(job)))


@dataclass
class Flow:
    runtime: Runtime
    log: Log
    handles: dict[str, Handle]
    job: UUID = field(default_factory=uuid4)
    customer: str = "acme"

    @property
    def topology(self) -> Topology:
        return self.runtime.topology

    async def open_job(self) -> None:
        await self.runtime.keys.create(self.job)
        await self.runtime.ports.ledger.open_job(
            NewJob(id=self.job, customer=self.customer, reference="r", parameters=1, fingerprint="f", opened_at=NOW)
        )

    async def view(self) -> JobView:
        return await self.runtime.ports.ledger.job(self.job)

    async def poll(self, stage: str, *, with_ports: Runtime | None = None, most: int = 100) -> Delivered:
        """One poll: deliver and commit, as the worker does."""
        runtime = with_ports or self.runtime
        topics = self.topology.stages[stage].reads
        poll = [
            record
            for topic in topics
            for record in self.log.of(topic)[self.log.committed.get((stage, topic), 0) :][:most]
        ]
        offsets = Offsets()
        offsets.read(poll)
        delivered = await Delivery(stage, self.handles[stage], runtime, Metrics(stage)).deliver(poll)
        offsets.finish(delivered.finished)
        await self.commit(stage, offsets.committable())
        return delivered

    async def commit(self, stage: str, offsets: Any) -> None:
        offsets = cast(dict[Partition, int], offsets)
        for (topic, _), offset in offsets.items():
            self.log.committed[stage, topic] = offset

    async def publish(self, message: Message, topic: str, *, document: str | None = None, key: bytes = b"") -> UUID:
        to = envelope.Address(
            id=uuid4(),
            type=message.TYPE,
            source="/test",
            job=self.job,
            time=NOW,
            key_id=str(self.job),
            document=document,
        )
        key = key or await self.runtime.ports.jobs.key(self.job)
        await self.log.publish([seal_message(message, topic=topic, key=key, to=to, runtime=self.runtime)])
        return to.id

    async def run_to_the_end(self) -> None:
        """Polls every stage until nothing moves any more."""
        before = None
        while before != (before := (dict(self.log.committed), {t: len(r) for t, r in self.log.records.items()})):
            for stage in STAGES:
                await self.poll(stage)
            await announce_completed(self.runtime)


def document_message(name: str) -> DocumentAdmitted:
    identity = f"{abs(hash(name)):032x}"[:32]
    document = Document(id=identity, path=name, sha256="0" * 64, media_type="text/plain", size=1)
    return DocumentAdmitted(document=document, object=f"raw/{name}")


def chunks_message(document: Document, number: int) -> ChunksMade:
    text = f"{document.path} {number}"
    return ChunksMade(
        document=document,
        text_length=len(text),
        text_start=0,
        text=text,
        chunks=(Chunk(ordinal=number, start=0, end=len(text), tokens=2),),
    )


async def admit(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    """A document for each reference; the manifest as it comes."""
    for one in inputs:
        submitted = cast(DocumentsSubmitted, one.message)
        made = [document_message(reference.path) for reference in submitted.documents]
        yield Done(
            one,
            outputs=tuple(Output(message, document=message.document.id, topic="chunk-ready") for message in made),
            documents=tuple(NewDocument(message.document.id, b"sealed") for message in made),
            manifest=submitted.manifest.documents if submitted.manifest else None,
        )


def split_into(count: int) -> Handle:
    async def split(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            document = cast(DocumentAdmitted, one.message).document
            outputs = (Output(chunks_message(document, number), document=document.id) for number in range(count))
            yield Done(one, tuple(outputs), items=count)

    return split


async def sink(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in reversed(inputs):
        yield Done(one, items=1)


async def open_flow(stack: AsyncExitStack, *, chunks: int = 3, options: Options | None = None) -> Flow:
    log = Log()
    keys = await stack.enter_async_context(open_keys("memory:"))
    ports = Ports(
        staging=cast(Any, None),
        jobs=cast(Any, Keyring(keys)),
        ledger=await stack.enter_async_context(open_ledger("memory:")),
        parameters=cast(Any, None),
        archive=cast(Any, None),
        engines=cast(Any, None),
        parsers=InProcess(),
        source=cast(Any, None),
        home=Path("unused"),
        base_image="",
        clock=lambda: NOW,
        entropy=_counted(),
    )
    runtime = Runtime(
        topology=read_topology(FLOW, folders=set(STAGES)),
        ports=ports,
        broker=cast(Any, log),
        broker_url="memory:",
        keys=keys,
        staging=await stack.enter_async_context(open_staging("memory:")),
        progress=await stack.enter_async_context(open_progress("memory:")),
        options=options or Options(),
    )
    return Flow(runtime, log, {"admit": admit, "split": split_into(chunks), "sink": sink, "bake": sink})


def with_broker(runtime: Runtime, broker: Any) -> Runtime:
    return replace(runtime, broker=broker)


def with_ledger(runtime: Runtime, ledger: Any) -> Runtime:
    return replace(runtime, ports=replace(runtime.ports, ledger=ledger))


def _counted() -> Callable[[int], bytes]:
    count = iter(range(2**32))
    return lambda size: next(count).to_bytes(size, "big")
