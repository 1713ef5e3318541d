"""Words that stand on one line: pieces between wide gaps, rows of pieces, and what a row says."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from engines.extraction.pdf.words import Word

_WIDE: Final = 0.75
"""Of the type size: a wider gap may part columns. Justified text has such gaps too, but not one below the other."""
_RAISED: Final = 0.15
_SMALLER: Final = 0.85
_NUMBER: Final = re.compile(r"[(\[]?[-+0-9*\u2020\u2021,]{1,5}[)\]]?")
RAISED: Final = "\ue001"
"""On both sides of what is raised, until it is known what it is. No text of a page holds it."""


@dataclass(slots=True)
class Piece:
    """Words in a line, without a wide gap between them."""

    words: list[Word]
    left: float
    top: float
    right: float
    bottom: float
    baseline: float
    size: float
    """Of its largest word."""
    order: int
    """Of the word that is drawn first."""

    @property
    def letters(self) -> int:
        return sum(len(word.text) for word in self.words)


@dataclass(slots=True)
class Row:
    """Pieces side by side, from left to right."""

    pieces: list[Piece]
    left: float
    top: float
    right: float
    bottom: float
    baseline: float
    size: float

    @property
    def words(self) -> list[Word]:
        return [word for piece in self.pieces for word in piece.words]


def pieces(words: Sequence[Word]) -> list[Piece]:
    """In the order of drawing of their first words."""
    found: list[Piece] = []
    for word in words:
        if found and _continues(found[-1], word):
            _add(found[-1], word)
        else:
            found.append(_piece(word))
    return sorted(_merged(found), key=attrgetter("order"))


def _piece(word: Word) -> Piece:
    return Piece([word], word.left, word.top, word.right, word.bottom, word.baseline, word.size, word.order)


def _add(piece: Piece, word: Word) -> None:
    piece.words.append(word)
    if word.size > piece.size * 1.02:
        piece.size, piece.baseline, piece.top, piece.bottom = word.size, word.baseline, word.top, word.bottom
    piece.left, piece.right = min(piece.left, word.left), max(piece.right, word.right)


def _continues(piece: Piece, word: Word) -> bool:
    gap = word.left - piece.right
    return -0.3 * word.size < gap < _WIDE * max(piece.size, word.size) and level(piece, word)


def level(one: Piece | Word | Row, other: Piece | Word | Row) -> bool:
    """Do they stand on one line? Raised and lowered ones do."""
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap > 0.5 * min(one.size, other.size)


def _merged(found: list[Piece]) -> list[Piece]:
    """Pieces that touch on one line are one, however they were drawn."""
    by_line: dict[int, list[Piece]] = {}
    kept: list[Piece] = []
    for piece in sorted(found, key=lambda piece: (piece.left, piece.order)):
        line = int(piece.baseline // 8)
        near = [other for key in (line - 1, line, line + 1) for other in by_line.get(key, ())[-6:]]
        before = next(
            (
                other
                for other in near
                if -0.3 * piece.size < piece.left - other.right < _WIDE * max(piece.size, other.size)
                and level(other, piece)
            ),
            None,
        )
        if before is None:
            by_line.setdefault(line, []).append(piece)
            kept.append(piece)
            continue
        order = min(before.order, piece.order)
        for word in piece.words:
            _add(before, word)
        before.order = order
    return kept


def rows(found: Iterable[Piece]) -> list[Row]:
    """From top to bottom."""
    made: list[Row] = []
    for piece in sorted(found, key=lambda piece: (piece.baseline, piece.left)):
        row = next((row for row in reversed(made[-3:]) if level(row, piece) and _has_room(row, piece)), None)
        if row is None:
            made.append(Row([piece], piece.left, piece.top, piece.right, piece.bottom, piece.baseline, piece.size))
            continue
        row.pieces.append(piece)
        row.left, row.right = min(row.left, piece.left), max(row.right, piece.right)
        if piece.size > row.size * 1.02:
            row.size, row.baseline, row.top, row.bottom = piece.size, piece.baseline, piece.top, piece.bottom
    for row in made:
        row.pieces.sort(key=attrgetter("left"))
    return sorted(made, key=attrgetter("baseline"))


def _has_room(row: Row, piece: Piece) -> bool:
    """Nothing of the row is where the piece is."""
    return all(min(other.right, piece.right) - max(other.left, piece.left) < 0.5 * piece.size for other in row.pieces)


def text(words: Sequence[Word]) -> str:
    """Words of one line as text. A raised number stands between RAISED marks: it is a note's mark or an exponent.

    Words that touch are not parted, since then one of them is raised or set in another type.
    """
    if not words:
        return ""
    if from_right(words):
        words = sorted(words, key=lambda word: -word.right)
    size, baseline = _main(words)
    parts: list[str] = []
    before: Word | None = None
    for word in words:
        raised = word.size < _SMALLER * size and word.baseline < baseline - _RAISED * size
        if before is not None and not _touching(before, word, raised=raised):
            parts.append(" ")
        parts.append(f"{RAISED}{word.text}{RAISED}" if raised and _NUMBER.fullmatch(word.text) else word.text)
        before = word
    return "".join(parts)


def _main(words: Sequence[Word]) -> tuple[float, float]:
    """Size and baseline of most of the line's letters."""
    if len({(word.size, word.baseline) for word in words}) == 1:
        return words[0].size, words[0].baseline
    letters: Counter[tuple[float, float]] = Counter()
    for word in words:
        letters[round(word.size, 1), round(word.baseline, 1)] += len(word.text)
    return max(letters, key=lambda key: (letters[key], key))


def _touching(before: Word, word: Word, *, raised: bool) -> bool:
    gap = max(word.left - before.right, before.left - word.right)
    return (raised or not word.spaced) and gap < 0.2 * max(before.size, word.size)


def from_right(words: Sequence[Word]) -> bool:
    """Is it written from right to left, as most of its letters say?"""
    if all(max(word.text) < "\u0590" for word in words):
        return False
    letters = [ord(character) for word in words for character in word.text if character.isalpha()]
    return 2 * sum(0x590 <= letter <= 0x8FF or 0xFB1D <= letter <= 0xFEFC for letter in letters) > len(letters)
