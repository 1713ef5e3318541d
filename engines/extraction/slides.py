"""PowerPoint: a slide is a page, its title a heading; then its shapes in their order, and the speaker's notes.

Hidden are: slides that are not shown, shapes that are, or that lie off the slide, text of no size, and text of the
colour of what it lies on, where that can be told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engines.extraction import office
from engines.extraction.blocks import Block, Heading, Item, Paragraph, Run, Table, hidden, text_of, write
from engines.extraction.numbering import written
from engines.extraction.packages import Element, Package, attribute, child, children, descendants, local
from engines.extraction.reading import Piece, Reading
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden

_TITLES: Final = ("title", "ctrTitle")
_FURNITURE: Final = ("sldNum", "dt", "ftr", "hdr", "sldImg")
"""Placeholders that repeat on every slide."""
_LONGEST_TITLE: Final = 200
"""Characters. A longer first line is a slide's text, not its title."""
_AUTO_FORMS: Final = (
    ("arabic", "decimal"), ("alphaLc", "lowerLetter"), ("alphaUc", "upperLetter"),
    ("romanLc", "lowerRoman"), ("romanUc", "upperRoman"),
)  # fmt: skip
_AUTO_PATTERNS: Final = (("ParenBoth", "({})"), ("ParenR", "{})"), ("Period", "{}."))
_DEEPEST_GROUP: Final = 30


def read(data: bytes, media_type: str) -> Reading:
    package = Package(data, media_type)
    show = _Show(package, package.main_part("ppt/presentation.xml"))
    said = office.fields(package)
    return Reading([*show.pieces()], title=said.title, date=said.date)


def plain_text(body: Element) -> list[Block]:
    """A text body's paragraphs and lists, as far as its own properties tell."""
    return [*_Body(body, WHITE, {}).blocks()]


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


class _Show:
    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._root = package.xml(name)
        self._relations = package.relations(name)
        size = child(self._root, "sldSz")
        self._slide = _Box(0, 0, _number(attribute(size, "cx"), 9_144_000), _number(attribute(size, "cy"), 6_858_000))

    def pieces(self) -> Iterator[Piece]:
        for number, entry in enumerate(children(child(self._root, "sldIdLst"), "sldId"), 1):
            relation = self._relations.get(entry.get(_RELATION_ID) or "")
            root = self._package.find(relation.target) if relation else None
            blocks = [*self._blocks(relation.target, root)] if relation and root is not None else []
            is_away = root is not None and root.get("show") in ("0", "false")
            yield write(hidden(blocks) if is_away else blocks, page=number)

    def _blocks(self, name: str, root: Element) -> Iterator[Block]:
        tree = child(root, "cSld", "spTree")
        stage = _Stage(self._package, name, root, self._slide)
        titled: list[Block] = []
        others: list[Block] = []
        for shape, is_away in _shapes(tree):
            is_title = _placeholder(shape) in _TITLES
            found = [*stage.blocks(shape)]
            (titled if is_title else others).extend(hidden(found) if is_away else found)
        yield from _with_title(titled, others)
        yield from self._notes(name)

    def _notes(self, name: str) -> Iterator[Block]:
        for relation in self._package.relations(name).values():
            root = self._package.find(relation.target) if relation.kind == "notesSlide" else None
            for shape, _ in _shapes(child(root, "cSld", "spTree")):
                body = child(shape, "txBody")
                if body is not None and _placeholder(shape) not in _FURNITURE:
                    yield from plain_text(body)


_RELATION_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def _with_title(titled: Sequence[Block], others: Sequence[Block]) -> Iterator[Block]:
    """The title's paragraphs as one heading; where there is none, the first line of the rest."""
    blocks = [*titled, *others]
    first = next((place for place, block in enumerate(blocks) if _says(block)), None)
    for place, block in enumerate(blocks):
        is_title = place < len(titled) if titled else place == first
        is_short = isinstance(block, Paragraph) and 0 < len(text_of(block.runs).strip()) <= _LONGEST_TITLE
        if is_title and is_short and not isinstance(block, Table):
            yield Heading(1, block.runs)
        else:
            yield block


def _says(block: Block) -> bool:
    return isinstance(block, Table) or bool(text_of(block.runs).strip())


# -- a slide's shapes -------------------------------------------------------------------------------------------------


def _shapes(tree: Element | None, *, is_away: bool = False, depth: int = 0) -> Iterator[tuple[Element, bool]]:
    """Shapes, pictures, tables and connectors in the order in which they are drawn, those in groups too, and whether
    each is switched off."""
    for element in tree if tree is not None else ():
        name = local(element)
        if name == "AlternateContent":
            for one in office.chosen(element):
                yield from _shapes([one], is_away=is_away, depth=depth + 1)
        elif name in ("sp", "pic", "graphicFrame", "cxnSp", "grpSp"):
            away = is_away or _is_off(element)
            if name != "grpSp":
                yield element, away
            elif depth < _DEEPEST_GROUP:
                yield from _shapes(element, is_away=away, depth=depth + 1)


def _is_off(shape: Element) -> bool:
    properties = next((child(one, "cNvPr") for one in shape if local(one).startswith("nv")), None)
    return attribute(properties, "hidden") in ("1", "true")


def _placeholder(shape: Element) -> str | None:
    place = child(shape, "nvSpPr", "nvPr", "ph")
    return None if place is None else attribute(place, "type", "body")


class _Stage:
    """A slide: what lies behind its shapes, and what they say."""

    def __init__(self, package: Package, name: str, root: Element, slide: _Box) -> None:
        self._package = package
        self._name = name
        self._slide = slide
        self._layers = [(name, root), *_above(package, name)]
        self._theme = _theme(package, self._layers)
        self._background = self._find_background()
        self._painted = [
            (shape, self._box(shape))
            for _, layer in reversed(self._layers)
            for shape, _ in _shapes(child(layer, "cSld", "spTree"))
            if self._own_fill(shape) is not None
        ]

    def blocks(self, shape: Element) -> Iterator[Block]:
        if _placeholder(shape) in _FURNITURE:
            return
        found = [*self._said(shape)]
        box = self._box(shape)
        yield from hidden(found) if box is not None and not box.meets(self._slide) else found

    def _said(self, shape: Element) -> Iterator[Block]:
        behind = self._behind(shape)
        if local(shape) == "graphicFrame":
            for table in descendants(shape, "tbl"):
                yield self._table(table)
            yield from office.charts(self._package, self._name, shape)
            yield from office.diagrams(self._package, self._name, shape)
        body = child(shape, "txBody")
        if body is not None:
            yield from _Body(body, behind, self._theme, is_list=_placeholder(shape) in ("body", "obj")).blocks()

    def _table(self, table: Element) -> Table:
        is_styled = child(table, "tblPr", "tableStyleId") is not None
        rows: list[list[list[Block]]] = []
        for row in children(table, "tr"):
            rows.append([])
            for cell in children(row, "tc"):
                fill = child(cell, "tcPr", "solidFill")
                behind = office.drawn_colour(fill, self._theme) or (UNKNOWN if is_styled or fill is not None else WHITE)
                body = child(cell, "txBody")
                rows[-1].append([] if body is None else [*_Body(body, behind, self._theme).blocks()])
        return Table(rows)

    # -- what lies behind -----------------------------------------------------------------------------------------

    def _behind(self, shape: Element) -> str:
        own = self._own_fill(shape)
        if own is not None:
            return own
        box = self._box(shape)
        for other, place in self._painted:
            if other is shape:
                break
            if box is None or place is None or box.meets(place):
                return UNKNOWN
        return self._background

    def _own_fill(self, shape: Element) -> str | None:
        """The colour, `UNKNOWN` for what is none, None where a shape is filled with nothing."""
        if local(shape) == "pic":
            return UNKNOWN
        properties = child(shape, "spPr")
        for one in properties if properties is not None else ():
            name = local(one)
            if name == "noFill" or office.is_transparent(one if name == "solidFill" else None):
                return None
            if name == "solidFill":
                return office.drawn_colour(one, self._theme) or UNKNOWN
            if name in ("gradFill", "blipFill", "pattFill", "grpFill"):
                return UNKNOWN
        reference = child(shape, "style", "fillRef")
        return UNKNOWN if attribute(reference, "idx", "0") != "0" else None

    def _find_background(self) -> str:
        for _, root in self._layers:
            background = child(root, "cSld", "bg")
            if background is not None:
                if child(background, "bgPr", "noFill") is not None:
                    return WHITE
                fill = child(background, "bgPr", "solidFill")
                reference = child(background, "bgRef")
                if reference is not None and attribute(reference, "idx") == "1001":
                    fill = reference
                return office.drawn_colour(fill, self._theme) or UNKNOWN
        return WHITE

    def _box(self, shape: Element) -> _Box | None:
        """Where a shape lies; in a group, or where its layout says, it cannot be told."""
        place = child(shape, "spPr", "xfrm")
        if place is None:
            place = child(shape, "xfrm")
        if place is None or local(shape.getparent()) == "grpSp":
            return None
        offset, extent = child(place, "off"), child(place, "ext")
        left, top = _number(attribute(offset, "x")), _number(attribute(offset, "y"))
        return _Box(left, top, left + _number(attribute(extent, "cx")), top + _number(attribute(extent, "cy")))


def _above(package: Package, name: str) -> Iterator[tuple[str, Element]]:
    """A slide's layout, then its master."""
    for kind in ("slideLayout", "slideMaster"):
        names = [one.target for one in package.relations(name).values() if one.kind == kind]
        root = package.find(names[0]) if names else None
        if root is None:
            return
        name = names[0]
        yield name, root


def _theme(package: Package, layers: Sequence[tuple[str, Element]]) -> Mapping[str, str]:
    """The master's theme, with the names that slides use."""
    name, root = layers[-1]
    colours = dict(office.theme_colours(package, name))
    mapping = child(root, "clrMap")
    for used, meant in mapping.items() if mapping is not None else ():
        if meant in colours:
            colours[used] = colours[meant]
    return colours


# -- text -------------------------------------------------------------------------------------------------------------


class _Body:
    """The paragraphs of one shape or cell."""

    def __init__(self, body: Element, background: str, theme: Mapping[str, str], *, is_list: bool = False) -> None:
        self._body = body
        self._background = background
        self._theme = theme
        self._is_list = is_list
        self._numbers: dict[int, int] = {}

    def blocks(self) -> Iterator[Block]:
        paragraphs = [(one, self._runs(one)) for one in children(self._body, "p")]
        said = [(one, runs) for one, runs in paragraphs if text_of(runs).strip()]
        for paragraph, runs in said:
            properties = child(paragraph, "pPr")
            level = attribute(properties, "lvl", "0") or "0"
            depth = int(level) if level.isdecimal() else 0
            marker = self._marker(properties, depth, is_alone=len(said) == 1)
            yield Item(runs, depth, marker) if marker else Paragraph(runs)

    def _marker(self, properties: Element | None, depth: int, *, is_alone: bool) -> str:
        names = {local(one) for one in properties} if properties is not None else set()
        number = child(properties, "buAutoNum")
        for deeper in [one for one in self._numbers if one > depth or (one == depth and number is None)]:
            del self._numbers[deeper]
        if number is not None:
            start = attribute(number, "startAt", "1") or "1"
            self._numbers[depth] = self._numbers.get(depth, int(start) - 1 if start.isdecimal() else 0) + 1
            return _auto_number(self._numbers[depth], attribute(number, "type") or "")
        if "buNone" in names:
            return ""
        is_bullet = names & {"buChar", "buBlip"} or depth > 0 or (self._is_list and not is_alone)
        return "-" if is_bullet else ""

    def _runs(self, paragraph: Element) -> list[Run]:
        runs: list[Run] = []
        for element in paragraph:
            name = local(element)
            if name == "br":
                runs.append(Run("\n"))
            elif name == "r" or (name == "fld" and attribute(element, "type") != "slidenum"):
                text = "".join(one.text or "" for one in children(element, "t"))
                runs.append(Run(text.replace("\v", "\n"), self._is_hidden(child(element, "rPr"))))
            elif name == "AlternateContent":
                text = "".join(one.text or "" for part in office.chosen(element) for one in descendants(part, "t"))
                runs.append(Run(text))
            elif name == "m":
                runs.append(Run("".join(one.text or "" for one in descendants(element, "t"))))
        return runs

    def _is_hidden(self, properties: Element | None) -> bool:
        size = attribute(properties, "sz")
        fill = child(properties, "solidFill")
        if office.is_transparent(fill):
            return True
        points = _number(size) / 100 if size else None
        return is_hidden(office.drawn_colour(fill, self._theme), self._background, points=points)


def _auto_number(number: int, kind: str) -> str:
    form = next((form for start, form in _AUTO_FORMS if kind.startswith(start)), "decimal")
    pattern = next((pattern for end, pattern in _AUTO_PATTERNS if kind.endswith(end)), "{}.")
    return pattern.format(written(number, form))


def _number(value: str | None, default: float = 0) -> float:
    try:
        return float(value) if value is not None else default
    except ValueError:
        return default
