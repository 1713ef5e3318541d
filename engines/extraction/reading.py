"""What a reader hands back, and how its pieces become one text with offsets."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engines.extraction import Extracted, ExtractedHeading, ExtractedMark, ExtractedPage, kreuzberg
from schemas.errors import Permanent

SEPARATOR: Final = "\n\n"
_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\ufeff\ufffe\uffff\ud800-\udfff]")
"""Control characters, soft hyphens, byte order marks and what UTF-8 cannot hold: nobody searches for these."""
_LONG_GAP: Final = re.compile(r"\s{128,}")
"""More white space than any layout needs. What follows may rely on gaps being short."""
_TAGS: Final = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,6}\U000e007f|([\U000e0020-\U000e007f]+)")
"""A flag, such as Scotland's; or tag characters for nothing."""
_TRAILING: Final = re.compile(r"[ \t]+(?=\n)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A page, a slide, or a whole document that has no pages. `headings` and `marks` are offsets into `text`, which is
    clean."""

    text: str
    headings: tuple[ExtractedHeading, ...] = ()
    page: int | None = None
    marks: tuple[ExtractedMark, ...] = ()
    confidence: float | None = None
    """Of a recognised page."""
    runs_on: bool = False
    """It ends within a sentence, which the next piece goes on with: one blank stands between them."""


@dataclass(frozen=True, slots=True)
class Reading:
    pieces: Sequence[Piece]
    title: str | None = None
    date: str | None = None
    """`2026-01-31`."""


def clean(text: str) -> str:
    """NFC, '\\n' line ends, nothing unprintable, no spaces before a line's end, no gap of 128 or more spaces."""
    printable = _UNPRINTABLE.sub("", _LINE_ENDS.sub("\n", text))
    short = _LONG_GAP.sub(lambda gap: "\n\n" if "\n" in gap[0] else " ", printable)
    return unicodedata.normalize("NFC", _TRAILING.sub("", short))


def compose(reading: Reading) -> Extracted:
    """Joins the pieces, a blank line between them, or one blank where a piece runs on. Raises Permanent
    `document.no-text` if there is nothing but space.

    A page runs from its first character to the next page's first, so that the pages cover the text.
    """
    starts: list[int] = []
    parts: list[str] = []
    length = 0
    for piece in reading.pieces:
        starts.append(length)
        parts += (piece.text, " " if piece.runs_on else SEPARATOR)
        length += len(piece.text) + len(parts[-1])
    text = "".join(parts[:-1])
    if not text.strip():
        raise Permanent("document.no-text")
    ends = [*starts[1:], len(text)]
    return Extracted(
        text=text,
        pages=tuple(
            ExtractedPage(piece.page, start, end, piece.confidence)
            for piece, start, end in zip(reading.pieces, starts, ends, strict=True)
            if piece.page is not None
        ),
        headings=tuple(
            ExtractedHeading(heading.level, start + heading.start, start + heading.end)
            for piece, start in zip(reading.pieces, starts, strict=True)
            for heading in piece.headings
        ),
        title=(clean(reading.title).strip() or None) if reading.title else None,
        language=kreuzberg.language(text),
        date=reading.date,
        marks=_with_tags(
            text,
            [
                ExtractedMark(mark.kind, start + mark.start, start + mark.end)
                for piece, start in zip(reading.pieces, starts, strict=True)
                for mark in piece.marks
            ],
        ),
    )


def _with_tags(text: str, marks: Sequence[ExtractedMark]) -> tuple[ExtractedMark, ...]:
    """The marks, and where no hidden one covers them, one for each run of Unicode's tag characters: letters that no
    font shows, and that a machine reads all the same. A flag's are shown, as the flag."""
    ends = {mark.start: mark.end for mark in marks if mark.kind == "hidden"}
    starts = sorted(ends)

    def covered(start: int) -> bool:
        place = bisect_right(starts, start)
        return place > 0 and ends[starts[place - 1]] > start

    tags = [
        ExtractedMark("hidden", *found.span(1))
        for found in _TAGS.finditer(text)
        if found[1] and not covered(found.start(1))
    ]
    return tuple(sorted((*marks, *tags), key=lambda mark: mark.start)) if tags else tuple(marks)
