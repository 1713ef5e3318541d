"""Scans for tests: small pictures of noise, which the `fake` engine tells apart, and parsers that draw them."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from engines.extraction import PageImage
from engines.extraction.parsers import InProcess
from engines.extraction.reading import Piece, Reading
from engines.vision import PageText
from engines.vision.fake import FakeEngine
from schemas.errors import Permanent

BLANK = 255


def picture(number: int = 1, shade: int = 7, *, width: int = 4, height: int = 2) -> PageImage:
    """A page whose first pixel has that shade, and all others none; with BLANK nothing is on it."""
    pixels = bytes([shade, 0, 0]) + bytes(3) * (width * height - 1)
    if shade == BLANK:
        pixels = bytes(3) * (width * height)
    return PageImage(number, width, height, pixels, dpi=300)


def text_of(image: PageImage) -> str:
    """What the fake engine reads on it."""
    [line] = FakeEngine().recognise([image])[0].lines
    return line.text


@dataclass
class Scan:
    """A document of which some pages are pictures."""

    pictures: list[PageImage]
    own: list[Piece] = field(default_factory=list)
    title: str | None = None
    error: Permanent | None = None
    """After its last picture."""


class Drawing(InProcess):
    """Parsers of documents that a test made; the raw bytes are a document's number among them."""

    def __init__(self, *scans: Scan) -> None:
        self.scans = scans
        self.drawn: list[PageImage] = []
        self.open = 0
        self.asked: set[tuple[UUID, str, int]] = set()

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        scan = self._scan(data)
        return Reading(scan.own, title=scan.title)

    async def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        self.asked.add((job, media_type, dpi))
        scan = self._scan(data)
        self.open += 1
        try:
            for image in scan.pictures:
                await asyncio.sleep(0)
                self.drawn.append(image)
                yield image
            if scan.error is not None:
                raise scan.error
        finally:
            self.open -= 1

    def _scan(self, data: bytes) -> Scan:
        [number] = struct.unpack("<I", data)
        return self.scans[number]


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
OWN = 128


def sketch(*pages: int) -> bytes:
    """A file that is taken for a picture, and that `Sketches` reads: a page for each number.

    One below OWN is a picture of that shade, any other has text of its own.
    """
    return PNG_SIGNATURE + bytes(pages)


class Sketches(InProcess):
    """Parsers that read sketches, and all else as ever."""

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        if not data.startswith(PNG_SIGNATURE):
            return await super().readable(job, data, media_type)
        return Reading([Piece(f"Own page {page}.", page=n) for n, page in _pages(data) if page >= OWN])

    async def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        for number, page in _pages(data):
            if page < OWN:
                yield picture(number, page, width=dpi // 36)


def _pages(data: bytes) -> list[tuple[int, int]]:
    return list(enumerate(data.removeprefix(PNG_SIGNATURE), start=1))


def raw(number: int) -> bytes:
    return struct.pack("<I", number)


class Watched(FakeEngine):
    """Notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[PageImage]] = []

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        self.batches.append(list(pages))
        return super().recognise(pages)
