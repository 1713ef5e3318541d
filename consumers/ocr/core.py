"""Takes the pages of many documents to one row of engine batches, and their texts back to each. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from engines.extraction import PageImage
from engines.extraction.reading import Piece, Reading
from engines.vision import Line, PageText
from engines.vision.layout import page_text
from infra.ledger import Counted
from schemas.errors import Permanent
from schemas.messages import Document, DocumentRecognised, RecognisedPage
from schemas.messages.pages import PageHeading, PageMark, RecognisedLine

MAX_BATCH_BYTES: Final = 96 * 1024 * 1024
"""Of an engine batch's pixels: three pages of A4 at 300 dpi. Two batches are in hand at one time."""
MAX_PICTURES: Final = 5000
"""Of one document: some hours of work. One that has more is refused before it keeps all others waiting."""
MAX_INLINE_BYTES: Final = 512 * 1024
"""Of a document's pages: they travel in its record up to here, and beyond in staging."""
MAX_TITLE_CHARACTERS: Final = 1000
DOUBTFUL: Final = "doubtful"
_WHOLE: Final = 10_000
"""A page's width and height in the unit of its lines' boxes."""
_PLACE_BYTES: Final = 96
"""What a line, a heading or a mark takes in a record beside its text."""


# -- from documents to engine batches ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picture:
    """A page that the engine is to read."""

    document: int
    """Which of the poll's documents it belongs to."""
    image: PageImage


@dataclass(frozen=True, slots=True)
class Drawn:
    """The end of a document: all its pictures have gone before."""

    document: int
    reading: Reading
    """What it says by itself."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """The end of a document that turned out to be none."""

    document: int
    error: Permanent


Step = Picture | Drawn | Spoiled


@dataclass(slots=True)
class Batch:
    """Pictures that the engine gets together, and the documents that end with them."""

    pictures: list[Picture] = field(default_factory=list)
    ends: list[Drawn | Spoiled] = field(default_factory=list)
    size: int = 0
    """Bytes of pixels."""

    def takes(self, step: Step, *, most: int) -> bool:
        """Whether there is room among at most `most` pictures. An end needs none."""
        if not isinstance(step, Picture) or not self.pictures:
            return True
        return len(self.pictures) < most and self.size + len(step.image.pixels) <= MAX_BATCH_BYTES

    def add(self, step: Step) -> None:
        if isinstance(step, Picture):
            self.pictures.append(step)
            self.size += len(step.image.pixels)
        else:
            self.ends.append(step)


# -- from texts back to documents -------------------------------------------------------------------------------------


def check_pictures(count: int) -> None:
    """Raises Permanent `document.costly` for a document that has had so many, and one more."""
    if count > MAX_PICTURES:
        raise Permanent("document.costly", limit=f"recognising {MAX_PICTURES} pages")


class Gathering:
    """The recognised pages of documents that did not end yet."""

    def __init__(self, *, min_confidence: float) -> None:
        self._min_confidence = min_confidence
        self._pages: dict[int, list[RecognisedPage]] = defaultdict(list)

    def take(self, pictures: Sequence[Picture], texts: Sequence[PageText]) -> None:
        """Files the texts, one for each picture."""
        for picture, text in zip(pictures, texts, strict=True):
            page = recognised_page(picture.image.number, text, min_confidence=self._min_confidence)
            self._pages[picture.document].append(page)

    def whole(self, end: Drawn) -> list[RecognisedPage]:
        """The pages of a document that ended, in order: its own and the recognised ones.

        Raises Permanent `document.no-text` where there is none on any of them.
        """
        pages = [own_page(piece) for piece in end.reading.pieces] + self._pages.pop(end.document, [])
        if not any(page.text.strip() for page in pages):
            raise Permanent("document.no-text")
        return _in_order(pages)

    def forget(self, end: Spoiled) -> None:
        self._pages.pop(end.document, None)


def _in_order(pages: list[RecognisedPage]) -> list[RecognisedPage]:
    """A sentence goes on from page to page where neither is a picture."""
    pages.sort(key=lambda page: page.number)
    for index, (page, following) in enumerate(pairwise(pages)):
        if page.runs_on and following.confidence is not None:
            pages[index] = page.model_copy(update={"runs_on": False})
    return pages


def recognised_page(number: int, found: PageText, *, min_confidence: float) -> RecognisedPage:
    """A page with text of too little confidence is marked as a whole, and so is one of which some was left out; one on
    which nothing was found is not."""
    text, spans = page_text(found)
    doubtful = bool(text) and (found.confidence < min_confidence or not found.is_whole)
    return RecognisedPage(
        number=number,
        text=text,
        confidence=found.confidence,
        lines=tuple(
            RecognisedLine(start=start, end=end, box=_place(line, found), confidence=line.confidence)
            for line, (start, end) in zip(found.lines, spans, strict=True)
        ),
        rotation=found.rotation,
        marks=(PageMark(kind=DOUBTFUL, start=0, end=len(text)),) if doubtful else (),
    )


def own_page(piece: Piece) -> RecognisedPage:
    """A page that has text of its own."""
    return RecognisedPage(
        number=piece.page or 1,
        text=piece.text,
        headings=tuple(PageHeading(level=one.level, start=one.start, end=one.end) for one in piece.headings),
        marks=tuple(PageMark(kind=mark.kind, start=mark.start, end=mark.end) for mark in piece.marks),
        runs_on=piece.runs_on,
    )


def recognised(document: Document, reading: Reading, pages: Sequence[RecognisedPage]) -> DocumentRecognised:
    title = reading.title[:MAX_TITLE_CHARACTERS] if reading.title else None
    return DocumentRecognised(document=document, title=title, date=reading.date, pages=tuple(pages))


def is_large(pages: Sequence[RecognisedPage]) -> bool:
    """Whether pages are too many for a record."""
    places = sum(len(page.lines) + len(page.headings) + len(page.marks) for page in pages)
    return sum(len(page.text.encode()) for page in pages) + places * _PLACE_BYTES > MAX_INLINE_BYTES


def counts(pages: Sequence[RecognisedPage]) -> Mapping[Counted, int]:
    """How many pages were recognised, and how many of these are doubtful."""
    read = [page for page in pages if page.confidence is not None]
    doubtful = [page for page in read if any(mark.kind == DOUBTFUL for mark in page.marks)]
    return {Counted.RECOGNISED: len(read), Counted.DOUBTFUL: len(doubtful)}


def _place(line: Line, page: PageText) -> tuple[int, int, int, int]:
    left, top, right, bottom = line.box
    return (
        _share(left, page.width),
        _share(top, page.height),
        _share(right, page.width),
        _share(bottom, page.height),
    )


def _share(pixels: int, of: int) -> int:
    return min(_WHOLE, max(0, round(pixels * _WHOLE / of)))
