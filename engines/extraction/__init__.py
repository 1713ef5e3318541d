"""Extraction: a raw file's bytes to text with pages and headings, and the probe that names its type by content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    media_type: str
    """By content, not by name."""
    route: str
    """`text`: extract it; `ocr`: it holds pictures of text; `archive`: its members are documents; `mail`: both itself
    a document and a container of attachments; `unsupported`; `encrypted`."""


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    number: int
    start: int
    end: int
    """Code point offsets into the text."""


@dataclass(frozen=True, slots=True)
class ExtractedHeading:
    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's text. `text` is what spans point into: NFC, '\\n' line ends, no markup but Markdown tables."""

    text: str
    pages: tuple[ExtractedPage, ...] = ()
    """Empty where the format has no pages; otherwise in order, together covering the text."""
    headings: tuple[ExtractedHeading, ...] = ()
    title: str | None = None
    language: str | None = None


def probe(data: bytes, path: str) -> Probe:
    """Names the type of `data`; `path` only breaks ties between text formats."""
    raise NotImplementedError


def extract(data: bytes, media_type: str) -> Extracted:
    """The text of a document. Raises Permanent `document.broken`, `document.encrypted`, `document.no-text` or
    `document.type`. Deterministic: the same bytes give the same result on any machine. Blocking."""
    raise NotImplementedError


def members(data: bytes, media_type: str) -> "list[tuple[str, bytes]]":
    """Members of a ZIP or TAR, attachments of a mail, as (relative path, bytes), in order of their paths' bytes.

    Raises Permanent `document.broken` or `document.encrypted`.
    """
    raise NotImplementedError
