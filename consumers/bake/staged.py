"""What a job left in staging: its documents in final order, and their parts, fetched a little ahead of their reader."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from builders.parts import KIND, decode_part
from consumers.runtime.contract import Ports, SealedStore
from operations.jobs import open_path
from operations.names import LISTED, Listed, listed
from schemas.errors import Permanent

PARTS_AHEAD: Final = 16
"""Fetched before they are needed; at 1 MiB a part, 16 MiB."""

Name = TypeVar("Name")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StagedDocument:
    """One name of a document."""

    listed: Listed
    parts: tuple[str, ...]
    """Staging names, in reading order; none where it is not the first of the document's names."""


async def staged_documents(ports: Ports, job: UUID) -> list[StagedDocument]:
    """What the image lists, by path's bytes and SHA-256: no id or time of a job decides its order.

    Raises Permanent `job.incomplete` if one of them has no parts, `key.destroyed` if the job was erased.
    """
    key = await ports.jobs.key(job)
    names = await _part_names(ports.staging, job)
    found = listed(await ports.ledger.documents(job), lambda row: open_path(key, row.id, row.sealed_path))
    if any(one.id not in names for one in found):
        raise Permanent("job.incomplete", what="a document has no parts")
    ordered = await _in_final_order(found, names, ports.staging, job)
    return [StagedDocument(one, tuple(names[one.id]) if one.is_first else ()) for one in ordered]


async def hidden_paths(ports: Ports, job: UUID) -> list[str]:
    """What an update hides of the versions below, beside its documents' own paths, in order of their bytes: what it
    removes, archives (whatever else they held before), and documents that failed now: a full bake has none of these.

    Raises Permanent `key.destroyed`.
    """
    key = await ports.jobs.key(job)
    rows = [row for row in await ports.ledger.documents(job) if row.state not in LISTED]
    return sorted({open_path(key, row.id, row.sealed_path) for row in rows}, key=str.encode)


def fetch_parts(documents: Iterable[StagedDocument], staging: SealedStore, job: UUID) -> AsyncIterator[bytes]:
    """The bytes of every part, document by document."""
    names = (name for document in documents for name in document.parts)
    return _ahead(names, lambda name: staging.get(job, name), depth=PARTS_AHEAD)


async def _part_names(staging: SealedStore, job: UUID) -> dict[str, list[str]]:
    """Of each document, by its id."""
    names: dict[str, list[str]] = {}
    async for name in staging.list(job, KIND):
        document = name.split("/")[-2]
        names.setdefault(document, []).append(name)
    return names


async def _in_final_order(
    found: Sequence[Listed], names: Mapping[str, Sequence[str]], staging: SealedStore, job: UUID
) -> list[Listed]:
    """The ledger keeps no hash. It is read from a part where two documents of one path make it matter."""
    same_path = Counter(one.path for one in found)
    sha256 = {}
    for one in found:
        if same_path[one.path] > 1:
            first = decode_part(await staging.get(job, names[one.id][0]))
            sha256[one.id] = first.chunks.document.sha256
    return sorted(found, key=lambda one: (one.path.encode(), sha256.get(one.id, "")))


async def _ahead(
    names: Iterable[Name], fetch: Callable[[Name], Awaitable[Result]], *, depth: int
) -> AsyncIterator[Result]:
    """What `fetch` makes of each name, in their order, with at most `depth` fetches under way or waiting."""
    waiting: deque[asyncio.Future[Result]] = deque()
    try:
        for name in names:
            waiting.append(asyncio.ensure_future(fetch(name)))
            if len(waiting) == depth:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for left in waiting:
            left.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
