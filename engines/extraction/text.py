"""Readers of text formats: plain text, Markdown, and tables of comma-separated values."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from engines.extraction import ExtractedHeading
from engines.extraction.encodings import decode
from engines.extraction.reading import Piece, Reading, clean
from schemas.errors import Permanent

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_BLOCK: Final = re.compile(r"\s*(?:[-*+>|]|\d+[.)]\s|#|$)")
"""A line that begins a list, quote, table or heading: a row of dashes below it is a rule, not an underline."""
_CUT_WORD: Final = re.compile(
    r"(?<=[^\W\d_][a-zäöüß])-\n[ \t]*(?=[a-zäöüß]{2})(?!(?:und|oder|bzw|bis|sowie|noch|and|or|nor|to)\b)"
)
"""A hyphen at a line's end between small letters. `Ein- und` keeps its own."""
_CELL_LIMIT: Final = 1024 * 1024


def read_plain(data: bytes, media_type: str) -> Reading:
    return Reading([Piece(_uncut(clean(decode(data))))])


def _uncut(text: str) -> str:
    """Words that were cut at a line's end made whole."""
    if not _CUT_WORD.search(text):
        return text
    from engines.extraction.pdf.hyphens import Hyphens
    from engines.extraction.pdf.prose import HYPHEN

    return clean(Hyphens([text]).undone(_CUT_WORD.sub(HYPHEN, text)))


def read_markdown(data: bytes, media_type: str) -> Reading:
    piece = markdown(decode(data))
    first = piece.headings[0] if piece.headings else None
    return Reading([piece], title=piece.text[first.start : first.end] if first and first.level == 1 else None)


def markdown(source: str) -> Piece:
    """The source with its headings found and their markers dropped; all else stays as it was written."""
    written: list[str] = []
    headings: list[ExtractedHeading] = []
    length = 0
    fence: str | None = None
    previous = ""

    def write(line: str) -> None:
        nonlocal length
        written.append(line)
        length += len(line) + 1

    for line in clean(source).split("\n"):
        opening = _FENCE.match(line)
        heading = _HEADING.match(line) if fence is None else None
        underline = _UNDERLINE.match(line) if fence is None and not _BLOCK.match(previous) else None
        if heading is not None:
            name = (heading[2] or "").strip()
            if name:
                headings.append(ExtractedHeading(len(heading[1]), length, length + len(name)))
            write(name)
        elif underline is not None:
            start = length - len(previous) - 1
            level = 1 if underline[1][0] == "=" else 2
            headings.append(
                ExtractedHeading(level, start + len(previous) - len(previous.lstrip()), start + len(previous))
            )
        else:
            write(line)
            if opening is not None:
                fence = _after_fence(fence, opening[1])
        previous = line if fence is None and heading is None and underline is None else ""
    return Piece("\n".join(written), tuple(headings))


def _after_fence(open_fence: str | None, mark: str) -> str | None:
    """Which fence is open after a line that begins with `mark`."""
    if open_fence is None:
        return mark
    return None if mark.startswith(open_fence) else open_fence


def read_table(data: bytes, media_type: str) -> Reading:
    """A Markdown table. Raises Permanent `document.broken`."""
    source = clean(decode(data))
    first_line = source.partition("\n")[0]
    delimiter = max(",;\t|", key=first_line.count)
    try:
        previous_limit = csv.field_size_limit(_CELL_LIMIT)
        try:
            rows = [row for row in csv.reader(io.StringIO(source), delimiter=delimiter) if any(map(str.strip, row))]
        finally:
            csv.field_size_limit(previous_limit)
    except csv.Error:
        raise Permanent("document.broken", kind=media_type) from None
    return Reading([Piece("\n".join(markdown_rows(rows)))])


def markdown_rows(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """A line a row, the first being the head."""
    width = max(map(len, rows), default=0)
    for number, row in enumerate(rows):
        cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
        yield "| " + " | ".join(cells + [""] * (width - len(cells))) + " |"
        if number == 0:
            yield "| " + " | ".join(["---"] * width) + " |"
