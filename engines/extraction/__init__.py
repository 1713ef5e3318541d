"""Extraction: a raw file's bytes to text with pages and headings, and the probe that names its type by content.

Everything here is a pure function of the bytes (`path` only breaks ties), so that a sandboxed child can run it:
no file, no network, no cache, no clock. All of it blocks: call it off the event loop.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from engines.extraction.kinds import in_words
from schemas.errors import Permanent
from schemas.messages.chunks import Mark

if TYPE_CHECKING:
    from engines.extraction.reading import Reading

READERS: Final[Mapping[str, str]] = {
    "application/pdf": "engines.extraction.pdf:read",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "engines.extraction.word:read",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "engines.extraction.sheets:read",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "engines.extraction.slides:read",
    "application/vnd.oasis.opendocument.text": "engines.extraction.opendocument:read",
    "application/vnd.oasis.opendocument.spreadsheet": "engines.extraction.opendocument:read",
    "application/vnd.oasis.opendocument.presentation": "engines.extraction.opendocument:read",
    "application/vnd.oasis.opendocument.graphics": "engines.extraction.opendocument:read",
    "application/epub+zip": "engines.extraction.epub:read",
    "application/rtf": "engines.extraction.rtf:read",
    "application/json": "engines.extraction.records:read_json",
    "application/xml": "engines.extraction.records:read_xml",
    "image/svg+xml": "engines.extraction.records:read_xml",
    "message/rfc822": "engines.extraction.mail:read",
    "application/vnd.ms-outlook": "engines.extraction.msg:read",
    "text/html": "engines.extraction.html:read",
    "text/markdown": "engines.extraction.text:read_markdown",
    "text/csv": "engines.extraction.text:read_table",
    "text/plain": "engines.extraction.text:read_plain",
}
"""Which function reads a media type: `(data, media_type) -> Reading`. A type that is not here is not supported."""

PICTURED: Final[Mapping[str, str]] = {
    "application/pdf": "engines.extraction.pdf",
    **dict.fromkeys(
        ("image/png", "image/jpeg", "image/tiff", "image/webp", "image/bmp", "image/gif"), "engines.extraction.rasters"
    ),
}
"""Which module has `readable` and `pictures` for a media type, each `(data, media_type)`."""

CONTAINERS: Final[Mapping[str, str]] = {
    "application/zip": "engines.extraction.archives:zip_members",
    "application/x-tar": "engines.extraction.archives:tar_members",
    "application/gzip": "engines.extraction.archives:only_member",
    "application/x-bzip2": "engines.extraction.archives:only_member",
    "application/x-xz": "engines.extraction.archives:only_member",
    "message/rfc822": "engines.extraction.mail:attachments",
    "application/vnd.ms-outlook": "engines.extraction.msg:attachments",
}
"""Which function opens a container: `(data) -> Iterator[Member]`, each path once."""


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
    confidence: float | None = None
    """Mean confidence of its recognised words, 0 to 1; None where the page's own text was used."""


@dataclass(frozen=True, slots=True)
class ExtractedHeading:
    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ExtractedMark:
    """A stretch of text that a reader of the chunk should be told about."""

    kind: Mark
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page drawn, or a picture decoded: what an engine recognises. Its pixels are plain bytes, no file format."""

    number: int
    """1-based, in its document."""
    width: int
    height: int
    pixels: bytes = field(repr=False)
    """uint8, row-major, 3 a pixel (red, green, blue), on white where it was transparent: height * width * 3 bytes."""
    dpi: int
    """Dots per inch, as drawn or as the picture says; 0 where nothing tells."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's text. `text` is what spans point into: NFC, '\\n' line ends, no markup but Markdown's lists,
    tables and emphasis."""

    text: str
    pages: tuple[ExtractedPage, ...] = ()
    """Empty where the format has no pages; otherwise in order, together covering the text."""
    headings: tuple[ExtractedHeading, ...] = ()
    """In order. A heading's span is its text, without a marker."""
    title: str | None = None
    language: str | None = None
    """ISO 639-1, where detected."""
    date: str | None = None
    """When it was last changed, as the document itself says: `2026-01-31`."""
    marks: tuple[ExtractedMark, ...] = ()
    """In order of where they begin; they do not overlap within a kind."""


def probe(data: bytes, path: str) -> Probe:
    """Names the type of `data`; `path` only breaks ties between text formats. Never raises for any bytes."""
    from engines.extraction.probing import probe as probe_content

    return probe_content(data, path)


def extract(data: bytes, media_type: str) -> Extracted:
    """The text of a document. Raises Permanent `document.broken`, `document.encrypted`, `document.no-text` or
    `document.type`. Deterministic: the same bytes give the same result on any machine. Blocking."""
    from engines.extraction.reading import compose

    read = _named(READERS, media_type)
    try:
        return compose(read(data, media_type))
    except (Permanent, MemoryError):
        raise
    except Exception:  # a pure function of the bytes fails again if tried again: this file cannot be read
        raise Permanent("document.broken", kind=in_words(media_type)) from None


Member = tuple[str, bytes | Permanent]
"""A relative path within the container, and what lies there; or, where that member alone cannot be read, why."""


def members(data: bytes, media_type: str) -> Iterator[Member]:
    """Members of a ZIP or TAR, attachments of a mail, the one file that was compressed: one at a time, each path once,
    in an order that the bytes alone decide.

    A path is safe whatever the container says (`engines.extraction.names`); it is empty for a compressed file, which
    has no name of its own. Raises Permanent `document.broken`, `document.encrypted`, `document.type`, or
    `document.costly` once they are more, or larger together, than a container may hold (`engines.extraction.limits`).
    """
    yield from _named(CONTAINERS, media_type)(data)


def readable(data: bytes, media_type: str) -> "Reading":
    """What a document that needs recognition says by itself: the pages of a PDF that have usable text, its title and
    date. A picture has none. The pages that `pictures` draws are left out.

    Raises Permanent `document.broken`, `document.encrypted`, `document.type` or `document.costly`. Blocking.
    """
    reading: Reading = _pictured(media_type).readable(data, media_type)
    return reading


def pictures(data: bytes, media_type: str, *, dpi: int) -> Iterator[PageImage]:
    """The pages that must be recognised, in order: of a PDF those without usable text, drawn at `dpi` or less, where
    the page is huge; of a picture file each of its frames, as it is, or smaller where it is huge.

    Raises Permanent `document.broken`, `document.encrypted`, `document.type`, or `document.costly` for more pixels
    than a page may have. Blocking.
    """
    yield from _pictured(media_type).pictures(data, media_type, dpi=dpi)


def _pictured(media_type: str) -> Any:
    if media_type not in PICTURED:
        raise Permanent("document.type", kind=in_words(media_type))
    return import_module(PICTURED[media_type])


def _named(table: Mapping[str, str], media_type: str) -> Any:
    if media_type not in table:
        raise Permanent("document.type", kind=in_words(media_type))
    module, _, function = table[media_type].partition(":")
    return getattr(import_module(module), function)
