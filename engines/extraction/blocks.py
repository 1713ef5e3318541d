"""What rich formats are made of, and how it becomes one text: headings, paragraphs, list items, tables, notes.

A reader of a format turns its file into blocks; `write` turns blocks into a Piece. So every format's lists and tables
look alike, and offsets are counted in one place.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Final

from engines.extraction import ExtractedHeading, ExtractedMark
from engines.extraction.reading import SEPARATOR, Piece, clean

_SPACES: Final = re.compile(r"[^\S\n]+")
_SIMPLE: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
_AROUND_LINE_END: Final = re.compile(r" ?\n ?")
_LONGEST_HEADING: Final = 500
"""Characters. What is longer and styled as a heading is a paragraph."""
_ACCENTS: Final = 8
"""A letter with all of its accents, in code points."""
_DEEPEST_HEADING: Final = 6
_DEEPEST_LIST: Final = 12


@dataclass(frozen=True, slots=True)
class Run:
    """Text that is seen, or not seen, as a whole."""

    text: str
    hidden: bool = False


Runs = Sequence[Run]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    runs: Runs


@dataclass(frozen=True, slots=True)
class Paragraph:
    """White space in it means nothing but a space; '\\n' is a line break."""

    runs: Runs


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Lines that keep their white space."""

    runs: Runs


@dataclass(frozen=True, slots=True)
class Item:
    runs: Runs
    depth: int = 0
    marker: str = "-"
    """`-`, or the number as the list writes it: `3.`, `b)`. Empty for a further paragraph of the item above."""


@dataclass(frozen=True, slots=True)
class Note:
    """A footnote. It is written after the paragraph, list or table that refers to it."""

    label: str
    runs: Runs


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; a cell holds blocks. The first row is the head."""

    rows: "Sequence[Sequence[Sequence[Block]]]"


Block = Heading | Paragraph | Verbatim | Item | Note | Table


def hidden(blocks: Iterable[Block]) -> list[Block]:
    """The same, seen by nobody."""
    return [_hidden(block) for block in blocks]


def _hidden(block: Block) -> Block:
    if isinstance(block, Table):
        return Table([[hidden(cell) for cell in row] for row in block.rows])
    return replace(block, runs=[Run(run.text, hidden=True) for run in block.runs])


def write(blocks: Iterable[Block], *, page: int | None = None) -> Piece:
    """A blank line between blocks, none between a list's items or a table's rows."""
    writer = _Writer()
    for block in _flat(blocks):
        writer.write(block)
    return writer.piece(page)


# -- before writing: tables that only lay out, and notes out of cells -------------------------------------------------


def _flat(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Table):
            yield from _of_table(block)
        else:
            yield block


def _of_table(table: Table) -> Iterator[Block]:
    """The table itself, then the notes in it. One that serves to lay out a page gives its cells' blocks in order."""
    rows = [row for row in table.rows if any(map(_has_text, row))]
    if _lays_out(rows):
        for row in rows:
            for cell in row:
                yield from _flat(cell)
        return
    yield Table(rows)
    for row in rows:
        for cell in row:
            yield from (block for block in cell if isinstance(block, Note))


def _has_text(cell: Sequence[Block]) -> bool:
    return any(_says_something(block) for block in cell)


def _says_something(block: Block) -> bool:
    if isinstance(block, Table):
        return any(_has_text(cell) for row in block.rows for cell in row)
    return any(run.text.strip() for run in block.runs)


def _lays_out(rows: Sequence[Sequence[Sequence[Block]]]) -> bool:
    """A single cell, or cells that hold what a cell of data does not: tables, headings, many paragraphs."""
    cells = [cell for row in rows for cell in row]
    if len(cells) <= 1 or (max(map(len, rows)) == 1 and any(len(cell) > 1 for cell in cells)):
        return True
    if any(isinstance(block, Table | Heading) for cell in cells for block in cell):
        return True
    return len(rows) == 1 and max(map(len, cells)) > 3


# -- runs -------------------------------------------------------------------------------------------------------------


def inline(runs: Runs) -> list[Run]:
    """The runs with single spaces, clean, none empty, neighbours unlike; no space at either end of the whole."""
    if len(runs) == 1 and _SIMPLE.fullmatch(runs[0].text):
        return [*runs]  # most are: this spares a large table most of its time
    joined: list[Run] = []
    last = "\n"
    for run in _together(runs):
        text = _AROUND_LINE_END.sub("\n", _SPACES.sub(" ", clean(run.text)))
        if last in " \n":
            text = text.lstrip(" ") if last == " " else text.lstrip()
        if text.startswith("\n") and last == " ":
            joined[-1] = Run(joined[-1].text.rstrip(" "), joined[-1].hidden)
        if not text:
            continue
        last = text[-1]
        _append(joined, Run(text, run.hidden))
    while joined:
        text = joined[-1].text.rstrip()
        if text:
            joined[-1] = Run(text, joined[-1].hidden)
            break
        joined.pop()
    return [run for run in joined if run.text]


def _together(runs: Runs) -> Iterator[Run]:
    """Neighbours that are alike as one run: joining them one by one would copy a long text again and again."""
    for is_hidden, alike in groupby(runs, key=attrgetter("hidden")):
        yield Run("".join(run.text for run in alike), is_hidden)


def _append(joined: list[Run], run: Run) -> None:
    """Adds a run; a letter and its accent in two runs become one letter, in the later run."""
    text = run.text
    while joined and not unicodedata.is_normalized("NFC", joined[-1].text[-_ACCENTS:] + text[:_ACCENTS]):
        before = joined.pop()
        text = unicodedata.normalize("NFC", before.text[-1:] + text)
        if before.text[:-1]:
            joined.append(Run(before.text[:-1], before.hidden))
    if joined and joined[-1].hidden == run.hidden:
        joined[-1] = Run(joined[-1].text + text, run.hidden)
    else:
        joined.append(Run(text, run.hidden))


def one_line(runs: Runs) -> list[Run]:
    return inline([Run(run.text.replace("\n", " "), run.hidden) for run in runs])


def text_of(runs: Runs) -> str:
    return "".join(run.text for run in runs)


def joined(parts: Iterable[Runs], separator: str = " ") -> list[Run]:
    """The parts, with the separator between."""
    runs: list[Run] = []
    for part in parts:
        if not part:
            continue
        if runs:
            runs.append(Run(separator, runs[-1].hidden and part[0].hidden))
        runs += part
    return runs


def _cell(blocks: Sequence[Block]) -> list[Run]:
    """A cell's blocks on one line."""
    parts = [
        one_line(joined([[Run(block.marker + " ")], block.runs]) if isinstance(block, Item) else block.runs)
        for block in blocks
        if not isinstance(block, Note | Table)
    ]
    return [Run(run.text.replace("|", "\\|"), run.hidden) for run in joined(parts)]


# -- writing ----------------------------------------------------------------------------------------------------------


class _Writer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[ExtractedHeading] = []
        self._marks: list[ExtractedMark] = []
        self._notes: list[Note] = []
        self._in_list = False

    def write(self, block: Block) -> None:
        if isinstance(block, Note):
            self._notes.append(block)
            return
        if isinstance(block, Item):
            self._item(block)
            return
        self._end_list()
        if isinstance(block, Heading):
            self._heading(block)
        elif isinstance(block, Table):
            self._table(block)
        elif isinstance(block, Verbatim):
            self._verbatim(block)
        else:
            self._block(inline(block.runs))

    def piece(self, page: int | None) -> Piece:
        self._end_list()
        self._write_notes()
        return Piece("".join(self._parts), tuple(self._headings), page, tuple(self._marks))

    # -- one kind of block each ---------------------------------------------------------------------------------------

    def _heading(self, heading: Heading) -> None:
        runs = one_line(heading.runs)
        length = len(text_of(runs))
        self._block(runs)
        if 0 < length <= _LONGEST_HEADING:
            level = min(max(heading.level, 1), _DEEPEST_HEADING)
            self._headings.append(ExtractedHeading(level, self._length - length, self._length))

    def _item(self, item: Item) -> None:
        runs = inline(item.runs)
        if not runs:
            return
        indent = "  " * min(item.depth, _DEEPEST_LIST)
        lead = indent + (item.marker + " " if item.marker else "  ")
        below = "\n" + indent + " " * (len(item.marker) + 1 if item.marker else 2)
        if self._in_list:
            self._put("\n")
        else:
            self._begin()
        self._put(lead)
        self._runs([Run(run.text.replace("\n", below), run.hidden) for run in runs])
        self._in_list = True

    def _table(self, table: Table) -> None:
        rows = [[_cell(cell) for cell in row] for row in table.rows]
        width = max(map(len, rows), default=0)
        if not width:
            return
        self._begin()
        for number, row in enumerate(rows):
            self._put("\n| " if number else "| ")
            for place, cell in enumerate([*row, *[[]] * (width - len(row))]):
                self._put(" | " if place else "")
                self._runs(cell)
            self._put(" |")
            if number == 0:
                self._put("\n|" + " --- |" * width)

    def _verbatim(self, block: Verbatim) -> None:
        runs: list[Run] = []
        for run in _together(block.runs):
            if text := clean(run.text):
                _append(runs, Run(text, run.hidden))
        if not text_of(runs).strip():
            return
        runs[0] = Run(runs[0].text.lstrip("\n"), runs[0].hidden)
        runs[-1] = Run(runs[-1].text.rstrip(), runs[-1].hidden)
        whole = clean(text_of(runs))
        if len(runs) > 1 and whole != text_of(
            runs
        ):  # white space across runs was shortened: the whole is hidden, or not
            runs = [Run(whole, any(run.hidden for run in runs))]
        self._block([run for run in runs if run.text])

    # -- how it is put down -------------------------------------------------------------------------------------------

    def _block(self, runs: Runs) -> None:
        """A block with no markup of its own, then the notes that it has called for."""
        if runs:
            self._begin()
            self._runs(runs)

    def _begin(self) -> None:
        self._write_notes()
        if self._length:
            self._put(SEPARATOR)

    def _end_list(self) -> None:
        self._in_list = False

    def _write_notes(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            if runs := one_line(note.runs):
                if self._length:
                    self._put(SEPARATOR)
                self._put(f"[{note.label}] ")
                self._runs(runs)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _runs(self, runs: Runs) -> None:
        for run in runs:
            start = self._length
            self._put(run.text)
            if run.hidden and run.text.strip():
                self._mark(start, self._length)

    def _mark(self, start: int, end: int) -> None:
        """Marks that only white space or a table's bars part are one."""
        if self._marks and not self._between(self._marks[-1].end, start):
            start = self._marks.pop().start
        self._marks.append(ExtractedMark("hidden", start, end))

    def _between(self, end: int, start: int) -> str:
        """What stands there besides white space and bars; short stretches alone are looked at."""
        if start - end > 8:
            return "far"
        tail = "".join(self._parts[-12:])
        offset = self._length - len(tail)
        return tail[end - offset : start - offset].strip(" \n|-") if end >= offset else "far"
