"""Tables: those that lines or bands of color rule, and those whose columns only stand below each other."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Final

from engines.extraction.pdf import rows as lines
from engines.extraction.pdf.rows import Piece, Row
from engines.extraction.pdf.words import Word

Rule = tuple[float, float, float, float]
"""Left, top, right, bottom, in points of the shown page."""
Joined = Callable[[Sequence[Sequence[Word]]], str]
"""How the lines of a cell become its text."""

_NEAR: Final = 3.0
"""Points: rules nearer than this are one, or touch."""
_SHORTEST: Final = 8.0
_MOST_RULES: Final = 600
_LONG_RUN: Final = 60
"""Rows that share columns and are no table: it is not asked again whether fewer of them are."""
_MOST_CROSSINGS: Final = 2_000_000
_MOST_CELLS: Final = 20_000


@dataclass(slots=True)
class Table:
    cells: list[list[str]]
    left: float
    top: float
    right: float
    bottom: float
    order: int

    @property
    def letters(self) -> int:
        return sum(len(cell) for row in self.cells for cell in row)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Ruled lines that touch: (place, start, end), merged and sorted."""

    across: list[tuple[float, float, float]]
    down: list[tuple[float, float, float]]


# -- ruled ------------------------------------------------------------------------------------------------------------


def ruled(words: Sequence[Word], rules: Iterable[Rule], joined: Joined) -> tuple[list[Table], list[Word]]:
    """Tables that lines rule, from top to bottom, and the words that lie in none."""
    across, down = _merged(rules)
    if not across or len(across) + len(down) > _MOST_RULES:
        return [], list(words)
    tables: list[Table] = []
    left = list(words)
    for group in _touching(across, down):
        grid = _grid(group, left, joined) if len(group.down) >= 2 else None
        if grid is not None:
            tables.append(grid[0])
            left = grid[1]
    used = [(table.top, table.bottom) for table in tables]
    free = [rule for rule in across if not any(top - _NEAR < rule[0] < bottom + _NEAR for top, bottom in used)]
    for band in _bands(free):
        made, left = _banded(band, left, joined)
        tables += made
    return sorted(tables, key=attrgetter("top")), left


def _merged(rules: Iterable[Rule]) -> tuple[list[tuple[float, float, float]], list[tuple[float, float, float]]]:
    across: list[tuple[float, float, float]] = []
    down: list[tuple[float, float, float]] = []
    for left, top, right, bottom in rules:
        if right - left >= _SHORTEST and right - left > bottom - top:
            across.append(((top + bottom) / 2, left, right))
        elif bottom - top >= 4:
            down.append(((left + right) / 2, top, bottom))
    return _one_line(across), _one_line(down)


def _one_line(found: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Those that go on in one line are one."""
    merged: list[tuple[float, float, float]] = []
    for place, start, end in sorted(found, key=lambda rule: (round(rule[0] / 1.5), rule[1], rule[2])):
        if merged and abs(merged[-1][0] - place) < 2 and start < merged[-1][2] + _NEAR:
            last = merged[-1]
            merged[-1] = (last[0], min(last[1], start), max(last[2], end))
        else:
            merged.append((place, start, end))
    return merged


def _touching(across: list[tuple[float, float, float]], down: list[tuple[float, float, float]]) -> list[_Lines]:
    """Groups of rules that meet."""
    parent = list(range(len(across) + len(down)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for i, (y, left, right) in enumerate(across):
        for j, (x, top, bottom) in enumerate(down, len(across)):
            if left - _NEAR <= x <= right + _NEAR and top - _NEAR <= y <= bottom + _NEAR:
                parent[root(i)] = root(j)
    groups: dict[int, _Lines] = {}
    for number in range(len(parent)):
        group = groups.setdefault(root(number), _Lines([], []))
        if number < len(across):
            group.across.append(across[number])
        else:
            group.down.append(down[number - len(across)])
    return [group for group in groups.values() if len(group.across) >= 2]


def _places(values: Iterable[float]) -> list[float]:
    places: list[float] = []
    for value in sorted(values):
        if not places or value - places[-1] > _NEAR:
            places.append(value)
    return places


def _grid(group: _Lines, words: Sequence[Word], joined: Joined) -> tuple[Table, list[Word]] | None:
    """Cells between rules in both directions. A rule that is missing between two cells makes them one."""
    ys = _places([y for y, _, _ in group.across] + [edge for _, *edges in group.down for edge in edges])
    xs = _places([x for x, _, _ in group.down] + [edge for _, *edges in group.across for edge in edges])
    height, width = len(ys) - 1, len(xs) - 1
    if height < 1 or width < 2 or height * width < 4 or height * width > _MOST_CELLS:
        return None
    inside: dict[tuple[int, int], list[Word]] = {}
    outside: list[Word] = []
    for word in words:
        x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
        column, row = bisect_right(xs, x) - 1, bisect_right(ys, y) - 1
        if 0 <= column < width and 0 <= row < height:
            inside.setdefault((row, column), []).append(word)
        else:
            outside.append(word)
    if not inside or _crossed(group, inside):
        return None
    cells = _cells_by_group(group, xs, ys, inside)
    filled = {key: joined([row.words for row in lines.rows(lines.pieces(found))]) for key, found in cells.items()}
    grid = [[filled.get((row, column), "") for column in range(width)] for row in range(height)]
    grid = _without_empty(grid)
    if len(grid) * max(map(len, grid), default=0) < 2 or len(grid[0]) < 2:
        return None
    if sum(bool(cell) for row in grid for cell in row) < 0.25 * len(grid) * len(grid[0]):
        return None
    order = min(word.order for found in inside.values() for word in found)
    return Table(grid, xs[0], ys[0], xs[-1], ys[-1], order), outside


def _crossed(group: _Lines, inside: dict[tuple[int, int], list[Word]]) -> bool:
    """Rules that run through words are a drawing's."""
    found = [word for cell in inside.values() for word in cell]
    if len(found) * len(group.down) > _MOST_CROSSINGS:
        return True
    hit = sum(
        any(
            word.left + 1.5 < x < word.right - 1.5 and top < (word.top + word.bottom) / 2 < bottom
            for x, top, bottom in group.down
        )
        for word in found
    )
    return hit > 0.1 * len(found)


def _cells_by_group(
    group: _Lines, xs: list[float], ys: list[float], inside: dict[tuple[int, int], list[Word]]
) -> dict[tuple[int, int], list[Word]]:
    """The words by the upper left cell of those that no rule parts."""
    first: dict[tuple[int, int], tuple[int, int]] = {}

    def start(row: int, column: int) -> tuple[int, int]:
        if (row, column) in first:
            return first[row, column]
        y, x = (ys[row] + ys[row + 1]) / 2, (xs[column] + xs[column + 1]) / 2
        key = (row, column)
        if column and not any(abs(at - xs[column]) <= _NEAR and top <= y <= end for at, top, end in group.down):
            key = start(row, column - 1)
        elif row and not any(abs(at - ys[row]) <= _NEAR and left <= x <= end for at, left, end in group.across):
            key = start(row - 1, column)
        first[row, column] = key
        return key

    cells: dict[tuple[int, int], list[Word]] = {}
    for row in range(len(ys) - 1):
        for column in range(len(xs) - 1):
            key = start(row, column)
            if (row, column) in inside:
                cells.setdefault(key, []).extend(inside[row, column])
    for found in cells.values():
        found.sort(key=attrgetter("order"))
    return cells


def _without_empty(grid: list[list[str]]) -> list[list[str]]:
    kept = [row for row in grid if any(row)]
    filled = [column for column in range(len(grid[0])) if any(row[column] for row in kept)]
    return [[row[column] for column in filled] for row in kept]


# -- ruled by horizontal lines or bands only --------------------------------------------------------------------------


def _bands(across: list[tuple[float, float, float]]) -> list[list[tuple[float, float, float]]]:
    """Three or more rules of one width below each other."""
    groups: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for y, left, right in sorted(across):
        key = next(
            (key for key in groups if abs(key[0] - left) < 2 * _NEAR and abs(key[1] - right) < 2 * _NEAR),
            (round(left), round(right)),
        )
        groups.setdefault(key, []).append((y, left, right))
    return [group for group in groups.values() if len(_places(y for y, _, _ in group)) >= 3]


def _banded(
    group: list[tuple[float, float, float]], words: Sequence[Word], joined: Joined
) -> tuple[list[Table], list[Word]]:
    """Tables whose rows lie between these rules, and the words of none."""
    ys = _places(y for y, _, _ in group)
    left, right = min(rule[1] for rule in group), max(rule[2] for rule in group)
    inside = [
        word
        for word in words
        if ys[0] < (word.top + word.bottom) / 2 < ys[-1] and left - 6 < (word.left + word.right) / 2 < right + 6
    ]
    bands: dict[int, list[Row]] = {}
    for row in lines.rows(lines.pieces(inside)):
        bands.setdefault(bisect_right(ys, (row.top + row.bottom) / 2), []).append(row)
    tables = [
        _band_table(found, left, right, joined)
        for found in _tabular([bands[key] for key in sorted(bands)], right - left)
    ]
    taken = {id(word) for _, used in tables for word in used}
    return [table for table, _ in tables], [word for word in words if id(word) not in taken]


def _tabular(bands: Sequence[list[Row]], width: float) -> Iterator[list[list[Row]]]:
    """Bands in a row that have columns; one line without any may stand between them, as a heading of rows."""
    found: list[list[Row]] = []
    for band in bands:
        prose = any(len(row.pieces) == 1 and row.right - row.left > 0.7 * width for row in band)
        if (any(len(row.pieces) > 1 for row in band) and not prose) or (found and len(band) == 1):
            found.append(band)
            continue
        yield from _ended(found)
        found = []
    yield from _ended(found)


def _ended(found: list[list[Row]]) -> Iterator[list[list[Row]]]:
    while found and all(len(row.pieces) == 1 for row in found[-1]):
        found = found[:-1]
    rows = [row for band in found for row in band]
    columns = _columns(rows)
    if len(rows) >= 2 and len(columns) >= 2 and _is_table(rows, columns):
        yield found


def _band_table(bands: list[list[Row]], left: float, right: float, joined: Joined) -> tuple[Table, list[Word]]:
    found = [row for band in bands for row in band]
    columns = _columns(found)
    if len(bands) >= 4 or len(found) == len(bands):  # a rule below each row
        grid = [_row_cells(band, columns, joined) for band in bands]
    else:
        grid = [cells for band in bands for cells in _text_rows(band, columns, joined)]
    used = [word for row in found for word in row.words]
    order = min(word.order for word in used)
    return Table(grid, left, found[0].top, right, found[-1].bottom, order), used


# -- unruled ----------------------------------------------------------------------------------------------------------


def unruled(found: Sequence[Row], joined: Joined) -> list[Row | Table]:
    """The rows, with those replaced that make a table: three rows of two columns, or two of more."""
    made: list[Row | Table] = []
    number = 0
    while number < len(found):
        end, columns = _run(found, number)
        if columns:
            made.append(_table(found[number:end], columns, joined))
            number = end
        else:
            next_number = end if end - number > _LONG_RUN else number + 1
            made += found[number:next_number]
            number = next_number
    return made


def _run(found: Sequence[Row], start: int) -> tuple[int, list[tuple[float, float]]]:
    """How far the rows from `start` on share columns, and which; none if they are no table."""
    if len(found[start].pieces) < 2:
        return start, []
    columns = _columns([found[start]])
    end, full = start + 1, 1
    while end < len(found):
        row = found[end]
        if row.top - found[end - 1].bottom > 1.6 * row.size:
            break
        if len(row.pieces) == 1:
            if not _is_within(row.pieces[0], columns) or row.left < columns[0][1]:
                break
            end += 1
            continue
        wider = _union([*columns, *((piece.left, piece.right) for piece in row.pieces)])
        if len(wider) < 2 or len(wider) < len(columns) - 1:
            break
        columns = wider
        end, full = end + 1, full + 1
    while end > start and len(found[end - 1].pieces) == 1:
        end -= 1
    if full < (3 if len(columns) == 2 else 2) or not _is_table(found[start:end], columns):
        return end, []
    return end, columns


def _is_table(found: Sequence[Row], columns: list[tuple[float, float]]) -> bool:
    full = [row for row in found if len(row.pieces) > 1]
    leaders = sum(
        "...." in piece.words[-1].text or ". . . ." in lines.text(piece.words) for row in full for piece in row.pieces
    )
    if leaders >= 0.3 * len(full):
        return False  # a table of contents
    if len(columns) == 2:
        marks = sum(is_marker(lines.text(row.pieces[0].words)) for row in full)
        if marks >= 0.5 * len(full):
            return False  # a list
        firsts = [piece for row in full for piece in row.pieces[:1]]
        if sum(len(piece.words) for piece in firsts) > 7 * len(firsts):
            return False  # prose side by side
    return True


def is_marker(text: str) -> bool:
    """A list's bullet, or its number: `1.`, `(2)`, `b)`, `2.1`."""
    bare = text.strip("().:[]")
    return len(text) <= 6 and (not any(map(str.isalnum, text)) or bare.replace(".", "").isdigit() or len(bare) == 1)


def _columns(found: Sequence[Row]) -> list[tuple[float, float]]:
    """Where the rows' pieces stand, once those that stand above each other are one."""
    return _union((piece.left, piece.right) for row in found if len(row.pieces) > 1 for piece in row.pieces)


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    columns: list[tuple[float, float]] = []
    for left, right in sorted(spans):
        if columns and left < columns[-1][1] + 2:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _is_within(piece: Piece, columns: Sequence[tuple[float, float]]) -> bool:
    return any(left - 4 <= piece.left and piece.right <= right + 40 for left, right in columns) and not any(
        piece.left < before[1] and piece.right > after[0] for before, after in pairwise(columns)
    )


def _column(columns: Sequence[tuple[float, float]], piece: Piece) -> int:
    """That which it shares most with."""
    return max(
        range(len(columns)),
        key=lambda number: min(piece.right, columns[number][1]) - max(piece.left, columns[number][0]),
        default=0,
    )


def _row_cells(band: Sequence[Row], columns: Sequence[tuple[float, float]], joined: Joined) -> list[str]:
    cells: list[list[list[Word]]] = [[] for _ in columns]
    for row in band:
        for piece in row.pieces:
            cells[_column(columns, piece)].append(piece.words)
    return [joined(cell) for cell in cells]


def _text_rows(found: Sequence[Row], columns: Sequence[tuple[float, float]], joined: Joined) -> list[list[str]]:
    """A row of the table for each row of text, but for those that only go on with a cell of the one above."""
    bands: list[list[Row]] = []
    pitches = sorted(after.baseline - before.baseline for before, after in pairwise(found))
    usual = pitches[len(pitches) // 2] if pitches else 0.0
    for row in found:
        goes_on = bands and len(row.pieces) == 1 and _column(columns, row.pieces[0]) > 0
        near = bands and row.baseline - bands[-1][-1].baseline < 0.8 * usual and _column(columns, row.pieces[0]) > 0
        if goes_on or near:
            bands[-1].append(row)
        else:
            bands.append([row])
    return [_row_cells(band, columns, joined) for band in bands]


def _table(found: Sequence[Row], columns: list[tuple[float, float]], joined: Joined) -> Table:
    return Table(
        _text_rows(found, columns, joined),
        min(row.left for row in found),
        found[0].top,
        max(row.right for row in found),
        found[-1].bottom,
        min(piece.order for row in found for piece in row.pieces),
    )
