"""OpenDocument: texts, spreadsheets and presentations, packed or as one XML file.

Follows OpenDocument 1.3 part 3, as far as it decides what a reader sees. Tracked changes are read as accepted,
comments are left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engines.extraction.blocks import Block, Heading, Item, Note, Paragraph, Run, Table, hidden, text_of, write
from engines.extraction.dates import first_day
from engines.extraction.grids import MOST_CELLS, Numbered, tables
from engines.extraction.kinds import in_words
from engines.extraction.numbering import Counter, Level
from engines.extraction.packages import (
    Element,
    Package,
    attribute,
    child,
    children,
    descendants,
    local,
    offspring,
    parsed,
)
from engines.extraction.reading import Piece, Reading
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden
from schemas.errors import Permanent

_UNREAD: Final = frozenset([
    "annotation", "annotation-end", "tracked-changes", "deletion", "forms", "sequence-decls", "variable-decls",
    "user-field-decls", "table-column", "shapes", "scripts", "ruby-text", "change-info", "page-number",
    "page-count", "desc", "title", "event-listeners", "bibliography-mark-source", "index-title-template",
    "table-of-content-source", "dde-connection-decls",
])  # fmt: skip
_FORMS: Final = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_MOST_REPEATED: Final = 1_000
"""Rows or columns that repeat one content; more are a sheet's empty rest, or an attack."""
_LONGEST_CHAIN: Final = 20
_POINTS: Final = {"pt": 1.0, "in": 72.0, "cm": 28.35, "mm": 2.835, "px": 0.75, "pc": 12.0}
_SHAPES: Final = (
    "frame",
    "custom-shape",
    "rect",
    "ellipse",
    "circle",
    "polygon",
    "path",
    "caption",
    "line",
    "connector",
)
_LARGEST_PAGE: Final = 4_000.0
"""Points, where no page says its size."""
_FURNITURE: Final = ("page-number", "date-time", "footer", "header")


def read(data: bytes, media_type: str) -> Reading:
    file = _File(data, media_type)
    body = child(file.content, "body")
    if body is None or len(body) == 0:
        raise Permanent("document.broken", kind=media_type)
    main = next((one for one in body if local(one) in _BODIES), body[0])
    pieces = [*_BODIES.get(local(main), _text)(file, main)]
    return Reading(pieces, title=file.said("title"), date=first_day(file.said("date"), file.said("creation-date")))


class _File:
    """Its parts, whether packed or in one."""

    def __init__(self, data: bytes, kind: str) -> None:
        if data.startswith(b"PK"):
            package = Package(data, kind)
            if is_locked(package):
                raise Permanent("document.encrypted", kind=in_words(kind))
            self.content = package.xml("content.xml")
            self._others = [one for one in map(package.find, ("styles.xml", "meta.xml")) if one is not None]
        else:
            self.content = parsed(data, kind, recover=True)
            self._others = []
        self.styles = _Styles([self.content, *self._others])

    def said(self, name: str) -> str | None:
        for root in (*self._others, self.content):
            for one in offspring(child(root, "meta")):
                if local(one) == name and one.text:
                    return str(one.text)
        return None

    def margins(self, kind: str) -> Iterator[Element]:
        """Headers or footers of the pages."""
        for root in (*self._others, self.content):
            for master in children(child(root, "master-styles"), "master-page"):
                for one in master:
                    if local(one) in (kind, f"{kind}-left", f"{kind}-first"):
                        yield one


def is_locked(package: Package) -> bool:
    manifest = package.find("META-INF/manifest.xml")
    return manifest is not None and next(descendants(manifest, "encryption-data"), None) is not None


# -- styles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    is_gone: bool | None = None
    colour: str | None = None
    background: str | None = None
    points: float | None = None
    level: int | None = None
    list_style: str | None = None
    is_shown: bool = True
    """Of a sheet, a slide, a row or a column."""

    def over(self, below: "_Look") -> "_Look":
        return _Look(
            below.is_gone if self.is_gone is None else self.is_gone,
            self.colour or below.colour,
            self.background or below.background,
            below.points if self.points is None else self.points,
            below.level if self.level is None else self.level,
            self.list_style or below.list_style,
            self.is_shown and below.is_shown,
        )

    @property
    def is_hidden(self) -> bool:
        return bool(self.is_gone) or is_hidden(self.colour, self.background or WHITE, points=self.points)


_CLEAR: Final = "clear"
"""Of a shape that says it has no colour, whatever its style's parent has."""
_PLAIN: Final = _Look()


class _Styles:
    def __init__(self, roots: Sequence[Element]) -> None:
        self._elements: dict[tuple[str, str], Element] = {}
        self._lists: dict[str, Mapping[int, Level]] = {}
        self.outline: Mapping[int, Level] = {}
        for root in roots:
            for holder in root:
                if local(holder) in ("styles", "automatic-styles"):
                    self._take(holder)
        self._found: dict[tuple[str, str], _Look] = {}
        sizes = [one for root in roots for one in descendants(root, "page-layout-properties")]
        self._width = max((_points(attribute(one, "page-width")) or 0 for one in sizes), default=0) or _LARGEST_PAGE
        self._height = max((_points(attribute(one, "page-height")) or 0 for one in sizes), default=0) or _LARGEST_PAGE

    def is_away(self, shape: Element) -> bool:
        """Whether a shape lies off the page wholly, by where it says it begins and ends."""
        left, top = _points(attribute(shape, "x")) or 0, _points(attribute(shape, "y")) or 0
        right, bottom = (
            left + (_points(attribute(shape, "width")) or 0),
            top + (_points(attribute(shape, "height")) or 0),
        )
        return right < 0 or bottom < 0 or left > self._width or top > self._height

    def _take(self, holder: Element) -> None:
        for one in holder:
            name = local(one)
            if name == "style":
                self._elements.setdefault((attribute(one, "family") or "", attribute(one, "name") or ""), one)
            elif name == "list-style":
                self._lists.setdefault(attribute(one, "name") or "", _levels(one))
            elif name == "outline-style":
                self.outline = _levels(one)

    def look(self, family: str, name: str | None) -> _Look:
        if not name:
            return _PLAIN
        key = (family, name)
        if key not in self._found:
            self._found[key] = self._resolved(family, name)
        return self._found[key]

    def _resolved(self, family: str, name: str) -> _Look:
        look = _PLAIN
        for _ in range(_LONGEST_CHAIN):
            element = self._elements.get((family, name))
            if element is None:
                break
            look = look.over(_own_look(element))
            name = attribute(element, "parent-style-name") or ""
        return look

    def is_title(self, name: str | None) -> bool:
        """Whether a paragraph's style is the document's title, or goes back to it."""
        for _ in range(_LONGEST_CHAIN):
            element = self._elements.get(("paragraph", name or ""))
            if element is None or name == "Title":
                return name == "Title"
            name = attribute(element, "parent-style-name")
        return False

    def levels(self, name: str | None) -> Mapping[int, Level]:
        return self._lists.get(name or "", {})


def _own_look(style: Element) -> _Look:
    look = _Look(
        list_style=attribute(style, "list-style-name"), level=_whole(attribute(style, "default-outline-level"))
    )
    for properties in style:
        display = attribute(properties, "display") or ""
        visibility = attribute(properties, "visibility") or ""
        background = attribute(properties, "background-color")
        look = look.over(
            _Look(
                is_gone=True if display == "none" else None,
                colour=_colour(attribute(properties, "color")),
                background=_background(background, attribute(properties, "fill"), attribute(properties, "fill-color")),
                points=_points(attribute(properties, "font-size")),
                is_shown=display != "false" and visibility not in ("hidden", "collapse", "filter"),
            )
        )
    return look


def _background(colour: str | None, fill: str | None, fill_colour: str | None) -> str | None:
    if fill == "none":
        return _CLEAR
    if fill in ("bitmap", "gradient", "hatch"):
        return UNKNOWN
    if fill == "solid" and fill_colour:
        return _colour(fill_colour)
    return _colour(colour) if colour != "transparent" else None


def _colour(value: str | None) -> str | None:
    return value[1:].lower() if value and value.startswith("#") and len(value) == 7 else None


def _points(length: str | None) -> float | None:
    """None for a share of another size."""
    unit = (length or "")[-2:]
    try:
        return float((length or "")[:-2]) * _POINTS[unit]
    except (KeyError, ValueError):
        return None


def _whole(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() and len(value) < 10 else None


def _levels(style: Element) -> Mapping[int, Level]:
    found = {}
    for one in style:
        depth = (_whole(attribute(one, "level")) or 1) - 1
        kind = attribute(one, "num-format") or ""
        if local(one) in ("list-level-style-bullet", "list-level-style-image"):
            found[depth] = Level("bullet", "")
        elif kind:
            shown = _whole(attribute(one, "display-levels")) or 1
            pattern = ".".join(f"%{level + 1}" for level in range(max(0, depth - shown + 1), depth + 1))
            before, after = attribute(one, "num-prefix") or "", attribute(one, "num-suffix") or ""
            start = _whole(attribute(one, "start-value"))
            found[depth] = Level(_FORMS.get(kind, "decimal"), before + pattern + after, 1 if start is None else start)
        else:
            found[depth] = Level("none", "")
    return found


# -- text -------------------------------------------------------------------------------------------------------------


class _Text:
    """Turns a body, a cell, a frame into blocks. Notes are numbered through the whole file."""

    def __init__(self, styles: _Styles) -> None:
        self._styles = styles
        self._notes = 0
        self._outline = Counter(styles.outline)
        self._lists: dict[str, Counter] = {}
        self._list_ids: dict[str, Counter] = {}

    def blocks(self, holder: Iterable[Element], *, background: str | None = None) -> Iterator[Block]:
        for element in holder:
            name = local(element)
            if name == "p":
                yield from self._paragraph(element, background)
            elif name == "h":
                yield from self._heading(element, background)
            elif name == "list":
                yield from self._list(element, 0, None, background)
            elif name == "table":
                yield self._table(element)
            elif name == "hidden-paragraph" or (name == "section" and attribute(element, "display") == "none"):
                yield from hidden(self.blocks(element))
            elif name in _SHAPES:
                yield from self._shape(element, background)
            elif name not in _UNREAD:  # sections, indices, groups
                yield from self.blocks(element, background=background)

    def _shape(self, shape: Element, background: str | None) -> Iterator[Block]:
        """What a frame or drawing says, on its own colour; hidden if it lies off the page."""
        look = self._styles.look("graphic", attribute(shape, "style-name"))
        behind = background if look.background in (None, _CLEAR) else look.background
        found = self.blocks(shape, background=behind)
        yield from hidden(found) if self._styles.is_away(shape) else found

    def _paragraph(self, element: Element, background: str | None) -> Iterator[Block]:
        runs, after = self._read(element, background)
        is_title = self._styles.is_title(attribute(element, "style-name"))
        yield Heading(1, runs) if is_title else Paragraph(runs)
        yield from after

    def _heading(self, element: Element, background: str | None) -> Iterator[Block]:
        level = _whole(attribute(element, "outline-level")) or 1
        runs, after = self._read(element, background)
        if text_of(runs).strip():
            marker = ""
            if attribute(element, "is-list-header") != "true":
                marker = self._outline.next(level - 1)
            if marker and marker != "-":
                runs = [Run(f"{marker} "), *runs]
        yield Heading(level, runs)
        yield from after

    def _list(self, element: Element, depth: int, counter: Counter | None, background: str | None) -> Iterator[Block]:
        counter = self._counter(element) if counter is None or attribute(element, "style-name") else counter
        self._list_ids[_ids(element)] = counter
        for item in element:
            if local(item) not in ("list-item", "list-header"):
                continue
            marker = ""
            is_first = local(item) == "list-item"
            for block in item:
                if local(block) == "list":
                    yield from self._list(block, depth + 1, counter, background)
                    continue
                for one in self.blocks([block], background=background):
                    if not isinstance(one, Paragraph):
                        yield one
                    elif text_of(one.runs).strip():
                        marker = counter.next(depth) if is_first else ""
                        is_first = False
                        yield Item(one.runs, depth, marker) if marker or depth else Item(one.runs, depth, "")

    def _counter(self, element: Element) -> Counter:
        """A new count, unless it goes on from a list before."""
        style = attribute(element, "style-name") or ""
        before = attribute(element, "continue-list")
        if before and before in self._list_ids:
            return self._list_ids[before]
        if attribute(element, "continue-numbering") == "true" and style in self._lists:
            return self._lists[style]
        levels = self._styles.levels(style) or {depth: Level("bullet", "") for depth in range(10)}
        self._lists[style] = Counter(levels)
        return self._lists[style]

    def _table(self, table: Element) -> Table:
        rows: list[list[list[Block]]] = []
        for row in _rows(table):
            cells: list[list[Block]] = []
            for cell in row:
                if local(cell) == "covered-table-cell":
                    cells += [[]] * min(_repeated(cell, "columns"), _MOST_REPEATED)
                elif local(cell) == "table-cell":
                    look = self._styles.look("table-cell", attribute(cell, "style-name"))
                    found = [*self.blocks(cell, background=look.background)]
                    cells += [found] * min(_repeated(cell, "columns"), _MOST_REPEATED if found else 1)
            rows += [cells] * min(_repeated(row, "rows"), _MOST_REPEATED)
        return Table(rows)

    # -- runs -----------------------------------------------------------------------------------------------------

    def _read(self, paragraph: Element, background: str | None) -> tuple[list[Run], list[Block]]:
        """A paragraph's runs, and the blocks anchored in it: notes and frames."""
        look = self._styles.look("paragraph", attribute(paragraph, "style-name"))
        look = look.over(_Look(background=background))
        runs: list[Run] = []
        after: list[Block] = []
        self._inside(paragraph, look, runs, after)
        return runs, after

    def _inside(self, holder: Element, look: _Look, runs: list[Run], after: list[Block]) -> None:
        if holder.text:
            runs.append(Run(holder.text, look.is_hidden))
        for element in holder:
            self._element(element, look, runs, after)
            if element.tail:
                runs.append(Run(element.tail, look.is_hidden))

    def _element(self, element: Element, look: _Look, runs: list[Run], after: list[Block]) -> None:
        name = local(element)
        if name in ("s", "tab"):
            runs.append(Run(" ", look.is_hidden))
        elif name == "line-break":
            runs.append(Run("\n", look.is_hidden))
        elif name == "note":
            self._note(element, runs, after)
        elif name == "hidden-text":
            text = (element.text or "") or attribute(element, "string-value") or ""
            runs.append(Run(text, hidden=True))
        elif name in _SHAPES or name in ("g", "text-box", "object"):
            after.extend(self.blocks([element]))
        elif name == "span":
            inner = self._styles.look("text", attribute(element, "style-name")).over(look)
            self._inside(element, inner, runs, after)
        elif name not in _UNREAD:
            self._inside(element, look, runs, after)

    def _note(self, note: Element, runs: list[Run], after: list[Block]) -> None:
        self._notes += 1
        label = str(self._notes)
        runs.append(Run(f"[{label}]"))
        body = child(note, "note-body")
        said = self.blocks(body) if body is not None else ()
        after.append(Note(label, [run for one in said if not isinstance(one, Table) for run in [*one.runs, Run("\n")]]))


def _ids(element: Element) -> str:
    return attribute(element, "id") or ""


def _rows(table: Element) -> Iterator[Element]:
    for element in table:
        name = local(element)
        if name == "table-row":
            yield element
        elif name in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(element)


def _repeated(element: Element, what: str) -> int:
    return _whole(attribute(element, f"number-{what}-repeated")) or 1


def _text(file: _File, body: Element) -> Iterator[Piece]:
    text = _Text(file.styles)
    blocks: list[Block] = [*_margins(file, "header")]
    blocks += text.blocks(body)
    blocks += _margins(file, "footer")
    yield write(blocks)


def _margins(file: _File, kind: str) -> Iterator[Block]:
    """Each line of the headers or footers once."""
    shown: set[str] = set()
    for margin in file.margins(kind):
        for block in _Text(file.styles).blocks(margin):
            text = repr(block) if isinstance(block, Table) else " ".join(text_of(block.runs).split())
            if text and text not in shown:
                shown.add(text)
                yield Paragraph(block.runs) if isinstance(block, Heading) else block


# -- sheets -----------------------------------------------------------------------------------------------------------


def _sheets(file: _File, body: Element) -> Iterator[Piece]:
    blocks: list[Block] = []
    for sheet in children(body, "table"):
        found: list[Block] = [*tables(_sheet_rows(file, sheet))]
        for shapes in children(sheet, "shapes"):
            found += _Text(file.styles).blocks(shapes)
        if found:
            found.insert(0, Heading(1, [Run(attribute(sheet, "name") or "")]))
        look = file.styles.look("table", attribute(sheet, "style-name"))
        blocks += found if look.is_shown else hidden(found)
    yield write(blocks)


def _sheet_rows(file: _File, sheet: Element) -> Iterator[Numbered]:
    hidden_columns = _hidden_columns(sheet)
    number = cells = 0
    for row in _rows(sheet):
        repeated = _repeated(row, "rows")
        is_away = attribute(row, "visibility") in ("collapse", "filter")
        found = _sheet_row(file, row, hidden_columns, is_away=is_away)
        for _ in range(min(repeated, _MOST_REPEATED) if found else 0):
            number += 1
            cells += len(found)
            if cells > MOST_CELLS:
                raise Permanent("document.costly", limit=f"{MOST_CELLS:,} cells in a sheet")
            yield Numbered(number, found)
        number += max(0, repeated - (min(repeated, _MOST_REPEATED) if found else 0))


def _sheet_row(file: _File, row: Element, hidden_columns: list[range], *, is_away: bool) -> dict[int, Run]:
    found: dict[int, Run] = {}
    column = 0
    for cell in row:
        if local(cell) not in ("table-cell", "covered-table-cell"):
            continue
        repeated = _repeated(cell, "columns")
        runs = [run for block in _Text(file.styles).blocks(cell) if not isinstance(block, Table) for run in block.runs]
        text = "\n".join(
            text_of(block.runs) for block in _Text(file.styles).blocks(cell) if not isinstance(block, Table)
        )
        if text.strip():
            look = file.styles.look("table-cell", attribute(cell, "style-name"))
            unseen = is_away or look.is_hidden or all(run.hidden for run in runs)
            for place in range(column, column + min(repeated, _MOST_REPEATED)):
                found[place] = Run(text, unseen or any(place in columns for columns in hidden_columns))
        column += repeated
    return found


def _hidden_columns(sheet: Element) -> list[range]:
    found = []
    column = 0
    for one in descendants(sheet, "table-column"):
        repeated = _repeated(one, "columns")
        if attribute(one, "visibility") in ("collapse", "filter"):
            found.append(range(column, column + repeated))
        column += repeated
    return found


# -- slides -----------------------------------------------------------------------------------------------------------


def _slides(file: _File, body: Element) -> Iterator[Piece]:
    text = _Text(file.styles)
    for number, page in enumerate(children(body, "page"), 1):
        blocks = [*_slide(text, page)]
        is_away = not file.styles.look("drawing-page", attribute(page, "style-name")).is_shown
        yield write(hidden(blocks) if is_away else blocks, page=number)


def _slide(text: _Text, page: Element) -> Iterator[Block]:
    shapes = [one for one in page if local(one) not in _UNREAD and local(one) != "notes"]
    shapes = [one for one in shapes if attribute(one, "class") not in _FURNITURE]
    titled = [one for one in shapes if attribute(one, "class") == "title"]
    is_first = True
    for shape in [*titled, *(one for one in shapes if one not in titled)]:
        for block in text.blocks([shape]):
            is_title = is_first and isinstance(block, Paragraph | Item) and bool(text_of(block.runs).strip())
            is_first = is_first and not is_title
            yield Heading(1, block.runs) if is_title and not isinstance(block, Table) else block
    for notes in children(page, "notes"):
        kept = [one for one in notes if attribute(one, "class") not in (*_FURNITURE, "page") and local(one) == "frame"]
        yield from text.blocks(kept)


_BODIES: Final = {"text": _text, "spreadsheet": _sheets, "presentation": _slides, "drawing": _slides}
