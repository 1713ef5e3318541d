"""`make quality`: scores every engine and format on a corpus of known text, and writes docs/quality.md.

`python -m benchmarks.quality [engines] [pdf] [formats]`; all three without a name. Exit code 1 if a bar is missed.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from benchmarks.quality import measuring
from benchmarks.quality.measuring import Line

PAGE: Final = Path(__file__).parents[2] / "docs" / "quality.md"
TABLES: Final[Mapping[str, tuple[str, Callable[[], Iterator[Line]]]]] = {
    "engines": ("Recognition of pictures", measuring.of_engines),
    "pdf": ("PDFs with a text layer", measuring.of_pdfs),
    "formats": ("Other formats", measuring.of_formats),
}
HEAD: Final = """\
# Quality

<!-- Written by `make quality`. -->

How much of a document's text comes out, and in which order. The corpus is made from texts whose every word is known:
`benchmarks/quality/corpus.py` typesets them, converts them and scans them, the same on every run. A line is the mean
over its pages. Word F1 and table cells: 1 is best. Character errors and reading order errors: 0 is best;
`benchmarks/quality/scores.py` says how each is counted. Seconds are processor time of one core, a page.

"""
COLUMNS: Final = ("", "language", "", "pages", "word F1", "bar", "character errors", "table cells", "order errors", "s")


def main(names: Sequence[str]) -> int:
    console = Console(width=140)
    sections: list[str] = []
    missed = 0
    for name in names or TABLES:
        title, measure = TABLES[name]
        table = Table(*COLUMNS, title=title, box=None, header_style="dim")
        rows: list[tuple[str, ...]] = []
        with console.status(title):
            for line in measure():
                missed += not line.met
                rows.append(_row(line))
                table.add_row(*rows[-1], style=None if line.met else "red")
        console.print(table)
        sections.append(f"## {title}\n\n" + _markdown(rows))
    if not names:
        PAGE.write_text(HEAD + f"{machine()}. {datetime.now(UTC):%Y-%m-%d}.\n\n" + "\n".join(sections), "utf-8")
    return 1 if missed else 0


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.reader,
        line.language,
        line.kind,
        str(len(line.scores)),
        _number(line.mean("words"), 4),
        "" if line.bar is None else f"{line.bar:.2f} {'met' if line.met else 'missed'}",
        _number(line.mean("characters"), 4),
        _number(line.mean("cells"), 3),
        _number(line.mean("order"), 4),
        _number(line.mean("seconds"), 2),
    )


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head = ("reader", "language", "document", *COLUMNS[3:])
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
