"""Rows to paragraphs: where one ends, what its lines say together, and which begin a list's item."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from engines.extraction.pdf import rows as lines
from engines.extraction.pdf.rows import Row
from engines.extraction.pdf.words import Word

HYPHEN: Final = "\ue000"
"""Stands for a hyphen at a line's end until the whole document is known, which tells whether it belongs to the word.
No text of a page holds it."""
_BULLET: Final = re.compile(
    r"([\u2022\u2023\u25e6\u25aa\u25ab\u25cf\u25cb\u25a0\u25a1\u2043\u2219\u00b7\u2013\u2014*-]|[>\u27a2\u2794\u2713])(?=\s|$)\s*"
)
_NUMBER: Final = re.compile(
    r"(?:\(?(?:[0-9]{1,3}|[a-z]|[ivx]{1,5})[.)]|\[[0-9]{1,3}\]|[0-9]{1,2}(?:\.[0-9]{1,3})+\.?)\s+(?=\S)"
)
_NUMBERED: Final = re.compile(r"([0-9]{1,3})\s")
_ENDS: Final = re.compile(r"[.!?:;\u2026]['\"\u201d\u201c\u2019\u00bb\u00ab)\]]{0,3}$")
_HYPHENATED: Final = re.compile(r"[^\W\d_][-\u00ad]$")
_JOINED: Final = re.compile(r"\w[-/]$")
"""Nothing stands between this and the next line's first word: `TK-`, `mg/`."""
_SUSPENDED: Final = re.compile(r"(?:und|oder|bzw|sowie|and|or|to|bis)\b")
_CONTINUES: Final = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u00ff]")


@dataclass(slots=True)
class Line:
    text: str
    left: float
    right: float
    baseline: float
    size: float
    bold: bool
    fixed: bool = False
    """Of a type whose characters are of one width, as in programs."""
    broken: bool = False
    """The line after it is one of its own: its first word would have had room here."""


@dataclass(slots=True)
class Paragraph:
    lines: list[Line]
    order: int
    column: tuple[float, float]
    """Left and right edge of the column that it stands in."""
    marker: str = ""
    """Of a list's item: `-`, or its number as written."""
    indent: float = 0.0
    hidden: bool = False

    @property
    def size(self) -> float:
        return _usual((line.size, len(line.text)) for line in self.lines)

    @property
    def bold(self) -> bool:
        return all(line.bold for line in self.lines)

    @property
    def top(self) -> float:
        return self.lines[0].baseline - 0.8 * self.lines[0].size

    @property
    def text(self) -> str:
        """Without its marker; HYPHEN and RAISED are in it."""
        return flowing(self.lines)


def flowing(found: Sequence[Line]) -> str:
    """Lines as one text."""
    parts: list[str] = []
    for number, line in enumerate(found):
        last = number == len(found) - 1
        parts.append(line.text if last else joint(line.text, found[number + 1].text, broken=line.broken))
    return "".join(parts)


def joint(text: str, following: str, *, broken: bool = False) -> str:
    """`text` with what stands between it and the text that goes on after it."""
    if text.endswith("\u00ad") or (text.endswith("/-") and following[:1].isalnum()):
        return text[:-1]
    if _HYPHENATED.search(text):
        if _SUSPENDED.match(following):
            return text + " "
        return text[:-1] + HYPHEN if _CONTINUES.match(following) else text
    if _JOINED.search(text) and following[:1].isalnum() and not (broken and text.endswith("/")):
        return text
    if broken:
        return text + "\n"
    return text if _is_unspaced(text[-1:]) and _is_unspaced(following[:1]) else text + " "


def ends(text: str) -> bool:
    """Like a sentence."""
    return bool(_ENDS.search(text))


def continues(text: str) -> bool:
    """Does it begin in the middle of a sentence?"""
    return bool(_CONTINUES.match(text))


def _is_unspaced(character: str) -> bool:
    """Of a script that writes no spaces between words."""
    return bool(character) and (0x3000 <= ord(character) <= 0x9FFF or 0xFF00 <= ord(character) <= 0xFFEF)


def cell_text(found: Sequence[Sequence[Word]]) -> str:
    """The lines of a table's cell as one."""
    texts = [text for text in map(lines.text, found) if text]
    return "".join(
        joint(text, texts[number + 1]) if number < len(texts) - 1 else text for number, text in enumerate(texts)
    )


def paragraphs(found: Sequence[Row], left: float, right: float) -> list[Paragraph]:
    """Of rows of a column, from top to bottom. `left` and `right` are the column's edges."""
    return list(_Paragraphs(found, left, right).made()) if found else []


def edges(found: Sequence[Row]) -> tuple[float, float]:
    """Of the column that these rows are."""
    return _usual([(float(round(row.left)), 1) for row in found]), max(row.right for row in found)


class _Paragraphs:
    """Goes down a column's rows; `_open` is the paragraph that the next row may go on with."""

    def __init__(self, found: Sequence[Row], left: float, right: float) -> None:
        self._rows = found
        self._left, self._right = left, right
        self._pitches = _pitches(found)
        self._open: Paragraph | None = None
        self._before = found[0]
        self._text_left = 0.0
        """Where the open paragraph's text begins, after an item's marker."""

    def made(self) -> Iterator[Paragraph]:
        for row in self._rows:
            line = _line(row)
            if not line.text:
                continue
            marker, rest = _marker(line.text)
            if self._open is None or self._starts(self._open, row, line, marked=bool(marker)):
                if self._open is not None:
                    yield self._open
                self._open = Paragraph([line], min(word.order for word in row.words), (self._left, self._right))
                self._text_left = row.left
                if rest and marker:
                    line.text, self._open.marker, self._open.indent = rest, marker, row.left
                    self._text_left = _text_left(row)
            else:
                last = self._open.lines[-1]
                last.broken = self._is_broken(last, row, line)
                self._open.lines.append(line)
            self._before = row
        if self._open is not None:
            yield self._open

    def _starts(self, paragraph: Paragraph, row: Row, line: Line, *, marked: bool) -> bool:
        """Does a paragraph begin with `row`?"""
        last = paragraph.lines[-1]
        if abs(line.size - last.size) > 0.08 * row.size or line.bold != last.bold:
            near = row.baseline - self._before.baseline < 1.6 * row.size
            return not (near and _HYPHENATED.search(last.text))
        if self._is_apart(row) or line.text.startswith(lines.RAISED):
            return True  # a footnote's mark: in a sentence it would follow a word
        if _NUMBERED.match(line.text) and _follows(paragraph.lines[0].text, line.text):
            return True
        finished = ends(last.text) and self._has_room(last, row)
        outside = row.left <= self._text_left - 0.5 * row.size
        if marked and (outside or ends(last.text) or self._has_room(last, row)):
            return True
        if paragraph.marker:
            return (outside or finished) and abs(row.left - self._text_left) >= 0.7 * row.size
        return self._is_shifted(paragraph, row) or finished

    def _is_apart(self, row: Row) -> bool:
        """More than a line below the one before."""
        gap = row.baseline - self._before.baseline
        pitch = self._pitches.get(round(row.size), 1.3 * row.size)
        return gap > max(1.28 * pitch, 1.1 * row.size) or gap > 2.6 * row.size

    def _is_shifted(self, paragraph: Paragraph, row: Row) -> bool:
        """It begins further right than its column, as a paragraph's first line does, or it ends what was indented."""
        indent = row.left - self._before.left
        if 0.8 * row.size < indent < 4.5 * row.size and abs(self._before.left - self._left) < 0.5 * row.size:
            return ends(paragraph.lines[-1].text) or len(paragraph.lines) > 1
        return indent < -0.8 * row.size and (len(paragraph.lines) > 1 or self._has_room(paragraph.lines[-1], row))

    def _has_room(self, last: Line, row: Row) -> bool:
        """Would the row's first word have had room in the line before?"""
        first = row.words[0]
        return last.right + 0.3 * row.size + (first.right - first.left) < self._right - 0.6 * row.size

    def _is_broken(self, last: Line, row: Row, line: Line) -> bool:
        if not self._has_room(last, row):
            return False
        return line.fixed or not continues(line.text)


def _follows(text: str, following: str) -> bool:
    """Do they begin with numbers, the second with the next? Notes do, and so do rows of a list."""
    first, second = _NUMBERED.match(text), _NUMBERED.match(following)
    return first is not None and second is not None and int(second[1]) == int(first[1]) + 1


def _pitches(found: Sequence[Row]) -> dict[int, float]:
    """From one baseline to the next, by type size in points: the lower quartile, since paragraphs' ends are in it."""
    gaps: dict[int, list[float]] = {}
    for before, after in pairwise(found):
        if abs(before.size - after.size) < 0.08 * after.size:
            gaps.setdefault(round(after.size), []).append(after.baseline - before.baseline)
    return {size: sorted(found_gaps)[len(found_gaps) // 4] for size, found_gaps in gaps.items()}


def _line(row: Row) -> Line:
    words = row.words
    letters = sum(len(word.text) for word in words)
    bold = sum(len(word.text) for word in words if word.run.bold)
    return Line(
        lines.text(words),
        row.left,
        row.right,
        row.baseline,
        round(_main_size(words), 1),
        bold=bold > 0.8 * letters,
        fixed=2 * sum(word.run.fixed for word in words) > len(words),
    )


def _main_size(words: Sequence[Word]) -> float:
    return _usual((round(word.size, 1), len(word.text)) for word in words)


def _marker(text: str) -> tuple[str, str]:
    """(marker, the rest) of a list's item."""
    bullet = _BULLET.match(text)
    if bullet is not None:
        return "-", text[bullet.end() :]
    number = _NUMBER.match(text)
    if number is not None:
        return number[0].strip(), text[number.end() :]
    return "", text


def _text_left(row: Row) -> float:
    """Where an item's text begins, after its marker."""
    words = row.words
    return words[1].left if len(words) > 1 else row.left


def _usual(weighed: Iterator[tuple[float, int]] | Sequence[tuple[float, int]]) -> float:
    counts: Counter[float] = Counter()
    for value, weight in weighed:
        counts[value] += weight
    return max(counts, key=lambda value: (counts[value], -value))
