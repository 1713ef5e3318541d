"""What Word, Excel and PowerPoint files share: their fields, their theme's colours, shapes and charts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engines.extraction.blocks import Block, Paragraph, Run, Table
from engines.extraction.dates import first_day
from engines.extraction.packages import Element, Package, attribute, child, children, descendants, local

EMU_PER_POINT: Final = 12_700
_MOST_POINTS: Final = 2_000
"""Of a chart's series. More is no table that anybody reads."""


@dataclass(frozen=True, slots=True)
class Fields:
    title: str | None
    date: str | None


def fields(package: Package) -> Fields:
    """What the file says of itself in its core properties."""
    names = [one.target for one in package.relations().values() if one.kind == "core-properties"]
    root = package.find(names[0]) if names else None
    said: dict[str, str] = {}
    for one in root if root is not None else ():
        said.setdefault(local(one), one.text or "")
    return Fields(said.get("title") or None, first_day(said.get("modified"), said.get("created")))


def on(element: Element | None) -> bool:
    """Whether a property is there and not switched off."""
    return element is not None and attribute(element, "val", "1") not in ("0", "false", "off")


def chosen(element: Element) -> Sequence[Element]:
    """Of `AlternateContent` the first choice, else what older programs show: both say the same."""
    shown = child(element, "Choice")
    if shown is None:
        shown = child(element, "Fallback")
    return [] if shown is None else list(shown)


# -- colours ----------------------------------------------------------------------------------------------------------


def theme_colours(package: Package, part: str) -> Mapping[str, str]:
    """`accent1` and the like to `rrggbb`, of the theme that `part` names."""
    names = [one.target for one in package.relations(part).values() if one.kind == "theme"]
    scheme = child(package.find(names[0]), "themeElements", "clrScheme") if names else None
    found = {local(one): _plain_colour(one) for one in (scheme if scheme is not None else ())}
    return {name: colour for name, colour in found.items() if colour}


def _plain_colour(holder: Element) -> str | None:
    for one in holder:
        value = one.get("lastClr") if local(one) == "sysClr" else one.get("val")
        if local(one) in ("srgbClr", "sysClr") and value:
            return str(value).lower()
    return None


def drawn_colour(fill: Element | None, theme: Mapping[str, str]) -> str | None:
    """The colour of a `solidFill`: `rrggbb`. None where it is transparent, altered or cannot be told."""
    if fill is None or len(fill) == 0:
        return None
    colour = fill[0]
    if len(colour) > 0:  # lighter, darker, or seen through
        return None
    if local(colour) == "schemeClr":
        return theme.get(colour.get("val", ""))
    return _plain_colour(fill)


def is_transparent(fill: Element | None) -> bool:
    """Whether it lets nearly nothing of its colour be seen."""
    alpha = child(fill[0], "alpha") if fill is not None and len(fill) else None
    return alpha is not None and _number(alpha.get("val")) < 5_000


def _number(value: str | None) -> float:
    try:
        return float(value or "")
    except ValueError:
        return 100_000


# -- what is drawn ----------------------------------------------------------------------------------------------------


def charts(package: Package, part: str, holder: Element) -> Iterator[Block]:
    """The tables behind the charts that `holder` shows."""
    relations = package.relations(part)
    for chart in descendants(holder, "chart"):
        relation = relations.get(attribute(chart, "id") or "")
        root = package.find(relation.target) if relation and relation.kind == "chart" else None
        if root is not None:
            yield from _chart(root)


def _chart(root: Element) -> Iterator[Block]:
    title = child(root, "chart", "title")
    if title is not None:
        yield Paragraph([Run("".join(one.text or "" for one in descendants(title, "t")))])
    categories: dict[int, str] = {}
    columns: list[tuple[str, dict[int, str]]] = []
    for series in descendants(root, "ser"):
        name = next((one.text or "" for tx in children(series, "tx") for one in descendants(tx, "v")), "")
        for holder in [*children(series, "cat"), *children(series, "xVal")]:
            categories = _points(holder) or categories
        values = [_points(holder) for holder in [*children(series, "val"), *children(series, "yVal")]]
        columns.append((name, values[0] if values else {}))
    rows = sorted({place for _, points in columns for place in points} | categories.keys())[:_MOST_POINTS]
    if rows:
        head = ["", *(name for name, _ in columns)]
        body = [[categories.get(row, ""), *(points.get(row, "") for _, points in columns)] for row in rows]
        yield Table([[[Paragraph([Run(cell)])] for cell in row] for row in [head, *body]])


def _points(holder: Element) -> dict[int, str]:
    found: dict[int, str] = {}
    for point in descendants(holder, "pt"):
        value = child(point, "v")
        place = point.get("idx", "")
        if value is not None and place.isdecimal():
            found[int(place)] = value.text or ""
    return found


def diagrams(package: Package, part: str, holder: Element) -> Iterator[Block]:
    """The words of SmartArt, a point a line."""
    relations = package.relations(part)
    for ids in descendants(holder, "relIds"):
        relation = relations.get(attribute(ids, "dm") or "")
        root = package.find(relation.target) if relation else None
        for text in descendants(root, "t") if root is not None else ():
            if local(text.getparent()) == "r":
                continue
            words = [one.text or "" for one in descendants(text, "t") if one is not text]
            if any(words):
                yield Paragraph([Run("".join(words))])
