"""HTML: what a reader of the page sees, headings, lists and tables kept; navigation, forms and scripts are left out.

Nothing that the page names is fetched or run. What its own styles hide is kept and marked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree
from lxml import html as library

from engines.extraction.blocks import Block, Heading, Item, Paragraph, Run, Table, Verbatim, text_of, write
from engines.extraction.css import Look, Sheet, looks
from engines.extraction.dates import first_day
from engines.extraction.encodings import decode
from engines.extraction.numbering import written
from engines.extraction.packages import Element, failure
from engines.extraction.reading import Reading
from schemas.errors import Permanent

_CHARSET: Final = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)
_XML_DECLARATION: Final = re.compile(r"\s*<\?xml[^>]*\?>")
_UNREAD: Final = frozenset([
    "head", "script", "style", "template", "noscript", "nav", "svg", "math", "iframe", "object", "embed", "audio",
    "video", "canvas", "map", "select", "datalist", "textarea", "input", "dialog", "frameset",
])  # fmt: skip
_BLOCKS: Final = frozenset([
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hgroup", "html", "legend", "main", "p", "section",
    "summary", "caption", "option",
])  # fmt: skip
_LISTS: Final = ("ul", "ol", "menu", "dir")
_LIST_FORMS: Final = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_NOTE_NUMBER: Final = re.compile(r"\s*[\[(]?(?:\d{1,3}|\*{1,3}|†)[\])]?\s*")
_LEVELS: Final = {f"h{level}": level for level in range(1, 7)}
_LINES: Final = re.compile(r"\s+")
_DEEPEST: Final = 100
"""Elements within elements. What lies deeper is read as plain text."""
_WIDEST: Final = 1_000
"""Columns or rows that one cell may span: what HTML allows."""
_LARGEST: Final = 64 * 1024 * 1024
_LONG_TAG: Final = re.compile(r"<[A-Za-z][^<>]{20000,}")
_MOST_WORDS: Final = 5_000
"""In one tag: the parser compares each attribute with all before."""


def read(data: bytes, media_type: str) -> Reading:
    page = parsed(decode_html(data))
    title = page.find(".//title")
    return Reading(
        [write(blocks(page))],
        title=" ".join(title.text_content().split()) or None if title is not None else None,
        date=_date(page),
    )


def decode_html(data: bytes) -> str:
    declared = _CHARSET.search(data[:2048])
    return decode(data, declared[1].decode("ascii", "replace") if declared else None)


def parsed(source: str) -> Element:
    """The root of the page. Raises Permanent `document.costly`, `document.broken` or `document.no-text`."""
    if len(source) > _LARGEST:
        raise Permanent("document.costly", limit="64 MiB of HTML in one page")
    source = _XML_DECLARATION.sub("", source, count=1).replace("\0", "")
    if not source.strip():
        raise Permanent("document.no-text")
    if any(len(tag[0].split()) > _MOST_WORDS for tag in _LONG_TAG.finditer(source)):
        raise Permanent("document.costly", limit=f"{_MOST_WORDS} attributes of one element")
    parser = library.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        return library.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
    except etree.XMLSyntaxError as error:
        raise failure(error, "text/html") from None
    except etree.ParserError:
        raise Permanent("document.no-text") from None


def blocks(root: Element, styles: str = "") -> list[Block]:
    """The page's blocks. `styles`: those that it links to, where they are at hand."""
    walk = _Walk(Sheet.of("\n".join([styles, *(style.text or "" for style in root.iter("style"))])))
    walk.read(root, Look())
    walk.end()
    return walk.found


def _date(page: Element) -> str | None:
    named = {
        (meta.get("name") or meta.get("property") or meta.get("http-equiv") or "").lower(): meta.get("content")
        for meta in page.iter("meta")
    }
    return first_day(
        *(named.get(name) for name in ("article:modified_time", "dcterms.modified", "dc.date.modified", "changed")),
        *(named.get(name) for name in ("last-modified", "article:published_time", "dcterms.date", "dc.date", "date")),
    )


class _Walk:
    """Goes through a page in order and gathers runs until a block ends."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._runs: list[Run] = []
        self._lists: list[_List] = []
        self._heading: int | None = None
        self._is_verbatim = False
        self._depth = 0
        self.found: list[Block] = []

    def read(self, element: Element, above: Look) -> None:
        tag = element.tag
        if not isinstance(tag, str) or tag in _UNREAD:
            return
        look = self._look(element, above)
        if self._depth > _DEEPEST:
            self._add("".join(element.itertext()), look)
            return
        self._depth += 1
        if tag == "table":
            self._table(element, look)
        elif tag == "br":
            self._runs.append(Run("\n", look.is_hidden))
        elif tag in ("td", "th", "tr"):  # strayed out of a table
            self._block(element, look)
        elif tag in _LEVELS:
            self._in_heading(element, look)
        elif tag in _LISTS:
            self._in_list(element, look)
        elif tag == "li":
            self._item(element, look)
        elif tag in ("pre", "listing", "xmp"):
            self._verbatim(element, look)
        elif tag == "a" and _NOTE_NUMBER.fullmatch(element.text_content()) and "#" in (element.get("href") or ""):
            self._note_number(element, look)
        elif tag in _BLOCKS or tag == "hr":
            self._block(element, look)
        elif tag not in ("rt", "rp"):  # how a word is spoken
            self._inside(element, look)
        self._depth -= 1

    def end(self) -> None:
        """Ends the block at hand."""
        runs, self._runs = self._runs, []
        if not text_of(runs).strip():
            return
        if self._is_verbatim:
            self.found.append(Verbatim(runs))
        elif self._heading is not None:
            self.found.append(Heading(self._heading, runs))
        elif self._lists and self._lists[-1].has_item:
            depth, marker = len(self._lists) - 1, self._lists[-1].marker
            self._lists[-1].marker = ""
            self.found.append(Item(runs, depth, marker))
        else:
            self.found.append(Paragraph(runs))

    # -- one kind of element each ---------------------------------------------------------------------------------

    def _look(self, element: Element, above: Look) -> Look:
        style = dict(self._sheet.style_of(element))
        if element.get("hidden") is not None:
            style.setdefault("display", "none")
        if element.tag == "font" and element.get("color"):
            style.setdefault("color", element.get("color").lower())
        if element.get("bgcolor"):
            style.setdefault("background-color", element.get("bgcolor").lower())
        if element.get("background"):
            style.setdefault("background-image", "url()")
        return looks(above, style)

    def _inside(self, element: Element, look: Look) -> None:
        self._add(element.text, look)
        for one in element:
            self.read(one, look)
            self._add(one.tail, look)

    def _add(self, text: str | None, look: Look) -> None:
        if text:
            self._runs.append(Run(text if self._is_verbatim else _LINES.sub(" ", text), look.is_hidden))

    def _block(self, element: Element, look: Look) -> None:
        self.end()
        self._inside(element, look)
        self.end()

    def _note_number(self, element: Element, look: Look) -> None:
        """A link within the page whose text is a number: it calls for a note, or stands before one."""
        begins = not text_of(self._runs).strip()
        self._add(f"[{element.text_content().strip(' []()')}]{' ' if begins else ''}", look)

    def _in_heading(self, element: Element, look: Look) -> None:
        self.end()
        above, self._heading = self._heading, _LEVELS[element.tag]
        self._inside(element, look)
        self.end()
        self._heading = above

    def _verbatim(self, element: Element, look: Look) -> None:
        self.end()
        above, self._is_verbatim = self._is_verbatim, True
        self._inside(element, look)
        self.end()
        self._is_verbatim = above

    def _in_list(self, element: Element, look: Look) -> None:
        self.end()
        start = element.get("start") or "1"
        form = _LIST_FORMS.get(element.get("type") or "", "decimal") if element.tag == "ol" else "bullet"
        self._lists.append(_List(form, int(start) - 1 if start.isdecimal() and len(start) < 6 else 0))
        self._inside(element, look)
        self.end()
        self._lists.pop()

    def _item(self, element: Element, look: Look) -> None:
        self.end()
        if not self._lists:
            self._lists.append(_List("bullet"))
            self._item(element, look)
            self._lists.pop()
            return
        value = element.get("value") or ""
        self._lists[-1].begin_item(int(value) if value.isdecimal() and len(value) < 6 else None)
        self._inside(element, look)
        self.end()

    def _table(self, table: Element, look: Look) -> None:
        self.end()
        rows: list[list[list[Block]]] = []
        below: dict[int, int] = {}
        for part in table:
            if part.tag == "caption":
                self.read(part, look)
        for row, above in self._table_rows(table, look):
            rows.append(self._row(row, self._look(row, above), below))
        self.found.append(Table(rows))

    def _table_rows(self, holder: Element, look: Look) -> Iterator[tuple[Element, Look]]:
        for part in holder:
            if part.tag == "tr":
                yield part, look
            elif part.tag in ("thead", "tbody", "tfoot"):
                yield from self._table_rows(part, self._look(part, look))

    def _row(self, row: Element, look: Look, below: dict[int, int]) -> list[list[Block]]:
        """Its cells; those that a cell above or beside reaches into are empty. `below` counts rows still reached."""
        cells: list[list[Block]] = []
        for cell in row:
            if cell.tag not in ("td", "th"):
                continue
            _fill_reached(cells, below)
            place = len(cells)
            cells.append(self._cell(cell, self._look(cell, look)))
            cells += [[]] * (_span(cell.get("colspan")) - 1)
            if (rows := _span(cell.get("rowspan"))) > 1:
                below.update(dict.fromkeys(range(place, len(cells)), rows - 1))
        _fill_reached(cells, below)
        return cells

    def _cell(self, cell: Element, look: Look) -> list[Block]:
        inner = _Walk(self._sheet)
        inner._depth = self._depth
        inner._inside(cell, look)
        inner.end()
        return inner.found


@dataclass(slots=True)
class _List:
    form: str
    number: int = 0
    marker: str = ""
    """Of the item that has begun; empty once it is written."""
    has_item: bool = False

    def begin_item(self, number: int | None) -> None:
        self.number = self.number + 1 if number is None else number
        self.has_item = True
        self.marker = "-" if self.form == "bullet" else f"{written(self.number, self.form)}."


def _fill_reached(cells: list[list[Block]], below: dict[int, int]) -> None:
    """Empty cells where one of a row above still reaches down."""
    while below.get(len(cells), 0) > 0:
        below[len(cells)] -= 1
        cells.append([])


def _span(value: str | None) -> int:
    return min(int(value), _WIDEST) if value and value.isdecimal() and len(value) < 6 and int(value) else 1
