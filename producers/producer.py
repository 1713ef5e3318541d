"""The Producer: seals documents into staging and submits references to them, batch by batch."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final
from uuid import UUID

from infra.broker import Broker, OutgoingRecord
from infra.paths import file_url
from infra.sources import Entry, Source
from infra.staging.names import RAW, STAGED
from infra.staging.sealed import SealedStaging
from operations.jobs import OpenedJob, PinnedJobs
from producers.batching import STAGE, Batches, batch_id, batches_of_paths
from schemas import envelope, sealing
from schemas.errors import Permanent
from schemas.ids import clean_path, clean_removal, document_id, removal_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest
from schemas.topology import Origin, Topology

AT_ONCE: Final = 8
"""Documents of a walked source that are read and sealed at one time."""

Data = bytes | Path | Callable[[], AsyncIterator[bytes]]
"""A document's content: bytes, a file, or a function that opens a fresh stream of it each time it is called."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Progress: one more document is sealed."""

    path: str
    size: int
    documents: int
    """Distinct documents of this job so far."""
    bytes: int
    """Their bytes."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job as its producer closed it."""

    job: UUID
    reference: str
    documents: int
    bytes: int
    unreadable: tuple[tuple[str, str], ...] = ()
    """Path and error code of each entry of the source that could not be read: the job goes on without them."""
    removed: int = 0
    """Distinct paths that an update removes."""
    extends: str | None = None
    """The version that the job updates."""


@dataclass(slots=True)
class _Work:
    """The job in hand."""

    opened: OpenedJob
    customer: str
    reference: str
    batches: Batches = field(default_factory=Batches)
    full: list[tuple[DocumentReference, ...]] = field(default_factory=list)
    """Batches that are still to be published: more than one only while the broker is away."""
    documents: dict[str, str] = field(default_factory=dict)
    """Ids of the documents added, by staged URI."""
    bytes: int = 0
    removed: dict[str, str] = field(default_factory=dict)
    """Ids of the removals, by path."""

    @property
    def update(self) -> bool:
        return self.opened.view.extends is not None


class Producer:
    """Submits documents, one job at a time.

        async with Producer(...) as producer:
            job = await producer.open("acme", "contracts 2026")
            await producer.add("lease.pdf", Path("lease.pdf"))
            await producer.close()

    or all of a folder, file or prefix at once: `await producer.ingest("s3://bucket/contracts", "acme")`.

    An update adds to the customer's newest version, replaces what has the same path, and removes:

        await producer.open("acme", "contracts, May", update=True)
        await producer.add("lease.pdf", Path("lease.pdf"))
        await producer.remove("old/")
        await producer.close()

    A program that died may do all of it again under the same reference. The same documents have the same ids, the same
    batches the same message ids, and neither is worked on twice. Of a source that changed in between, what is new is
    let in as well, and what is gone stays: give a changed source a new reference.

    Leaving the block without `close` submits what was added and leaves the job open, unless an exception is under way.
    """

    def __init__(
        self,
        *,
        jobs: PinnedJobs,
        staging: SealedStaging,
        broker: Broker,
        topology: Topology,
        source: Callable[[str], Source],
        clock: Callable[[], datetime],
        entropy: Callable[[int], bytes],
        progress: Callable[[Sealed], None] = lambda sealed: None,
    ) -> None:
        """`source` gives the reader of a URI, by its scheme; `entropy` n random bytes."""
        self._jobs = jobs
        self._staging = staging
        self._broker = broker
        self._topic = _submissions(topology)
        self._source = source
        self._clock = clock
        self._entropy = entropy
        self._progress = progress
        self._work: _Work | None = None

    async def __aenter__(self) -> "Producer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._work is not None and kind is None:
            await self._submit(self._work)

    async def open(self, customer: str, reference: str, *, update: bool = False, parameters: int | None = None) -> UUID:
        """Begins the job that the customer calls `reference`, or goes on with it. Returns its id.

        It pins that version of the parameters, or the newest; as an update those of the customer's newest version,
        which it lies over. Raises Permanent as `operations.jobs.PinnedJobs.opened`.
        """
        assert self._work is None, "close the job in hand before opening the next"
        assert not (update and parameters), "an update keeps its version's parameters"
        opened = await self._jobs.opened(customer, reference, update=update, version=parameters)
        self._work = _Work(opened, customer, reference)
        return self._work.opened.id

    async def add(self, path: str, data: Data) -> str:
        """Seals a document into staging and puts it into the current batch. Returns its id.

        `path` is how search results will name it. Anything but bytes is read twice: its hash names the sealed object.
        Raises Permanent `source.path`, `source.missing`, `source.unreadable`, or `source.changed` between the reads.
        """
        work = self._opened()
        reference = await self._seal(work, path, data)
        return await self._enqueue(work, reference)

    async def remove(self, path: str) -> None:
        """Of an update: the document of that path, and what came out of it, is no longer part of the image; with a '/'
        at its end, everything in that folder. What the job adds stays. Raises Permanent `source.path`.
        """
        work = self._opened()
        assert work.update, "only an update removes documents"
        path = clean_removal(path)
        work.removed[path] = removal_id(await self._key(work), path)

    async def close(self) -> Submitted:
        """Submits the rest, then the manifest: the job takes no further document.

        Raises Permanent `job.manifest` if it was closed before with another number of documents.
        """
        return await self._close(self._opened())

    async def ingest(
        self,
        source: str | None,
        customer: str,
        reference: str | None = None,
        *,
        update: bool = False,
        removed: Iterable[str] = (),
        parameters: int | None = None,
    ) -> Submitted:
        """Submits every document under `source`: a path, `file:///...` or `s3://bucket/prefix`; then closes the job.

        An update may come without a source, and only remove. Without a `reference` each call is a job of its own,
        called after the time; it never holds a path, since references stand in the ledger in clear. Raises Permanent as
        `open` and `remove`, and `source.missing` if nothing is there.
        """
        removed = [clean_removal(path) for path in removed]
        root = None if source is None else source_uri(source)
        reader = None if root is None else self._source(root)
        name = reference or f"ingest-{self._clock().astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        await self.open(customer, name, update=update, parameters=parameters)
        work = self._opened()
        for path in removed:
            await self.remove(path)
        if root is None or reader is None:
            return await self._close(work)
        return await self._close(work, await self._add_all(work, reader, root))

    async def _add_all(self, work: _Work, reader: Source, root: str) -> tuple[tuple[str, str], ...]:
        """Path and error code of what could not be read."""
        unreadable: list[tuple[str, str]] = []
        async for entries in _in_groups(reader.walk(root), AT_ONCE):
            for entry, outcome in zip(entries, await self._seal_all(work, reader, entries), strict=True):
                if isinstance(outcome, Permanent):
                    unreadable.append((entry.path, outcome.code))
                else:
                    await self._enqueue(work, outcome)
        return tuple(unreadable)

    def _opened(self) -> _Work:
        assert self._work is not None, "open a job first"
        return self._work

    # -- sealing ------------------------------------------------------------------------------------------------------

    async def _seal_all(self, work: _Work, reader: Source, entries: list[Entry]) -> list[DocumentReference | Permanent]:
        """One answer for each entry, in their order: it decides the batches, so it has to repeat."""
        under_way = (self._seal(work, entry.path, partial(reader.read, entry.uri)) for entry in entries)
        outcomes = await asyncio.gather(*under_way, return_exceptions=True)  # so that none outlives another's failure
        answers: list[DocumentReference | Permanent] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Permanent):
                raise outcome
            answers.append(outcome)
        return answers

    async def _seal(self, work: _Work, path: str, data: Data) -> DocumentReference:
        path = clean_path(path)
        stream = self._stream(data)
        try:
            sha256, size = await _digest(stream())
            document = document_id(await self._key(work), path, sha256)
            name = await self._staging.put(work.opened.id, RAW, document, _checked(stream(), sha256))
        except OSError:
            raise Permanent("source.unreadable") from None
        return DocumentReference(path=path, uri=f"{STAGED}{name}", sha256=sha256, size=size)

    def _stream(self, data: Data) -> Callable[[], AsyncIterator[bytes]]:
        if isinstance(data, bytes):
            return lambda: _once(data)
        if isinstance(data, Path):
            uri = file_url(data)
            return lambda: self._source(uri).read(uri)
        return data

    async def _key(self, work: _Work) -> bytes:
        return await self._jobs.key(work.opened.id)

    # -- submitting ---------------------------------------------------------------------------------------------------

    async def _enqueue(self, work: _Work, reference: DocumentReference) -> str:
        document = reference.uri.rpartition("/")[2]
        full: tuple[DocumentReference, ...] = ()
        if reference.uri not in work.documents:
            work.documents[reference.uri] = document
            work.bytes += reference.size or 0
            full = work.batches.add(reference)
        await self._publish_full(work, full)
        self._progress(Sealed(reference.path, reference.size or 0, len(work.documents), work.bytes))
        return document

    async def _close(self, work: _Work, unreadable: tuple[tuple[str, str], ...] = ()) -> Submitted:
        manifest = Manifest(documents=len(work.documents), removed=len(work.removed))
        if work.opened.view.manifest not in (None, manifest.sources):
            raise Permanent("job.manifest")
        await self._submit(work)
        # an event of its own, which waits for no window: from then on it is known how much there is to do
        await self._publish(work, manifest=manifest)
        self._work = None
        return Submitted(
            job=work.opened.id,
            reference=work.reference,
            documents=manifest.documents,
            bytes=work.bytes,
            unreadable=unreadable,
            removed=manifest.removed,
            extends=work.opened.view.extends,
        )

    async def _submit(self, work: _Work) -> None:
        """Publishes all that was added and removed."""
        await self._publish_full(work, work.batches.rest())
        for batch in batches_of_paths([*work.removed]):
            await self._publish(work, removed=batch)

    async def _publish_full(self, work: _Work, batch: tuple[DocumentReference, ...] = ()) -> None:
        """Publishes what is full. What is not acknowledged stays, and goes with the next: no batch may be left out."""
        if batch:
            work.full.append(batch)
        while work.full:
            await self._publish(work, work.full[0])
            del work.full[0]

    async def _publish(
        self,
        work: _Work,
        batch: tuple[DocumentReference, ...] = (),
        *,
        removed: tuple[str, ...] = (),
        manifest: Manifest | None = None,
    ) -> None:
        message = DocumentsSubmitted(
            customer=work.customer,
            reference=work.reference,
            documents=batch,
            manifest=manifest,
            update=work.update,
            removed=removed,
        )
        ids = [*(work.documents[reference.uri] for reference in batch), *(work.removed[path] for path in removed)]
        to = envelope.Address(
            id=batch_id(work.opened.id, ids, manifest),
            type=message.TYPE,
            source=f"/cradle/{STAGE}",
            job=work.opened.id,
            time=self._clock(),
            key_id=str(work.opened.id),
        )
        headers, value = envelope.close(
            message, to, key=await self._key(work), nonce=self._entropy(sealing.NONCE_BYTES)
        )
        await self._broker.publish([OutgoingRecord(self._topic, work.customer.encode(), value, headers)])


def source_uri(source: str) -> str:
    """`source` itself if it is a URI; otherwise the `file:` URI of that path."""
    return source if "://" in source else file_url(Path(source).expanduser())


def _submissions(topology: Topology) -> str:
    """The topic that producers write."""
    return next(name for name, topic in topology.topics.items() if topic.origin is Origin.PRODUCERS)


async def _digest(stream: AsyncIterator[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    async for piece in stream:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


async def _checked(stream: AsyncIterator[bytes], sha256: str) -> AsyncIterator[bytes]:
    """The stream; raises Permanent `source.changed` at its end if it is not what was hashed, so nothing is stored."""
    digest = hashlib.sha256()
    async for piece in stream:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise Permanent("source.changed")


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _in_groups(entries: AsyncIterator[Entry], size: int) -> AsyncIterator[list[Entry]]:
    group: list[Entry] = []
    async for entry in entries:
        group.append(entry)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
