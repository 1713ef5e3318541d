"""Lines that an engine found anywhere on a page, to lines in reading order with paragraphs; and these to a text.

A line is known by its box alone: which lines share a row, a table, a column or a paragraph follows from where they lie.
"""

import re
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Final

from engines.vision import Line, PageText

Box = tuple[int, int, int, int]

CELL_GAP: Final = 0.6
"""Of a line's height: pieces of a row that are further apart may be cells of a table. Words seldom are."""
WIDE_GAP: Final = 1.5
"""Of a line's height: so far apart two rows are enough to make a table; else it takes LEAST_ROWS."""
LEAST_ROWS: Final = 3
NEXT_LINE: Final = 0.7
"""Of the usual space between a table's rows: the lines of one cell are closer."""
PROSE: Final = 22
"""Characters of a line of prose; cells of a table are mostly shorter."""
COLUMN_LINES: Final = 5
BESIDE: Final = 2
"""Lines that make two columns, if so many of both lie beside each other."""
LIKELY_GUTTERS: Final = 8
PARAGRAPH_GAP: Final = 0.6
"""Of a line's height, more than between this block's other lines."""
OTHER_SIZE: Final = 1.35
"""How much taller one of two neighbours has to be to be of another paragraph: a heading."""
SIZED: Final = 6
"""Characters from which on a line's height tells its size: `on` is lower than `Rhythm`."""

_HYPHENS: Final = "-\u00ad\u2010\u00ac"
_SPACES: Final = re.compile(r"\s+")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_WORD_CUT: Final = re.compile(rf"[^\W\d_][{_HYPHENS}]$")
_SENTENCE_ENDS: Final = re.compile(r"[.!?:;]\W*$")
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
    return _glued(line.text, following.text)


def _glued(text: str, following: str) -> tuple[str, str]:
    """The same of two texts that follow each other in a sentence: `Wärme-` and `pumpe` are one word, `TK-` and `480`
    and `Ost-` and `West` keep their hyphen, `Ein-` and `und Ausgang` its space as well."""
    if not _WORD_CUT.search(text) or _CONJUNCTION.match(following):
        return text, " "
    if following[:1].islower():
        return text[:-1], ""
    return text, "" if following[:1].isalnum() else " "


def _is_row(line: Line) -> bool:
    return line.text.startswith("| ") and line.text.endswith(" |")


def _opens_table(lines: Sequence[Line], i: int) -> bool:
    return i == 0 or lines[i - 1].paragraph != lines[i].paragraph or not _is_row(lines[i - 1])


def _rule(row: Line) -> str:
    return "|" + " --- |" * (row.text.replace(r"\|", "").count("|") - 1)


# -- from found lines to reading order --------------------------------------------------------------------------------


def arranged(found: Sequence[Line]) -> tuple[Line, ...]:
    """The lines in reading order, their paragraphs numbered from 0: columns one after the other, what an engine found
    in pieces on one row as one line, rows of a table as one line each, in Markdown.

    The page is upright and straight. The order of `found` does not matter.
    """
    clean = [replace(line, text=_clean(line.text)) for line in found]
    lines = sorted((line for line in clean if line.text), key=lambda line: (line.box, line.text))
    paragraphs: list[list[Line]] = []
    for block in _blocks(lines):
        first, *others = _paragraphs(block)
        if paragraphs and _goes_on(paragraphs[-1][-1], first[0]):
            paragraphs[-1].extend(first)
        else:
            paragraphs.append(first)
        paragraphs.extend(others)
    return tuple(replace(line, paragraph=i) for i, paragraph in enumerate(paragraphs) for line in paragraph)


def _goes_on(above: Line, below: Line) -> bool:
    """Whether a sentence goes on at the head of the next column."""
    return not (_is_row(above) or _SENTENCE_ENDS.search(above.text)) and below.text[0].islower()


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", _SPACES.sub(" ", _UNPRINTABLE.sub(" ", text)).strip())


# -- columns of text --------------------------------------------------------------------------------------------------


def _blocks(lines: list[Line]) -> Iterator[list[Line]]:
    """Stretches of the page that are read as a whole, in order: its columns, and what runs across them."""
    gutter = _gutter(lines)
    if gutter is None:
        if lines:
            yield lines
        return
    for part in _regions(lines, gutter):
        if gutter.side(part[0]) == 0:
            yield part
            continue
        yield from _blocks([line for line in part if gutter.side(line) < 0])
        yield from _blocks([line for line in part if gutter.side(line) > 0])


@dataclass(frozen=True, slots=True)
class _Gutter:
    """What parts two columns of text, from top to bottom."""

    x: int
    width: int
    """By so much a line may run into it."""

    def side(self, line: Line) -> int:
        """-1 on the left, 1 on the right, 0 across it."""
        if line.box[2] <= self.x + self.width:
            return -1
        return 1 if line.box[0] >= self.x - self.width else 0


def _gutter(lines: list[Line]) -> _Gutter | None:
    """Where most lines have another one beside them, if both sides are prose; few lines may run across it."""
    if len(lines) < COLUMN_LINES:
        return None
    width = round(statistics.median(_height(line.box) for line in lines) / 2)
    choices = []
    for x in sorted({line.box[0] for line in lines}):
        gutter = _Gutter(x, width)
        left = [line for line in lines if gutter.side(line) < 0]
        right = [line for line in lines if gutter.side(line) > 0]
        beside = min(_beside(left, right), _beside(right, left))
        across = len(lines) - len(left) - len(right)
        if beside >= max(BESIDE, across):
            choices.append((across - beside, x, gutter, left, right))
    for _, _, gutter, left, right in sorted(choices, key=lambda choice: choice[:2])[:LIKELY_GUTTERS]:
        if _is_prose(left) and _is_prose(right):
            return gutter
    return None


def _is_prose(column: list[Line]) -> bool:
    """Whether half the text stands on long lines that are no table's."""
    long = every = 0
    for table, rows in _tables_and_prose(_rows(column)):
        for length in (len(row.line().text) for row in rows):
            every += length
            long += length if table is None and length >= PROSE else 0
    return long * 2 >= every


def _beside(some: list[Line], others: list[Line]) -> int:
    """How many of `some` lie between the uppermost and the lowest of `others`; their rows need not be level."""
    if not others:
        return 0
    _, top, _, bottom = _around([line.box for line in others])
    return sum(top <= _middle(line.box) <= bottom for line in some)


def _regions(lines: list[Line], gutter: _Gutter) -> Iterator[list[Line]]:
    """From top to bottom: lines beside the gutter, lines across it, and so on."""
    ordered = sorted(lines, key=lambda line: (_middle(line.box), line.box))
    for _, part in groupby(ordered, key=lambda line: gutter.side(line) == 0):
        yield list(part)


# -- rows of a block, its tables and paragraphs -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """Pieces side by side, from left to right."""

    pieces: tuple[Line, ...]

    @property
    def box(self) -> Box:
        return _around([piece.box for piece in self.pieces])

    def line(self) -> Line:
        return _one(self.pieces, " ".join(piece.text for piece in self.pieces))


def _paragraphs(block: list[Line]) -> Iterator[list[Line]]:
    """The block's paragraphs, from top to bottom; a table is one."""
    rows = _rows(block)
    usual = _Usual.of(rows)
    for table, some in _tables_and_prose(rows):
        if table is not None:
            yield _table_lines(some, table)
            continue
        part: list[Line] = []
        for line in (row.line() for row in some):
            if part and usual.parted(part[-1], line):
                yield part
                part = []
            part.append(line)
        if part:
            yield part


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual in a block, in pixels."""

    height: float
    """Of a line."""
    gap: float
    """Between two lines."""
    right: int
    """Where the longest line ends."""

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> "_Usual":
        boxes = [row.box for row in rows]
        gaps = [max(0, below[1] - above[3]) for above, below in pairwise(boxes)]
        height = statistics.median(map(_height, boxes))
        return cls(
            height=height,
            gap=min(statistics.median(gaps), height) if gaps else 0.0,
            right=max(box[2] for box in boxes),
        )

    def parted(self, above: Line, below: Line) -> bool:
        """Whether a paragraph ends between two lines: the space is wider than usual, the letters are of another size,
        or the line above ends although the next word had found room on it."""
        space = below.box[1] - above.box[3] - self.gap
        if _WORD_CUT.search(above.text) and below.text[0].islower() and space < self.height:
            return False
        if space > PARAGRAPH_GAP * self.height:
            return True
        small, large = sorted((_height(above.box), _height(below.box)))
        if large > OTHER_SIZE * small and min(len(above.text), len(below.text)) >= SIZED:
            return True
        return self.right - above.box[2] > _first_word(below) + self.height


def _rows(block: list[Line]) -> list[_Row]:
    rows: list[list[Line]] = []
    for line in sorted(block, key=lambda line: (_middle(line.box), line.box)):
        last = _around([piece.box for piece in rows[-1]]) if rows else None
        if last and _shared(last, line.box) > 0.5 and not any(_above(piece.box, line.box) for piece in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_Row(tuple(sorted(row, key=lambda line: line.box))) for row in rows]


def _one(pieces: Sequence[Line], text: str) -> Line:
    characters = sum(len(piece.text) for piece in pieces)
    confidence = sum(piece.confidence * len(piece.text) for piece in pieces) / characters
    return Line(text, _around([piece.box for piece in pieces]), round(confidence, 4))


def _first_word(line: Line) -> float:
    """About how wide the line's first word is."""
    return (line.box[2] - line.box[0]) * len(line.text.partition(" ")[0]) / len(line.text)


# -- tables -----------------------------------------------------------------------------------------------------------

Columns = list[tuple[int, int]]
"""From left to right the stretches that cells cover, space between them."""


def _tables_and_prose(rows: Sequence[_Row]) -> Iterator[tuple[Columns | None, Sequence[_Row]]]:
    """The rows in order: those of a table with its columns, the others without."""
    first = i = 0
    while i < len(rows):
        end, columns = _table(rows, i)
        if columns:
            yield None, rows[first:i]
            yield columns, rows[i:end]
            first = i = end
        else:
            i += 1
    yield None, rows[first:]


def _table(rows: Sequence[_Row], start: int) -> tuple[int, Columns]:
    """Where the table ends that begins with this row, and its columns; none where none begins.

    Its rows leave the same stripes free from top to bottom. A row with a single piece goes on with a cell.
    """
    columns = _columns(rows[start].pieces, [])
    end = start + 1
    while end < len(rows) and len(columns) > 1:
        row = rows[end]
        wider = _columns(row.pieces, columns)
        if len(wider) < (len(columns) if len(row.pieces) == 1 else 2):
            break
        if row.box[1] - rows[end - 1].box[3] > WIDE_GAP * _height(row.box):
            break
        columns = wider
        end += 1
    while end > start and len(rows[end - 1].pieces) == 1 and not _is_close(rows, end - 1):
        end -= 1
    columns = _supported(columns, rows[start:end])
    height = statistics.median(_height(row.box) for row in rows[start : end + 1])
    narrowest = min((right[0] - left[1] for left, right in pairwise(columns)), default=0)
    full = sum(len(row.pieces) > 1 for row in rows[start:end])
    enough = full >= LEAST_ROWS or (full > 1 and narrowest >= WIDE_GAP * height)
    return (end, columns) if enough and len(columns) > 1 else (start, [])


def _is_close(rows: Sequence[_Row], i: int) -> bool:
    """Whether the row is closer to the one above than that is to the one before it."""
    if _cut(rows[i - 1], rows[i]):
        return True
    return i >= 2 and _gap(rows[i - 1], rows[i]) < NEXT_LINE * _gap(rows[i - 2], rows[i - 1])


def _cut(above: _Row, below: _Row) -> bool:
    """Whether a cell's last word goes on in the row below."""
    return below.pieces[0].text[0].islower() and any(_WORD_CUT.search(piece.text) for piece in above.pieces)


def _gap(above: _Row, below: _Row) -> int:
    return below.box[1] - above.box[3]


def _columns(pieces: Sequence[Line], known: Columns) -> Columns:
    """What the known columns and these pieces cover together."""
    least = CELL_GAP / 2 * min(_height(piece.box) for piece in pieces)
    columns: Columns = []
    for left, right in sorted([*known, *((piece.box[0], piece.box[2]) for piece in pieces)]):
        if columns and left < columns[-1][1] + least:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _supported(columns: Columns, rows: Sequence[_Row]) -> Columns:
    """Without columns that a single row has: wide spaces between the words of the cell on their left."""
    kept: Columns = []
    for left, right in columns:
        having = sum(any(left <= piece.box[0] < right for piece in row.pieces) for row in rows)
        if kept and having == 1 and len(rows) >= LEAST_ROWS:
            kept[-1] = (kept[-1][0], right)
        else:
            kept.append((left, right))
    return kept


def _table_lines(rows: Sequence[_Row], columns: Columns) -> list[Line]:
    """A line a row, in Markdown, all with as many cells as the table has columns."""
    between = [_gap(above, below) for above, below in pairwise(rows) if len(below.pieces) >= len(columns)]
    usual = statistics.median(between) if between else 0
    whole: list[list[Line]] = [list(rows[0].pieces)]
    for above, below in pairwise(rows):
        close = _gap(above, below) < NEXT_LINE * usual
        if len(below.pieces) < len(columns) and (close or _cut(above, below)):
            whole[-1].extend(below.pieces)
        else:
            whole.append(list(below.pieces))
    return [_one(pieces, _markdown(pieces, columns)) for pieces in whole]


def _markdown(pieces: Sequence[Line], columns: Columns) -> str:
    cells = ["" for _ in columns]
    for piece in pieces:
        i = next(i for i, (_, right) in enumerate(columns) if piece.box[0] < right)
        text = piece.text.replace("|", r"\|")
        cells[i] = "".join((*_glued(cells[i], text), text)) if cells[i] else text
    return f"| {' | '.join(cells)} |"


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


def _above(one: Box, other: Box) -> bool:
    """Whether one lies above the other or below it, rather than beside it."""
    common = min(one[2], other[2]) - max(one[0], other[0])
    return common > 0.5 * min(one[2] - one[0], other[2] - other[0])
