"""A page's characters to its blocks, paragraphs and tables, in reading order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from engines.extraction.pdf import hidden, prose, rows, tables
from engines.extraction.pdf.order import Item, in_order
from engines.extraction.pdf.pdfium import Box, Content
from engines.extraction.pdf.prose import Paragraph
from engines.extraction.pdf.rows import Piece, Row
from engines.extraction.pdf.tables import Rule, Table
from engines.extraction.pdf.words import Word, shown, words

Block = Paragraph | Table
_EDGE_ROWS: Final = 2
_FAR: Final = 1.0
"""Of the type size, between boxes of a row and the next."""


@dataclass(slots=True)
class Page:
    number: int
    blocks: list[Block]
    unseen: list[Paragraph]
    """Hidden from readers of the page."""
    notes: list[Paragraph] = field(default_factory=list)
    """Footnotes, once they are told from the rest."""
    runs_on: bool = False
    """Its last paragraph goes on at the beginning of the next page."""


def lay_out(content: Content, number: int) -> Page:
    """Writing in the page's main direction first, then what is written sideways or askew."""
    seen, unseen = hidden.parted(words(content), content)
    blocks = [
        block
        for turn, found in _by_direction(seen)
        for block in _blocks(found, [shown(content, line, turn) for line in _ruled(content)])
    ]
    return Page(number, blocks, [paragraph for _, found in _by_direction(unseen) for paragraph in _plain(found)])


def _ruled(content: Content) -> Iterator[Box]:
    """Lines, and the upper and lower edges of colored bands."""
    yield from content.lines


def _by_direction(found: Sequence[Word]) -> list[tuple[int, list[Word]]]:
    letters: Counter[int] = Counter()
    for word in found:
        letters[word.turn] += len(word.text)
    turns = sorted(letters, key=lambda turn: (-letters[turn], turn))
    return [(turn, [word for word in found if word.turn == turn]) for turn in turns]


def _blocks(found: Sequence[Word], rules: Sequence[Rule]) -> Iterator[Block]:
    ruled, rest = tables.ruled(found, rules, prose.cell_text)
    pieces = rows.pieces(rest)
    head, body, foot = _edges(pieces, ruled)
    for region in [*head, *in_order([*body, *ruled]), *foot]:
        lines = rows.rows(item for item in region if isinstance(item, Piece))
        left, right = prose.edges(lines) if lines else (0.0, 0.0)
        placed: list[Row | Table] = [*lines, *(item for item in region if isinstance(item, Table))]
        placed.sort(key=lambda item: item.top)
        for group in _grouped(placed):
            if isinstance(group, Table):
                yield group
                continue
            for part in _grouped(tables.unruled(group, prose.cell_text)):
                if isinstance(part, Table):
                    yield part
                else:
                    yield from prose.paragraphs(part, left, right)


def _edges(pieces: Sequence[Piece], ruled: Sequence[Table]) -> tuple[list[list[Item]], list[Item], list[list[Item]]]:
    """(head, body, foot): rows far above or below all else are no part of the columns there."""
    lines = rows.rows(pieces)
    tops, bottoms = [table.top for table in ruled], [table.bottom for table in ruled]
    first, last = 0, len(lines)
    while first < min(last - 1, _EDGE_ROWS) and _is_far(
        lines[first], min([*tops, lines[first + 1].top]) - lines[first].bottom
    ):
        first += 1
    while last - 1 > max(first, len(lines) - 1 - _EDGE_ROWS) and _is_far(
        lines[last - 1], lines[last - 1].top - max([*bottoms, lines[last - 2].bottom])
    ):
        last -= 1
    body: list[Item] = [piece for row in lines[first:last] for piece in row.pieces]
    return [list(row.pieces) for row in lines[:first]], body, [list(row.pieces) for row in lines[last:]]


def _is_far(row: Row, gap: float) -> bool:
    return gap > _FAR * row.size


def _grouped(placed: Sequence[Row | Table]) -> Iterator[list[Row] | Table]:
    """Rows that no table parts."""
    group: list[Row] = []
    for item in placed:
        if isinstance(item, Row):
            group.append(item)
            continue
        if group:
            yield group
            group = []
        yield item
    if group:
        yield group


def _plain(found: Sequence[Word]) -> list[Paragraph]:
    lines = rows.rows(rows.pieces(found))
    return prose.paragraphs(lines, *prose.edges(lines)) if lines else []
