"""As much of CSS as tells whether a text can be seen: rules of simple selectors, and an element's own style."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from engines.extraction.packages import Element
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden

_COMMENT: Final = re.compile(r"/\*.*?\*/", re.S)
_SIMPLE: Final = re.compile(r"([a-zA-Z][\w-]*)?((?:[.#][\w-]+)*)")
_PART: Final = re.compile(r"([.#])([\w-]+)")
_LENGTH: Final = re.compile(r"(-?[0-9]*\.?[0-9]+)\s*(px|pt|em|rem|ex|ch|%|cm|mm|in|pc|vw|vh)?")
_RGB: Final = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]+%?))?\s*\)")
_HEX: Final = re.compile(r"#([0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})\b")
_NAMES: Final = {
    "white": WHITE, "snow": "fffafa", "ivory": "fffff0", "black": "000000", "red": "ff0000", "green": "008000",
    "blue": "0000ff", "gray": "808080", "grey": "808080", "silver": "c0c0c0", "yellow": "ffff00", "navy": "000080",
    "whitesmoke": "f5f5f5", "ghostwhite": "f8f8ff", "lightgray": "d3d3d3", "lightgrey": "d3d3d3", "orange": "ffa500",
}  # fmt: skip
_POINTS: Final = {
    "px": 0.75, "pt": 1.0, "em": 12.0, "rem": 12.0, "ex": 6.0, "ch": 6.0, "%": 0.12, "cm": 28.3, "mm": 2.83,
    "in": 72.0, "pc": 12.0, "vw": 8.0, "vh": 6.0, "": 0.75,
}  # fmt: skip
_LEAST_OPACITY: Final = 0.05
_FAR: Final = -500.0
"""Points beyond the page's left or upper edge: where pages put what none shall see."""
_MOST_RULES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Look:
    """How text looks at one place of the page."""

    colour: str | None = None
    background: str = WHITE
    points: float = 12.0
    is_gone: bool = False
    """For good: no child shows itself again."""
    is_invisible: bool = False
    """`visibility: hidden`, from which a child may return."""

    @property
    def is_hidden(self) -> bool:
        return self.is_gone or self.is_invisible or is_hidden(self.colour, self.background, points=self.points)


def looks(above: Look, style: Mapping[str, str]) -> Look:
    """The look of an element with these properties within another."""
    if not style:
        return above
    colour = above.colour
    if "color" in style:
        colour, is_clear = _colour(style["color"], above.colour)
        if is_clear:
            return replace(above, is_gone=True)
    background = above.background
    for name in ("background", "background-color", "background-image"):
        if name in style:
            background = _background(style[name], background)
    invisible = above.is_invisible
    if "visibility" in style:
        invisible = style["visibility"] in ("hidden", "collapse")
    return Look(
        colour, background, _size(style.get("font-size"), above.points), above.is_gone or _goes(style), invisible
    )


def _goes(style: Mapping[str, str]) -> bool:
    if style.get("display", "").startswith("none") or _number(style.get("opacity"), 1.0) < _LEAST_OPACITY:
        return True
    if any(_points(style.get(name)) < _FAR for name in ("text-indent", "left", "top", "margin-left", "margin-top")):
        return True
    if _is_zero(style.get("clip")) or style.get("clip-path", "").startswith("inset(100%"):
        return True
    is_cut = style.get("overflow", style.get("overflow-y", "")).startswith("hidden")
    return is_cut and any(
        name in style and _points(style[name]) < 1.6 for name in ("height", "width", "max-height", "max-width")
    )


def _is_zero(clip: str | None) -> bool:
    return clip is not None and clip.startswith("rect(") and not re.search(r"[2-9]|1\d", clip)


def _size(size: str | None, above: float) -> float:
    found = _LENGTH.match(size or "")
    if not found:
        return above if size not in ("medium", "initial") else 12.0
    number, unit = float(found[1]), found[2] or ""
    if unit in ("em", "%", "ex", "ch"):
        return above * number / (100 if unit == "%" else 1)
    return number * _POINTS[unit]


def _points(length: str | None) -> float:
    found = _LENGTH.match(length or "")
    return float(found[1]) * _POINTS[found[2] or ""] if found else 100.0


def _number(value: str | None, default: float) -> float:
    found = _LENGTH.match(value or "")
    return (float(found[1]) / (100 if found[2] == "%" else 1)) if found else default


def _colour(value: str, above: str | None) -> tuple[str | None, bool]:
    """`rrggbb`, or None for one that cannot be told; and whether it lets everything through."""
    if value in ("inherit", "currentcolor"):
        return above, False
    if value == "transparent":
        return None, True
    if value in _NAMES:
        return _NAMES[value], False
    if found := _HEX.search(value):
        digits = found[1] if len(found[1]) > 4 else "".join(digit * 2 for digit in found[1])
        return digits[:6], digits[6:] == "00"
    if found := _RGB.search(value):
        rgb = "".join(f"{min(int(part), 255):02x}" for part in found.groups()[:3])
        return rgb, _number(found[4], 1.0) < _LEAST_OPACITY
    return None, False


def _background(value: str, above: str) -> str:
    if "url(" in value or "gradient" in value:
        return UNKNOWN
    for word in [value, *value.split()]:
        colour, is_clear = _colour(word, None)
        if is_clear or word in ("none", "inherit", "initial", "unset"):
            return above
        if colour is not None:
            return colour
    return UNKNOWN


# -- rules ------------------------------------------------------------------------------------------------------------


def declarations(source: str) -> dict[str, str]:
    """`a: b; c: d`, in lower case."""
    found = {}
    for declaration in source.split(";"):
        name, _, value = declaration.partition(":")
        if value:
            found[name.strip().lower()] = value.replace("!important", "").strip().lower()
    return found


@dataclass(frozen=True, slots=True)
class _Rule:
    tag: str | None
    marks: frozenset[str]
    """`.class` and `#id`, all of which an element must have."""
    style: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rules whose selector names one element by its tag, classes and id. Others, and those of media, are left out."""

    rules: Mapping[str, tuple[_Rule, ...]] = field(default_factory=dict)
    """By the first mark, or the tag where there is none, so that few are looked at."""

    @classmethod
    def of(cls, source: str) -> "Sheet":
        rules: dict[str, tuple[_Rule, ...]] = {}
        for count, (selector, body) in enumerate(_rules(_COMMENT.sub(" ", source))):
            if count >= _MOST_RULES:
                break
            style = declarations(body)
            for one in selector.split(","):
                found = _SIMPLE.fullmatch(one.strip())
                if found and one.strip():
                    marks = frozenset("".join(part) for part in _PART.findall(found[2]))
                    tag = found[1].lower() if found[1] else None
                    key = min(marks) if marks else tag or ""
                    rules[key] = (*rules.get(key, ()), _Rule(tag, marks, style))
        return cls(rules)

    def style_of(self, element: Element) -> Mapping[str, str]:
        """The properties that rules, then the element itself, give it."""
        own = element.get("style")
        if not self.rules and own is None:
            return {}
        marks = {f".{name}" for name in (element.get("class") or "").split()[:50]}
        if element.get("id"):
            marks.add(f"#{element.get('id')}")
        style: dict[str, str] = {}
        for key in [element.tag, *sorted(marks)]:
            for rule in self.rules.get(key, ()):
                if rule.marks <= marks and rule.tag in (None, element.tag):
                    style.update(rule.style)
        if own is not None:
            style.update(declarations(own))
        return style


def _rules(source: str) -> Iterator[tuple[str, str]]:
    """Selector and body of each rule on the outermost level; blocks of at-rules are passed over."""
    position = 0
    while (opening := source.find("{", position)) >= 0:
        selector = source[position:opening].rpartition(";")[2].strip()
        if selector.startswith("@"):
            position = _closing(source, opening)
            continue
        closing = source.find("}", opening)
        if closing < 0:
            return
        yield selector, source[opening + 1 : closing]
        position = closing + 1


def _closing(source: str, opening: int) -> int:
    depth = 0
    for brace in re.finditer(r"[{}]", source[opening:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return opening + brace.end()
    return len(source)
