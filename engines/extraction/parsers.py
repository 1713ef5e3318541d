"""The parsing port: this package's functions on a job's files, wherever they run.

Every parser reads bytes that somebody else made, so in a worker none runs in the worker's own process:
`engines.sandbox` runs them in a child that can do nothing but answer. `InProcess` runs them here, for tests and for
measuring what the sandbox costs.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final, Protocol, TypeVar
from uuid import UUID

from engines import extraction
from engines.extraction import Extracted, Member, PageImage, Probe
from engines.extraction.reading import Reading

T = TypeVar("T")
_END: Final = object()


class Parsers(Protocol):
    """Each call names the job that the file belongs to: what parsed it parses for no other job afterwards.

    Beside what each function raises itself, all raise Permanent `document.costly`, where the file takes more memory,
    time or room than a document may, and `document.crash`, where its parser died of it.
    """

    async def probe(self, job: UUID, data: bytes, path: str) -> Probe:
        """As `extraction.probe`."""

    def members(self, job: UUID, data: bytes, media_type: str) -> AsyncGenerator[Member, None]:
        """As `extraction.members`, one at a time. Closing the iterator ends the reading."""

    async def extract(self, job: UUID, data: bytes, media_type: str) -> Extracted:
        """As `extraction.extract`."""

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        """As `extraction.readable`."""

    def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        """As `extraction.pictures`, one at a time. Closing the iterator ends the drawing."""


class InProcess:
    """Parsers in a thread of this process, with no limits."""

    async def probe(self, job: UUID, data: bytes, path: str) -> Probe:
        return await asyncio.to_thread(extraction.probe, data, path)

    async def members(self, job: UUID, data: bytes, media_type: str) -> AsyncGenerator[Member, None]:
        async for member in _stepwise(extraction.members(data, media_type)):
            yield member

    async def extract(self, job: UUID, data: bytes, media_type: str) -> Extracted:
        return await asyncio.to_thread(extraction.extract, data, media_type)

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        return await asyncio.to_thread(extraction.readable, data, media_type)

    async def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        async for picture in _stepwise(extraction.pictures(data, media_type, dpi=dpi)):
            yield picture


async def _stepwise(iterator: Iterator[T]) -> AsyncGenerator[T, None]:
    """Each next one is made in a thread."""
    while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
        yield item  # type: ignore[misc]
