"""Fetching: from a reference to bytes that were checked and lie sealed in staging."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from consumers.admit.core import MAX_BYTES, Raw, root_above, staged_name
from consumers.runtime.contract import Ports
from infra.parameters import Customer
from infra.staging.names import RAW, STAGED
from schemas.errors import Permanent
from schemas.ids import document_id
from schemas.messages import DocumentReference

LARGE_BYTES: Final = 16 * 1024 * 1024
"""A document beyond it is read only while no other one is: so that memory holds at most one of MAX_BYTES."""


class Room:
    """What one document may take of the process's memory: LARGE_BYTES, or, once it took that, as much as one may."""

    def __init__(self, large: asyncio.Semaphore) -> None:
        self._large = large
        self._taken = False

    async def take(self) -> None:
        """Returns once no other document is large. Twice is harmless."""
        if not self._taken:
            await self._large.acquire()
            self._taken = True

    def leave(self) -> None:
        if self._taken:
            self._large.release()


class Fetcher:
    """Reads and seals the documents of one process, small ones side by side, large ones one at a time."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._large = asyncio.Semaphore(1)

    @asynccontextmanager
    async def room(self) -> AsyncIterator[Room]:
        """Room for one document, given back when the caller lets go of its bytes."""
        room = Room(self._large)
        try:
            yield room
        finally:
            room.leave()

    async def fetch(
        self, reference: DocumentReference, *, job: UUID, key: bytes, customer: Customer, room: Room
    ) -> Raw:
        """The document that `reference` names.

        Raises Permanent `source.root`, `source.scheme`, `source.missing`, `source.unreadable`, `source.digest`,
        `source.too-large`, `staging.missing` or `staging.tampered`.
        """
        if not reference.uri.startswith(STAGED):
            data, sha256 = await self._checked(reference, await self._allowed(reference.uri, customer), room)
            return await self.seal(reference.path, data, sha256, job=job, key=key)
        name = staged_name(reference, job, key)
        data, sha256 = await self._checked(reference, self._ports.staging.stream(job, name), room)
        return Raw(document_id(key, reference.path, sha256), reference.path, sha256, name, data)

    async def seal(self, path: str, data: bytes, sha256: str, *, job: UUID, key: bytes) -> Raw:
        """Puts a document into staging under its id."""
        document = document_id(key, path, sha256)
        return Raw(document, path, sha256, await self._ports.staging.put(job, RAW, document, data), data)

    async def _allowed(self, uri: str, customer: Customer) -> AsyncIterator[bytes]:
        root = root_above(uri, customer.roots)
        source = self._ports.source(uri)
        if not await asyncio.to_thread(source.lies_under, uri, root):
            raise Permanent("source.root")
        return source.read(uri)

    async def _checked(
        self, reference: DocumentReference, stream: AsyncIterator[bytes], room: Room
    ) -> tuple[bytes, str]:
        """The whole of `stream` and its SHA-256, which is the one declared, if one was."""
        digest, data = hashlib.sha256(), io.BytesIO()  # which hands its bytes over without a copy
        async for piece in stream:
            digest.update(piece)
            data.write(piece)
            if data.tell() > MAX_BYTES:
                raise Permanent("source.too-large", limit=MAX_BYTES)
            if data.tell() > LARGE_BYTES:
                await room.take()
        if reference.sha256 not in (None, digest.hexdigest()):
            raise Permanent("source.digest")
        return data.getvalue(), digest.hexdigest()
