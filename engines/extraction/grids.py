"""Sheets of cells: the tables in them are found by the rows and columns left empty between."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from engines.extraction.blocks import Block, Paragraph, Run, Table

Row = Mapping[int, Run]
"""What a row's cells show, by their columns; empty cells are absent."""
MOST_CELLS: Final = 500_000
"""Of one sheet, beyond which it is refused: no eye has been there, and it would take longer than a document may."""


@dataclass(frozen=True, slots=True)
class Numbered:
    number: int
    cells: Row


def tables(rows: Iterable[Numbered]) -> Iterator[Block]:
    """A table for each run of rows without a gap; lines that stand alone above one are paragraphs."""
    together: list[Row] = []
    last = 0
    for row in rows:
        if row.number != last + 1 and together:
            yield from _region(together)
            together = []
        if row.cells:
            together.append(row.cells)
            last = row.number
    if together:
        yield from _region(together)


def _region(rows: list[Row]) -> Iterator[Block]:
    alone = 0
    while alone < len(rows) and len(rows[alone]) == 1:
        yield Paragraph([*rows[alone].values()])
        alone += 1
    rows = rows[alone:]
    columns = sorted({column for row in rows for column in row})
    if rows:
        yield Table([[_cell(row.get(column)) for column in columns] for row in rows])


def _cell(run: Run | None) -> list[Block]:
    return [] if run is None else [Paragraph([run])]
