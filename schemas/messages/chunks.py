"""`chunked`: a run of a document's chunks, with the stretch of text they lie in.

A document of many chunks makes several of these. Each carries `text`, the document's text from `text_start` on, long
enough to hold all of its chunks; the stretches of one document overlap or touch and together are its whole text.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.messages._base import Count, Message, Number, Part
from schemas.messages.documents import Document

Mark = Literal["doubtful", "hidden"]
"""`doubtful`: it lies on a page that was recognised with little confidence. `hidden`: it holds text that a reader of
the document does not see, such as white on white, and that may be meant for the machine that reads it."""
Offset = Count
"""Counts Unicode code points from the start of the document's extracted text."""


class PageSpan(Part):
    """Where a page's text lies: `document_text[start:end]`."""

    number: Number
    start: Offset
    end: Offset
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Mean confidence of the page's recognised words; None where the page's own text was used."""


class Chunk(Part):
    """A token-bounded passage: `document_text[start:end]` gives back its text exactly."""

    ordinal: Count
    """0-based within the document, in reading order."""
    start: Offset
    end: Offset
    tokens: Number
    page: Number | None = None
    """1-based page on which it begins; None where the format has no pages."""
    headings: tuple[str, ...] = ()
    """The headings above it, outermost first."""
    marks: tuple[Mark, ...] = ()
    """What a reader should know of it, each once, in order of their names."""


class ChunksMade(Message):
    TYPE: ClassVar[str] = "cradle.chunks.v1"

    document: Document
    title: str | None = None
    language: str | None = None
    """ISO 639-1, where detected."""
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    """When the document was last changed, as it says itself: `2026-01-31`."""
    text_length: Offset
    """Length of the whole document's extracted text."""
    text_start: Offset
    text: str
    pages: tuple[PageSpan, ...] = ()
    """Those that meet this stretch of text."""
    chunks: Annotated[tuple[Chunk, ...], Field(min_length=1)]

    def text_of(self, chunk: Chunk) -> str:
        return self.text[chunk.start - self.text_start : chunk.end - self.text_start]
