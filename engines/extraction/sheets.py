"""Excel: a sheet's name is a heading, its tables are tables; hidden sheets, rows, columns and cells are marked.

Formulas are never worked out: what the file says they came to is read. Sheets are read as a stream.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from engines.extraction import cellformats, office
from engines.extraction.blocks import Block, Heading, Run, hidden, write
from engines.extraction.grids import MOST_CELLS, Numbered, tables
from engines.extraction.packages import (
    LARGEST_TOGETHER,
    Element,
    Package,
    attribute,
    child,
    children,
    descendants,
    failure,
    local,
)
from engines.extraction.reading import Reading
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden
from schemas.errors import Permanent

_REFERENCE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_TRUTH: Final = {"1": "TRUE", "0": "FALSE"}
_SYSTEM_COLOURS: Final = {"64": "000000", "65": WHITE, "9": WHITE, "1": WHITE, "8": "000000", "0": "000000"}
"""Of the indexed ones those that matter here: text, background, white and black."""
_THEME: Final = ("lt1", "dk1", "lt2", "dk2", "accent1", "accent2", "accent3", "accent4", "accent5", "accent6")


def read(data: bytes, media_type: str) -> Reading:
    package = Package(data, media_type)
    workbook = _Workbook(package, package.main_part("xl/workbook.xml"))
    said = office.fields(package)
    return Reading([write(workbook.blocks())], title=said.title, date=said.date)


@dataclass(frozen=True, slots=True)
class _Look:
    format: cellformats.Format
    is_hidden: bool


class _Workbook:
    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._relations = package.relations(name)
        self._root = package.xml(name)
        self._from_1904 = attribute(child(self._root, "workbookPr"), "date1904") in ("1", "true")
        self._theme = office.theme_colours(package, name)
        self._looks = self._read_looks()
        self._strings = self._read_strings()

    def blocks(self) -> Iterator[Block]:
        for sheet in children(child(self._root, "sheets"), "sheet"):
            relation = self._relations.get(attribute(sheet, "id") or "")
            if relation is None or relation.target not in self._package:
                continue
            blocks = [*self._sheet(relation.target, relation.kind)]
            if blocks:
                blocks.insert(0, Heading(1, [Run(sheet.get("name", ""))]))
            yield from hidden(blocks) if sheet.get("state") in ("hidden", "veryHidden") else blocks

    def _sheet(self, name: str, kind: str) -> Iterator[Block]:
        if kind == "worksheet":
            yield from tables(self._rows(name))
        for relation in self._package.relations(name).values():
            drawing = self._package.find(relation.target) if relation.kind == "drawing" else None
            if drawing is not None:
                yield from self._drawn(relation.target, drawing)

    def _drawn(self, name: str, drawing: Element) -> Iterator[Block]:
        from engines.extraction.slides import plain_text

        for body in descendants(drawing, "txBody"):
            yield from plain_text(body)
        yield from office.charts(self._package, name, drawing)
        yield from office.diagrams(self._package, name, drawing)

    # -- what cells refer to --------------------------------------------------------------------------------------

    def _part(self, kind: str) -> Element | None:
        names = [one.target for one in self._relations.values() if one.kind == kind]
        return self._package.find(names[0]) if names else None

    def _read_strings(self) -> Sequence[tuple[str, bool]]:
        """Each shared string, and whether all of it is hidden by its own looks."""
        root = self._part("sharedStrings")
        return [self._string(one) for one in children(root, "si")]

    def _string(self, holder: Element) -> tuple[str, bool]:
        """Its text without how it is spoken."""
        runs = children(holder, "r")
        if not runs:
            return "".join(one.text or "" for one in children(holder, "t")), False
        text = "".join(one.text or "" for run in runs for one in children(run, "t"))
        return text, all(self._is_hidden(child(run, "rPr"), WHITE) for run in runs)

    def _is_hidden(self, font: Element | None, background: str) -> bool:
        size = attribute(child(font, "sz"), "val")
        return is_hidden(self._colour(child(font, "color")), background, points=_number(size) if size else None)

    def _colour(self, colour: Element | None) -> str | None:
        if colour is None or colour.get("tint", "0") not in ("0", "0.0"):
            return None
        if rgb := colour.get("rgb"):
            return str(rgb)[-6:].lower()
        if (place := colour.get("theme", "")).isdecimal() and int(place) < len(_THEME):
            return self._theme.get(_THEME[int(place)])
        return _SYSTEM_COLOURS.get(colour.get("indexed", ""))

    def _read_looks(self) -> list[_Look]:
        root = self._part("styles")
        codes = {
            one.get("numFmtId", ""): one.get("formatCode", "") for one in children(child(root, "numFmts"), "numFmt")
        }
        fonts, fills = children(child(root, "fonts"), "font"), children(child(root, "fills"), "fill")
        looks = []
        for cell in children(child(root, "cellXfs"), "xf"):
            number = cell.get("numFmtId", "0")
            code = codes.get(number) or cellformats.BUILT_IN.get(int(number) if number.isdecimal() else 0, "General")
            form = cellformats.parsed(code)
            background = self._background(_at(fills, cell.get("fillId")))
            unseen = self._is_hidden(_at(fonts, cell.get("fontId")), background)
            looks.append(_Look(form, unseen or form.shows_nothing))
        return looks or [_Look(cellformats.Format(), is_hidden=False)]

    def _background(self, fill: Element | None) -> str:
        pattern = child(fill, "patternFill")
        kind = attribute(pattern, "patternType", "none")
        if fill is not None and pattern is None:
            return UNKNOWN  # a gradient
        if kind == "none":
            return WHITE
        return (self._colour(child(pattern, "fgColor")) or UNKNOWN) if kind == "solid" else UNKNOWN

    # -- a sheet's rows -------------------------------------------------------------------------------------------

    def _rows(self, name: str) -> Iterator[Numbered]:
        """Raises Permanent `document.broken` or `document.costly`."""
        hidden_columns: list[range] = []
        number = cells = 0
        for element in self._stream(name):
            kind = local(element)
            if kind == "col":
                if element.get("hidden") in ("1", "true") or element.get("width") in ("0", "0.0"):
                    hidden_columns.append(range(_whole(element.get("min")), _whole(element.get("max")) + 1))
                continue
            number = _whole(element.get("r")) or number + 1
            is_away = element.get("hidden") in ("1", "true") or element.get("ht") in ("0", "0.0")
            row = self._row(element, hidden_columns, is_away=is_away)
            cells += len(row)
            if cells > MOST_CELLS:
                raise Permanent("document.costly", limit=f"{MOST_CELLS:,} cells in a sheet")
            yield Numbered(number, row)

    def _stream(self, name: str) -> Iterator[Element]:
        """Columns, then rows, each freed once the next is asked for."""
        with self._package.open(name) as stream:
            events = etree.iterparse(
                _Counted(stream),
                tag=("{*}row", "{*}col"),
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                huge_tree=False,
                recover=True,
            )
            try:
                for _, element in events:
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
            except etree.XMLSyntaxError as error:
                raise failure(error, self._package.kind) from None
            except (Permanent, MemoryError):
                raise
            except Exception:  # the decompressor's
                raise Permanent("document.broken", kind=self._package.kind) from None

    def _row(self, element: Element, hidden_columns: Sequence[range], *, is_away: bool) -> dict[int, Run]:
        row: dict[int, Run] = {}
        column = 0
        for cell in element:
            if local(cell) != "c":
                continue
            column = _column(cell.get("r")) or column + 1
            look = _at(self._looks, cell.get("s")) or self._looks[0]
            text, unseen = self._cell(cell, look)
            if text.strip():
                unseen = unseen or is_away or look.is_hidden or any(column in columns for columns in hidden_columns)
                row[column] = Run(text, unseen)
        return row

    def _cell(self, cell: Element, look: _Look) -> tuple[str, bool]:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = child(cell, "is")
            return ("", False) if inline is None else self._string(inline)
        element = child(cell, "v")
        value = "" if element is None else element.text or ""
        if kind == "s":
            return _at(self._strings, value) or ("", False)
        if kind == "b":
            return _TRUTH.get(value, value), False
        if kind == "n" and value:
            return self._shown(value, look), False
        return value.partition("T00:00:00")[0] if kind == "d" else value, False

    def _shown(self, value: str, look: _Look) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        if number - number != 0:  # infinite, or no number
            return value
        return look.format.shown(number, from_1904=self._from_1904)


class _Counted:
    """A stream that unpacks so much and no more."""

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self._left = LARGEST_TOGETHER

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size if size >= 0 else 65_536)  # type: ignore[attr-defined]
        self._left -= len(data)
        if self._left < 0:
            raise Permanent("document.costly", limit="256 MiB in one sheet")
        return data


def _at(things: Sequence[Any], place: str | None) -> Any:
    if place is None or not place.isdecimal() or int(place) >= len(things):
        return None
    return things[int(place)]


def _whole(value: str | None) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 10 else 0


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 11.0


def _column(reference: str | None) -> int:
    """`B7`: 2. 0 if it is none."""
    found = _REFERENCE.fullmatch(reference or "")
    number = 0
    for letter in found[1].upper() if found else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
