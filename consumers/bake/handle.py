"""The ports' side of `bake`: a job's parts are fetched in order, and the image built in a worker thread."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import apsw

from builders.image import BakedDocument, Below, BuiltImage, OtherName, build_image
from builders.parts import decode_part
from consumers.bake.core import assemble, renamed
from consumers.bake.staged import StagedDocument, fetch_parts, hidden_paths, staged_documents
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Ports, Received
from infra.ledger import Counted, ImageRecord
from infra.paths import CustomerPaths
from operations.updates import base_of
from operations.versions import below
from schemas.errors import CradleError, Permanent, Retryable
from schemas.messages import Document, JobCompleted, Message


def stage(ports: Ports) -> Handle:
    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for received in inputs:  # one at a time: an image in the making takes half a gigabyte
            yield await _answer(ports, received)

    return handle


async def _answer(ports: Ports, received: Received[Message]) -> Outcome:
    completed = cast(JobCompleted, received.message)
    try:
        built = await _bake(ports, received.job, completed)
    except Permanent as error:
        if error.code != "key.destroyed":  # an erased job stays erased
            await ports.ledger.failed(received.job, error.code, generation=completed.generation)
        return Failed(received, error)
    await _record(ports, received.job, completed, built)
    return Done(received, items=built.chunks)


async def _bake(ports: Ports, job: UUID, completed: JobCompleted) -> BuiltImage:
    documents = await staged_documents(ports, job)
    over = await _over(ports, job)
    if not documents and not over.removed:
        raise Permanent("job.empty", job=job)
    parameters = await ports.jobs.parameters(job)
    fold = parameters.chunking_config.fold_duplicates
    about = {"fingerprint": await ports.jobs.fingerprint(job), "parameters": parameters.deciding()}
    into = CustomerPaths(ports.home, completed.customer).image(job, completed.generation)
    fetched = cast(AsyncGenerator[bytes, None], fetch_parts(documents, ports.staging, job))
    async with aclosing(fetched) as parts:
        feed = _Feed(parts)
        building = asyncio.ensure_future(asyncio.to_thread(_build, documents, feed, about, over, into, fold=fold))
        try:
            return await asyncio.shield(building)
        finally:
            feed.stop()
            await asyncio.wait((building,))


@dataclass(frozen=True, slots=True)
class _Over:
    """What the image lies over: a base, or, as an update, the image of an earlier version."""

    base: str
    builder: str
    below: Below | None = None
    removed: Sequence[str] = ()


async def _over(ports: Ports, job: UUID) -> _Over:
    view = await ports.ledger.job(job)
    if view.extends is None:
        return _Over(ports.base_image, ports.builder)
    version = await base_of(view.customer, view.extends, ports.archive)
    return _Over(ports.base_image, ports.builder, below(version), await hidden_paths(ports, job))


async def _record(ports: Ports, job: UUID, completed: JobCompleted, built: BuiltImage) -> None:
    customer = await ports.parameters.customer(completed.customer)
    baked_at = ports.clock()
    record = ImageRecord(
        digest=built.digest,
        chunks=built.chunks,
        merkle=built.merkle,
        baked_at=baked_at,
        retain_until=baked_at + timedelta(hours=customer.retain_hours),
        counts={Counted.FOLDED: built.folded} if built.folded else {},
    )
    await ports.ledger.baked(job, completed.generation, record)


class _Feed:
    """Hands what the event loop fetches to the thread that builds."""

    def __init__(self, parts: AsyncGenerator[bytes, None]) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._fetching: asyncio.Task[Any] | None = None
        self._stopped = False

    def next(self) -> bytes:
        """Called by the building thread. Raises CancelledError once stopped."""
        return asyncio.run_coroutine_threadsafe(self._fetch(), self._loop).result()

    def stop(self) -> None:
        """Called by the event loop: a thread cannot be cancelled, but gives up at its next part."""
        self._stopped = True
        if self._fetching is not None:
            self._fetching.cancel()

    async def _fetch(self) -> bytes:
        if self._stopped:
            raise asyncio.CancelledError
        self._fetching = asyncio.current_task()
        return await anext(self._parts)


def _build(
    documents: Sequence[StagedDocument], feed: _Feed, about: Mapping[str, Any], over: _Over, into: Path, *, fold: bool
) -> BuiltImage:
    try:
        return build_image(
            _assembled(documents, feed),
            about,
            over.base,
            into,
            below=over.below,
            removed=over.removed,
            builder=over.builder,
            fold=fold,
        )
    except CradleError as error:
        if error.code.startswith("image.") and over.below is None:  # the base is the operator's to mend
            raise Retryable("dependency.away", name="The base image") from error
        raise
    except (OSError, apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:  # a full disk is nobody's message
        raise Retryable("dependency.away", name="The disk of images") from error


def _assembled(documents: Sequence[StagedDocument], feed: _Feed) -> Iterator[BakedDocument | OtherName]:
    """The first of a document's names comes before the others."""
    met: dict[str, Document] = {}
    for staged in documents:
        one = staged.listed
        if one.is_first:
            parts = (decode_part(feed.next()) for _ in staged.parts)
            baked = renamed(assemble(one.id, one.own_path, parts), one.path)
            if one.names > 1:
                met[one.id] = baked.document
            yield baked
        else:
            yield OtherName(met[one.id].model_copy(update={"path": one.path}), of=one.first)
