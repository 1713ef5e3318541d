"""`ocr-done`: a whole document, some of whose pages were recognised. Pages with text of their own keep it."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.messages._base import Count, Message, Number, Part
from schemas.messages.chunks import Mark
from schemas.messages.documents import Document

Confidence = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[int, Field(ge=0, le=10_000)]
"""Ten-thousandths of the page's width or height, from its left or upper edge as it is read."""


class RecognisedLine(Part):
    start: Count
    end: Count
    """`page_text[start:end]`, in code points."""
    box: tuple[Place, Place, Place, Place]
    """Left, top, right, bottom."""
    confidence: Confidence


class PageHeading(Part):
    level: Number
    start: Count
    end: Count
    """Code points of the page's text."""


class PageMark(Part):
    kind: Mark
    start: Count
    end: Count
    """Code points of the page's text."""


class RecognisedPage(Part):
    number: Number
    text: str
    confidence: Confidence | None = None
    """Mean confidence of the recognised words; None where the page's own text was used."""
    lines: tuple[RecognisedLine, ...] = ()
    """In reading order; none where the page's own text was used."""
    rotation: Annotated[int, Field(ge=0, lt=360)] = 0
    """Degrees clockwise by which the page was turned to be read."""
    headings: tuple[PageHeading, ...] = ()
    marks: tuple[PageMark, ...] = ()
    runs_on: bool = False
    """It ends within a sentence, which the next page goes on with."""


class DocumentRecognised(Message):
    TYPE: ClassVar[str] = "cradle.pages.v1"

    document: Document
    title: str | None = None
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    """When the document was last changed, as it says itself: `2026-01-31`."""
    pages: tuple[RecognisedPage, ...] = ()
    object: str | None = None
    """Staging name of the sealed pages, where they are too large for a record; then `pages` is empty."""
