"""Word: paragraphs with their styles' headings and numbers, tables, footnotes, text boxes, what is hidden.

Follows ECMA-376 part 1, chapter 17, as far as it decides what a reader sees. Tracked changes are read as accepted,
comments are left out, and a field shows its last result.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from engines.extraction import office
from engines.extraction.blocks import Block, Heading, Item, Note, Paragraph, Run, Table, hidden, text_of, write
from engines.extraction.numbering import Counter, Level
from engines.extraction.packages import Element, Package, attribute, child, children, descendants, local
from engines.extraction.reading import Reading
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden

_UNREAD: Final = {"del", "moveFrom", "delText", "rt", "rPr", "pPr", "sdtPr", "sdtEndPr", "tblPr", "tblGrid", "trPr"}
_TEXTS: Final = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_PAGE_FIELDS: Final = {"PAGE", "NUMPAGES", "SECTIONPAGES"}
_FARTHEST: Final = 1_600 * office.EMU_PER_POINT
"""Of a text box from its page's edge; Word's largest page is 1584 points."""
_WIDEST_MARGIN: Final = 144 * office.EMU_PER_POINT
"""From which a text box may be placed leftwards or upwards."""
_BODY_LEVEL: Final = 9
"""An outline level that makes no heading."""
_LONGEST_CHAIN: Final = 20
"""Of styles based on each other: a longer one is a circle."""


def read(data: bytes, media_type: str) -> Reading:
    package = Package(data, media_type)
    document = _Document(package, package.main_part("word/document.xml"))
    said = office.fields(package)
    return Reading([write(document.blocks())], title=said.title, date=said.date)


# -- how text looks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    """What properties say of a run's look; None where they say nothing."""

    vanish: bool | None = None
    colour: str | None = None
    points: float | None = None
    background: str | None = None

    def over(self, below: "_Look") -> "_Look":
        return _Look(
            below.vanish if self.vanish is None else self.vanish,
            self.colour or below.colour,
            below.points if self.points is None else self.points,
            self.background or below.background,
        )

    def is_hidden(self, background: str) -> bool:
        return bool(self.vanish) or is_hidden(self.colour, self.background or background, points=self.points)


def _look(properties: Element | None) -> _Look:
    if properties is None or len(properties) == 0:
        return _PLAIN
    vanish, size = child(properties, "vanish"), attribute(child(properties, "sz"), "val")
    return _Look(
        vanish=None if vanish is None else office.on(vanish),
        colour=(attribute(child(properties, "color"), "val") or "").lower() or None,
        points=None if size is None else _number(size) / 2,
        background=_shade(child(properties, "shd")) or _highlight(child(properties, "highlight")),
    )


def _shade(shade: Element | None) -> str | None:
    """What a shading lays behind; None if nothing."""
    if shade is None:
        return None
    if attribute(shade, "val") not in ("clear", "nil"):
        return UNKNOWN  # a pattern
    fill = (attribute(shade, "fill") or "auto").lower()
    return None if fill == "auto" else fill


def _highlight(highlight: Element | None) -> str | None:
    name = attribute(highlight, "val", "none")
    return None if name == "none" else WHITE if name == "white" else UNKNOWN


def _number(value: str | None) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return 0.0


def _whole(value: str | None, default: int = 0) -> int:
    return int(value) if value is not None and value.isdecimal() and len(value) < 10 else default


_PLAIN: Final = _Look()


@dataclass(frozen=True, slots=True)
class _Style:
    look: _Look = _PLAIN
    background: str | None = None
    """Of its paragraphs."""
    level: int | None = None
    """Of its headings, from 1."""
    number: tuple[str, int] | None = None
    """A list, and the level in it."""
    coloured: bool = False
    """Of a table: some of its cells lie on a colour."""

    def over(self, below: "_Style") -> "_Style":
        return _Style(
            self.look.over(below.look),
            self.background or below.background,
            below.level if self.level is None else self.level,
            self.number or below.number,
            self.coloured or below.coloured,
        )


_NO_STYLE: Final = _Style()


class _Styles:
    def __init__(self, root: Element | None) -> None:
        self._elements = {attribute(one, "styleId") or "": one for one in children(root, "style")}
        self.defaults = _look(child(root, "docDefaults", "rPrDefault", "rPr"))
        normal = (
            key
            for key, one in self._elements.items()
            if attribute(one, "type") == "paragraph" and attribute(one, "default") in ("1", "true")
        )
        self.normal = next(normal, "")
        self._found: dict[str, _Style] = {}

    def __getitem__(self, name: str | None) -> _Style:
        if not name or name not in self._elements:
            return _NO_STYLE
        if name not in self._found:
            self._found[name] = self._resolved(name)
        return self._found[name]

    def _resolved(self, name: str) -> _Style:
        style = _NO_STYLE
        for _ in range(_LONGEST_CHAIN):
            element = self._elements.get(name)
            if element is None:
                break
            style = style.over(_own_style(element))
            name = attribute(child(element, "basedOn"), "val") or ""
        return style


def _own_style(element: Element) -> _Style:
    paragraph = child(element, "pPr")
    return _Style(
        look=_look(child(element, "rPr")),
        background=_shade(child(paragraph, "shd")),
        level=_heading_level(element, paragraph),
        number=_number_of(paragraph),
        coloured=any(_shade(one) for one in descendants(element, "shd")),
    )


def _heading_level(style: Element, paragraph: Element | None) -> int | None:
    name = (attribute(child(style, "name"), "val") or "").lower()
    if name == "title":
        return 1
    outline = attribute(child(paragraph, "outlineLvl"), "val")
    if outline is not None:
        return _whole(outline, _BODY_LEVEL) + 1
    head, _, number = name.partition(" ")
    return _whole(number, _BODY_LEVEL) if head == "heading" and number else None


def _number_of(paragraph: Element | None) -> tuple[str, int] | None:
    properties = child(paragraph, "numPr")
    if properties is None:
        return None
    return attribute(child(properties, "numId"), "val") or "", _whole(attribute(child(properties, "ilvl"), "val"))


# -- numbers ----------------------------------------------------------------------------------------------------------


class _Lists:
    """The document's lists and where each has come to."""

    def __init__(self, root: Element | None) -> None:
        abstract = {attribute(one, "abstractNumId"): one for one in children(root, "abstractNum")}
        self._counters: dict[str, Counter] = {}
        shared: dict[str | None, Counter] = {}
        for one in children(root, "num"):
            name = attribute(child(one, "abstractNumId"), "val")
            levels = {_whole(attribute(level, "ilvl")): _level(level) for level in children(abstract.get(name), "lvl")}
            overrides = {_whole(attribute(override, "ilvl")): override for override in children(one, "lvlOverride")}
            for depth, override in overrides.items():
                levels[depth] = _overridden(levels.get(depth, Level()), override)
            counter = Counter(levels) if overrides else shared.setdefault(name, Counter(levels))
            self._counters[attribute(one, "numId") or ""] = counter

    def next(self, number: tuple[str, int]) -> str | None:
        """The next item's marker, or None if there is no such list."""
        counter = self._counters.get(number[0])
        return counter.next(number[1]) if counter else None


def _level(element: Element) -> Level:
    return Level(
        attribute(child(element, "numFmt"), "val", "decimal") or "decimal",
        attribute(child(element, "lvlText"), "val", "") or "",
        _whole(attribute(child(element, "start"), "val"), 1),
    )


def _overridden(level: Level, override: Element) -> Level:
    whole = child(override, "lvl")
    if whole is not None:
        return _level(whole)
    return Level(level.form, level.pattern, _whole(attribute(child(override, "startOverride"), "val"), level.start))


# -- the document -----------------------------------------------------------------------------------------------------


class _Document:
    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._name = name
        self._root = package.xml(name)
        self._relations = package.relations(name)
        self._styles = _Styles(self._related("styles"))
        self._lists = _Lists(self._related("numbering"))
        self._notes_called = 0

    def blocks(self) -> Iterator[Block]:
        """Headers, the body, footers; each paragraph of the headers and footers once."""
        yield from self._margins("header")
        yield from self._body(child(self._root, "body"), self._page)
        yield from self._margins("footer")

    def _related(self, kind: str) -> Element | None:
        names = [one.target for one in self._relations.values() if one.kind == kind]
        return self._package.find(names[0]) if names else None

    @cached_property
    def _page(self) -> str:
        """The page's colour."""
        return (attribute(child(self._root, "background"), "color") or WHITE).lower().replace("auto", WHITE)

    def _margins(self, kind: str) -> Iterator[Block]:
        shown: set[str] = set()
        for reference in descendants(self._root, f"{kind}Reference"):
            relation = self._relations.get(attribute(reference, "id") or "")
            root = self._package.find(relation.target) if relation else None
            for block in self._body(root, self._page):
                text = " ".join(text_of(block.runs).split()) if not isinstance(block, Table) else repr(block)
                if text and text not in shown:
                    shown.add(text)
                    yield Paragraph(block.runs) if isinstance(block, Heading) else block

    @cached_property
    def _footnotes(self) -> Mapping[tuple[str, str], Element]:
        return {
            (kind, attribute(one, "id") or ""): one
            for kind in ("footnote", "endnote")
            for one in children(self._related(f"{kind}s"), kind)
        }

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _body(self, holder: Element | None, background: str) -> Iterator[Block]:
        for element in holder if holder is not None else ():
            name = local(element)
            if name == "p":
                yield from self._paragraph(element, background)
            elif name == "tbl":
                yield self._table(element, background)
            elif name == "AlternateContent":
                for one in office.chosen(element):
                    yield from self._body([one], background)
            elif name not in _UNREAD:  # content controls, insertions, custom XML
                yield from self._body(element, background)

    def _table(self, table: Element, background: str) -> Table:
        style = self._styles[attribute(child(table, "tblPr", "tblStyle"), "val")]
        behind = UNKNOWN if style.coloured else _shade(child(table, "tblPr", "shd")) or background
        return Table([self._row(row, behind) for row in _parts(table, "tr")])

    def _row(self, row: Element, background: str) -> list[list[Block]]:
        cells: list[list[Block]] = [[]] * _whole(attribute(child(row, "trPr", "gridBefore"), "val"))
        for cell in _parts(row, "tc"):
            properties = child(cell, "tcPr")
            below = child(properties, "vMerge")
            is_continued = below is not None and attribute(below, "val") != "restart"
            behind = _shade(child(properties, "shd")) or background
            cells.append([] if is_continued else list(self._body(cell, behind)))
            cells += [[]] * min(_whole(attribute(child(properties, "gridSpan"), "val"), 1) - 1, 200)
        return cells

    def _paragraph(self, paragraph: Element, background: str) -> Iterator[Block]:
        properties = child(paragraph, "pPr")
        style = self._styles[attribute(child(properties, "pStyle"), "val") or self._styles.normal]
        behind = _shade(child(properties, "shd")) or style.background or background
        text = _Text(self, style.look.over(self._styles.defaults), behind)
        text.read(paragraph)
        yield from self._kind_of(properties, style, text.runs)
        yield from text.after

    def _kind_of(self, properties: Element | None, style: _Style, runs: list[Run]) -> Iterator[Block]:
        """The paragraph as what it is. One without text counts in no list."""
        if not text_of(runs).strip():
            return
        outline = attribute(child(properties, "outlineLvl"), "val")
        level = _whole(outline, _BODY_LEVEL) + 1 if outline is not None else style.level
        number = _number_of(properties) or style.number
        marker = self._lists.next(number) if number else None
        if level is not None and level <= _BODY_LEVEL:
            is_numbered = marker and marker != "-"
            yield Heading(level, [Run(f"{marker} "), *runs] if is_numbered else runs)
        elif marker and number:
            yield Item(runs, number[1], marker)
        else:
            yield Paragraph(runs)

    # -- what a run calls for -------------------------------------------------------------------------------------

    def look(self, properties: Element | None) -> _Look:
        style = self._styles[attribute(child(properties, "rStyle"), "val")]
        return _look(properties).over(style.look)

    def note(self, kind: str, name: str) -> Note | None:
        element = self._footnotes.get((kind, name))
        if element is None:
            return None
        self._notes_called += 1
        label = str(self._notes_called)
        blocks = self._body(element, self._page)
        runs = [run for block in blocks if not isinstance(block, Table) for run in [*block.runs, Run("\n")]]
        return Note(label, runs)

    def drawn(self, drawing: Element) -> Iterator[Block]:
        """Text boxes, charts and diagrams."""
        for box in _outermost(drawing, "txbxContent"):
            is_away = _is_away(box)
            for block in self._body(box, _fill_behind(box, self._page)):
                yield from [block] if not is_away else hidden([block])
        yield from office.charts(self._package, self._name, drawing)
        yield from office.diagrams(self._package, self._name, drawing)


class _Text:
    """The runs of one paragraph, and the blocks that follow it: its notes and drawings."""

    def __init__(self, document: _Document, look: _Look, background: str) -> None:
        self._document = document
        self._look = look
        self._background = background
        self._fields: list[str] = []
        """The instructions of the fields that are open; a field whose result has begun ends in a bar."""
        self.runs: list[Run] = []
        self.after: list[Block] = []

    def read(self, holder: Iterable[Element]) -> None:
        for element in holder:
            name = local(element)
            if name == "r":
                self._run(element)
            elif name == "AlternateContent":
                self.read(office.chosen(element))
            elif name == "t":  # of a formula
                self._add(element.text or "", hidden=False)
            elif name == "fldSimple" and _instruction(attribute(element, "instr")) in _PAGE_FIELDS:
                continue
            elif name not in _UNREAD:
                self.read(element)

    def _run(self, run: Element) -> None:
        properties = child(run, "rPr")
        look = self._document.look(properties).over(self._look)
        hidden = look.is_hidden(self._background)
        for element in run:
            self._piece(element, hidden)

    def _piece(self, element: Element, hidden: bool) -> None:
        name = local(element)
        if name == "t":
            self._add(element.text or "", hidden=hidden)
        elif name in _TEXTS:
            self._add(_TEXTS[name], hidden=hidden)
        elif name == "fldChar":
            self._field(attribute(element, "fldCharType"))
        elif name == "instrText" and self._fields:
            self._fields[-1] += element.text or ""
        elif name in ("footnoteReference", "endnoteReference"):
            self._note(name.removesuffix("Reference"), attribute(element, "id") or "")
        elif name in ("drawing", "pict", "object"):
            self.after += self._document.drawn(element)
        elif name == "AlternateContent":
            for one in office.chosen(element):
                self._piece(one, hidden)
        elif name == "ruby":
            self.read(children(element, "rubyBase"))

    def _add(self, text: str, *, hidden: bool) -> None:
        if all(field.endswith("|") and _instruction(field) not in _PAGE_FIELDS for field in self._fields):
            self.runs.append(Run(text, hidden))

    def _field(self, kind: str | None) -> None:
        if kind == "begin":
            self._fields.append("")
        elif kind == "separate" and self._fields:
            self._fields[-1] += "|"
        elif kind == "end" and self._fields:
            self._fields.pop()

    def _note(self, kind: str, name: str) -> None:
        note = self._document.note(kind, name)
        if note is not None:
            self.runs.append(Run(f"[{note.label}]"))
            self.after.append(note)


def _instruction(field: str | None) -> str:
    return (field or "").replace("|", " ").strip().partition(" ")[0].upper()


def _parts(holder: Element, name: str) -> Iterator[Element]:
    """A table's rows or a row's cells, also those in content controls or inserted."""
    for element in holder:
        found = local(element)
        if found == name:
            yield element
        elif found in ("sdt", "sdtContent", "ins", "customXml", "smartTag"):
            yield from _parts(element, name)


def _outermost(element: Element, name: str) -> Iterator[Element]:
    for one in office.chosen(element) if local(element) == "AlternateContent" else element:
        if local(one) == name:
            yield one
        else:
            yield from _outermost(one, name)


# -- text boxes -------------------------------------------------------------------------------------------------------


def _fill_behind(box: Element, page: str) -> str:
    """What a text box lies on, as far as its own shape tells."""
    shape = next((one for one in box.iterancestors() if local(one) in ("wsp", "shape", "rect", "textbox")), None)
    properties = child(shape, "spPr")
    if properties is None:  # the old way to draw
        return page if shape is None else UNKNOWN
    fill = child(properties, "solidFill")
    if fill is not None:
        return office.drawn_colour(fill, {}) or UNKNOWN
    is_filled = any(local(one) in ("gradFill", "blipFill", "pattFill") for one in properties)
    return UNKNOWN if is_filled or (child(shape, "style") is not None and child(properties, "noFill") is None) else page


def _is_away(box: Element) -> bool:
    """Whether a text box lies off the page."""
    anchor = next((one for one in box.iterancestors() if local(one) == "anchor"), None)
    for axis, side in (("positionH", "cx"), ("positionV", "cy")):
        offset = child(anchor, axis, "posOffset")
        if offset is not None:
            place, extent = _number(offset.text), _number(attribute(child(anchor, "extent"), side))
            if place + extent < -_WIDEST_MARGIN or place > _FARTHEST:
                return True
    return False
