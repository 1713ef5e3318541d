"""Lines that an engine found anywhere on a page, to lines in reading order with paragraphs; and these to a text.

A line is known by its box alone: which lines share a row, a table, a column or a paragraph follows from where they lie.
"""

import re
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from engines.vision import Line, PageText

Box = tuple[int, int, int, int]

WORD_GAP: Final = 1.2
"""Of a line's height. What lies further apart on one row are cells of a table, or of two columns."""
PROSE: Final = 16
"""Characters of a line that may belong to a column of text; the cells of a table are mostly shorter."""
COLUMN_LINES: Final = 3
"""Lines of prose beside each other that make two columns."""
PARAGRAPH_GAP: Final = 0.6
"""Of a line's height, more than between this block's other lines."""
OTHER_SIZE: Final = 1.35
"""How much taller one of two neighbours has to be to be of another paragraph: a heading."""

_HYPHENS: Final = "-\u00ad\u2010\u00ac"
_SPACES: Final = re.compile(r"\s+")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_WORD_CUT: Final = re.compile(rf"[^\W\d_][{_HYPHENS}]$")
_STARTS_SMALL: Final = re.compile(r"[^\W\d_]")
_CONJUNCTION: Final = re.compile(r"(?:und|oder|bzw|sowie|and|or|to|bis)\b")
"""After a hyphen that stands for what both words share: `Ein- und Ausgang`."""


# -- from lines to a text ---------------------------------------------------------------------------------------------


def page_text(page: PageText) -> tuple[str, list[tuple[int, int]]]:
    """The page's text, and for each of its lines the stretch `text[start:end]` that it gave.

    Lines of a paragraph are joined by a space, a word cut at a line's end becomes whole (its hyphen is in no
    stretch), paragraphs have a blank line between them, rows of a table (Markdown) a line each. NFC; in code points.
    """
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    length = 0

    def add(part: str) -> None:
        nonlocal length
        parts.append(part)
        length += len(part)

    for i, line in enumerate(page.lines):
        following = page.lines[i + 1] if i + 1 < len(page.lines) else None
        kept, joint = _joined(line, following)
        spans.append((length, length + len(kept)))
        add(kept)
        if _is_row(line) and _opens_table(page.lines, i):
            add("\n" + _rule(line))
        add(joint)
    return "".join(parts), spans


def _joined(line: Line, following: Line | None) -> tuple[str, str]:
    """What the line keeps of its text, and what stands between it and the next."""
    if following is None:
        return line.text, ""
    if following.paragraph != line.paragraph:
        return line.text, "\n\n"
    if _is_row(line) and _is_row(following):
        return line.text, "\n"
    if _WORD_CUT.search(line.text):
        if _CONJUNCTION.match(following.text) or not _STARTS_SMALL.match(following.text):
            return line.text, " "
        return (line.text[:-1], "") if following.text[0].islower() else (line.text, "")
    return line.text, " "


def _is_row(line: Line) -> bool:
    return line.text.startswith("| ") and line.text.endswith(" |")


def _opens_table(lines: Sequence[Line], i: int) -> bool:
    return i == 0 or lines[i - 1].paragraph != lines[i].paragraph or not _is_row(lines[i - 1])


def _rule(row: Line) -> str:
    return "|" + " --- |" * (row.text.replace(r"\|", "").count("|") - 1)


# -- from found lines to reading order --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """Lines side by side, from left to right."""

    cells: tuple[Line, ...]

    @property
    def box(self) -> Box:
        return _around([cell.box for cell in self.cells])


def arranged(found: Sequence[Line]) -> tuple[Line, ...]:
    """The lines in reading order, their paragraphs numbered from 0: columns one after the other, what an engine found
    in pieces on one row as one line, rows of a table as one line each, in Markdown.

    The page is upright and straight. The order of `found` does not matter.
    """
    clean = [replace(line, text=_clean(line.text)) for line in found]
    lines = sorted((line for line in clean if line.text), key=lambda line: (line.box, line.text))
    paragraphs = [paragraph for block in _blocks(lines) for paragraph in _paragraphs(block)]
    return tuple(replace(line, paragraph=i) for i, paragraph in enumerate(paragraphs) for line in paragraph)


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", _SPACES.sub(" ", _UNPRINTABLE.sub(" ", text)).strip())


def _blocks(lines: list[Line]) -> Iterator[list[Line]]:
    """Stretches of the page that are read as a whole, in order: its columns, and what runs across them."""
    gutter = _gutter(lines)
    if gutter is None:
        if lines:
            yield lines
        return
    across = [line for line in lines if line.box[0] < gutter < line.box[2]]
    for part in _regions(lines, across):
        if part[0] in across:
            yield part
            continue
        yield from _blocks([line for line in part if line.box[2] <= gutter])
        yield from _blocks([line for line in part if line.box[0] >= gutter])


def _regions(lines: list[Line], across: list[Line]) -> Iterator[list[Line]]:
    """From top to bottom: lines beside the gutter, lines across it, and so on."""
    part: list[Line] = []
    for line in sorted(lines, key=lambda line: (_middle(line.box), line.box)):
        if part and (line in across) != (part[0] in across):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _gutter(lines: list[Line]) -> int | None:
    """Where an upright line parts two columns of text, or None. It may cross a few lines that run over both."""
    best: tuple[int, int] | None = None
    prose = [line for line in lines if len(line.text) >= PROSE]
    if len(prose) < 2 * COLUMN_LINES:
        return None
    for x in sorted({line.box[0] for line in prose}):
        left = [line for line in prose if line.box[2] <= x]
        right = [line for line in prose if line.box[0] >= x]
        beside = min(_beside(left, right), _beside(right, left))
        crossing = len(lines) - sum(line.box[2] <= x or line.box[0] >= x for line in lines)
        if beside >= max(COLUMN_LINES, crossing):
            best = max(best or (0, 0), (beside - crossing, x))
    return best[1] if best else None


def _beside(some: list[Line], others: list[Line]) -> int:
    """How many of `some` have one of `others` on their row."""
    spans = [(line.box[1], line.box[3]) for line in others]
    return sum(any(top < _middle(line.box) < bottom for top, bottom in spans) for line in some)


def _paragraphs(block: list[Line]) -> Iterator[list[Line]]:
    """The block's paragraphs, from top to bottom; a table is one."""
    rows = _rows(block)
    part: list[_Row] = []
    gap = _usual_gap(rows)
    right = max(row.box[2] for row in rows)
    for row in rows:
        if part and _parted(part[-1], row, gap, right):
            yield _as_lines(part)
            part = []
        part.append(row)
    yield _as_lines(part)


def _rows(block: list[Line]) -> list[_Row]:
    rows: list[list[Line]] = []
    for line in sorted(block, key=lambda line: (_middle(line.box), line.box)):
        last = _around([cell.box for cell in rows[-1]]) if rows else None
        if last and _shared(last, line.box) > 0.5 and not any(_overlap(cell.box, line.box) for cell in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_Row(_merged(sorted(row, key=lambda line: line.box[0]))) for row in rows]


def _merged(row: list[Line]) -> tuple[Line, ...]:
    """Neighbours no further apart than words are one line."""
    cells: list[Line] = []
    for line in row:
        if cells and line.box[0] - cells[-1].box[2] <= WORD_GAP * min(_height(line.box), _height(cells[-1].box)):
            cells[-1] = _one(cells[-1], line)
        else:
            cells.append(line)
    return tuple(cells)


def _one(first: Line, second: Line) -> Line:
    sizes = len(first.text), len(second.text)
    confidence = (first.confidence * sizes[0] + second.confidence * sizes[1]) / sum(sizes)
    return Line(f"{first.text} {second.text}", _around([first.box, second.box]), confidence)


def _usual_gap(rows: Sequence[_Row]) -> float:
    gaps = [max(0, below.box[1] - above.box[3]) for above, below in pairwise(rows)]
    return statistics.median(gaps) if gaps else 0.0


def _parted(above: _Row, below: _Row, gap: float, right: int) -> bool:
    """Whether a paragraph ends between two rows: a table begins or ends, the space is wider than usual, the letters
    are of another size, or the line above ends although the next word had found room on it."""
    if (len(above.cells) > 1) != (len(below.cells) > 1):
        return True
    sizes = sorted((_height(above.box), _height(below.box)))
    if below.box[1] - above.box[3] > gap + PARAGRAPH_GAP * sizes[0] or sizes[1] > OTHER_SIZE * sizes[0]:
        return len(above.cells) == 1 or below.box[1] - above.box[3] > 2 * sizes[1]
    return len(above.cells) == 1 and right - above.box[2] > _first_word(below) + sizes[0]


def _first_word(row: _Row) -> float:
    """About how wide the row's first word is."""
    line = row.cells[0]
    return (line.box[2] - line.box[0]) * len(line.text.partition(" ")[0]) / len(line.text)


def _as_lines(rows: Sequence[_Row]) -> list[Line]:
    if len(rows) > 1 and len(rows[0].cells) > 1:
        return _table(rows)
    return [cell for row in rows for cell in row.cells]


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(rows: Sequence[_Row]) -> list[Line]:
    """A line a row, all with as many cells as the table has columns."""
    columns = _columns([cell.box for row in rows for cell in row.cells])
    return [_table_row(row, columns) for row in rows]


def _columns(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """From left to right the stretches that cells cover."""
    columns: list[tuple[int, int]] = []
    for left, right in sorted((box[0], box[2]) for box in boxes):
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _table_row(row: _Row, columns: Sequence[tuple[int, int]]) -> Line:
    texts = [
        " ".join(cell.text.replace("|", r"\|") for cell in row.cells if left <= cell.box[0] <= right)
        for left, right in columns
    ]
    characters = sum(len(cell.text) for cell in row.cells)
    confidence = sum(cell.confidence * len(cell.text) for cell in row.cells) / characters
    return Line(f"| {' | '.join(texts)} |", row.box, confidence)


# -- boxes ------------------------------------------------------------------------------------------------------------


def _around(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _height(box: Box) -> int:
    return max(1, box[3] - box[1])


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _shared(one: Box, other: Box) -> float:
    """How much of the lower one's height both have in common."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return common / min(_height(one), _height(other))


def _overlap(one: Box, other: Box) -> bool:
    """Whether one lies above the other rather than beside it."""
    common = min(one[2], other[2]) - max(one[0], other[0])
    return common > 0.5 * min(one[2] - one[0], other[2] - other[0])
