"""PDF: the text that a person would read, in the order in which it is read.

`pdfium` takes a page apart, `words` and `rows` put its characters together, `hidden` sets apart what nobody sees,
`tables` and `order` find what belongs together, `prose` makes paragraphs, and `writing` makes one text of all pages.
`legible` says which pages must be recognised instead; `readable` and `pictures` part a document by that.
"""

import re
from collections.abc import Iterator
from typing import Final

from engines.extraction import PageImage
from engines.extraction.dates import first_day
from engines.extraction.pdf.legible import must_be_recognised
from engines.extraction.pdf.page import Page, lay_out
from engines.extraction.pdf.pdfium import Document
from engines.extraction.pdf.writing import written
from engines.extraction.reading import Reading

_CHANGED: Final = re.compile(rb"<xmp:ModifyDate>([0-9-]{10})")
"""Where it is not compressed, as mostly."""


def read(data: bytes, media_type: str) -> Reading:
    """All pages' own text. Raises Permanent `document.broken`, `document.encrypted` or `document.costly`."""
    with Document(data) as document:
        return _reading(document, data, [_page(document, number) for number in _numbers(document)])


def readable(data: bytes, media_type: str) -> Reading:
    """As `read`, without the pages that must be recognised."""
    with Document(data) as document:
        legible = [number for number in _numbers(document) if not must_be_recognised(document, number)]
        return _reading(document, data, [_page(document, number) for number in legible])


def pictures(data: bytes, media_type: str, *, dpi: int) -> Iterator[PageImage]:
    """Those pages, drawn one at a time."""
    with Document(data) as document:
        for number in _numbers(document):
            if must_be_recognised(document, number):
                yield document.draw(number, dpi)


def needs_recognition(data: bytes) -> bool:
    """Of one page at least. Raises Permanent `document.broken`, `document.encrypted` or `document.costly`."""
    with Document(data) as document:
        return any(must_be_recognised(document, number) for number in _numbers(document))


def _numbers(document: Document) -> range:
    return range(1, document.pages + 1)


def _page(document: Document, number: int) -> Page:
    return lay_out(document.content(number), number)


def _reading(document: Document, data: bytes, pages: list[Page]) -> Reading:
    return Reading(written(pages, document.outline()), title=document.said("Title") or None, date=_date(document, data))


def _date(document: Document, data: bytes) -> str | None:
    """Of several changes the last stands last: a PDF is changed by appending."""
    changes = [found.decode() for found in _CHANGED.findall(data)]
    stated = (document.said(key).removeprefix("D:") for key in ("ModDate", "CreationDate"))
    modified, created = stated
    return first_day(modified, *reversed(changes), created)
