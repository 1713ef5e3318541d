"""Characters to words, each in the upright frame of its page, as it is shown."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.extraction.pdf.pdfium import Box, Content, Run

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

UPRIGHT: Final = 0
ASKEW: Final = -1
"""What is written neither across nor straight up or down: a watermark."""
_APART: Final = 0.22
"""Of the type size: a wider gap parts words. TeX's narrowest space is 0.2 em wide."""
_SPACED: Final = 0.08
"""The same, where a space was drawn, or PDFium took the gap for one."""
_DOUBLED: Final = 0.12
"""Of the type size: the same word nearer than this is the same word."""
_OVERLAP: Final = 1.2
"""Of the type size: a character that begins so far before the end of the one before it is on another line."""
_LEVEL: Final = 0.12
"""Of the type size: a letter that is raised by more is a word of its own, for now."""
_ASCENT: Final = 0.8
_DESCENT: Final = 0.2
"""Of the type size, above and below the baseline: fonts' own numbers are not to be trusted."""
_BULLETS: Final = dict.fromkeys(
    (0xF0B7, 0xF0A7, 0xF0A8, 0xF0D8, 0xF0FC, 0xF076, 0xF0E0, 0xF071, 0xF06C, 0xF06E, 0xF02D, 0xF0D2, 0xE00A), "\u2022"
)
"""Wingdings and Symbol, as word processors write them before list items."""
_LETTERS: Final = {
    0x02: "-", 0xFFFE: "-", 0x2010: "-", 0x2011: "-", 0xAD: "\u00ad",
    0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st",
    **_BULLETS,
}  # fmt: skip
"""PDFium gives a hyphen at a line's end as U+0002 or U+FFFE. Ligatures are their letters."""
_FIRST_FROM_RIGHT: Final = 0x590
_LAST_FROM_RIGHT: Final = 0x8FF
_LINE_END_HYPHENS: Final = (0x02, 0xFFFE)
_SPACES: Final = frozenset((0x09, 0x0A, 0x0D, 0x20, 0xA0, 0x3000, *range(0x2000, 0x200C), 0x202F, 0x205F))
_SIDEWAYS: Final = 0.97
"""Cosine: what is turned by up to 14 degrees is a crooked scan's, not askew."""


@dataclass(slots=True)
class Word:
    """Its box is in points of the shown page, y downwards from the upper edge. A word of another direction is in the
    frame in which it reads across."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    baseline: float
    size: float
    run: Run
    turn: int
    """Quarter turns clockwise in which it is written, 0 to 3, or ASKEW."""
    order: int
    """Its place in the order of drawing."""
    spaced: bool
    """White space was drawn before it."""


def words(content: Content) -> list[Word]:
    """In the order in which they are drawn. Characters that are none (controls, private use, U+FFFD) are left out, and
    words that are drawn again over themselves, to look bold."""
    return list(_once(_built(content)))


def _once(found: Iterable[Word]) -> Iterator[Word]:
    drawn: dict[str, list[Word]] = {}
    for word in found:
        same = drawn.setdefault(word.text, [])
        near = _DOUBLED * word.size
        if not any(abs(word.left - o.left) < near and abs(word.baseline - o.baseline) < near for o in same[-40:]):
            same.append(word)
            yield word


def shown_size(content: Content) -> tuple[float, float]:
    """Width and height in points."""
    width, height = content.box.right - content.box.left, content.box.top - content.box.bottom
    return (height, width) if content.rotation in (90, 270) else (width, height)


def shown(content: Content, box: Box, turn: int = UPRIGHT) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, y downwards, of a box in the page's own space, in the frame of a direction."""
    one, other = upright(content, turn, box.left, box.top), upright(content, turn, box.right, box.bottom)
    return min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1])


def upright(content: Content, turn: int, x: float, y: float) -> tuple[float, float]:
    """A point of the page's own space in the frame of a direction."""
    x, y = _turned(content, x, y)
    width, height = shown_size(content)
    if turn == 1:  # it reads downwards
        return y, width - x
    if turn == 2:
        return width - x, height - y
    if turn == 3:
        return height - y, x
    return x, y


def _turned(content: Content, x: float, y: float) -> tuple[float, float]:
    box = content.box
    if content.rotation == 90:
        return y - box.bottom, x - box.left
    if content.rotation == 180:
        return box.right - x, y - box.bottom
    if content.rotation == 270:
        return box.top - y, box.right - x
    return x - box.left, box.top - y


def _turn(content: Content, run: Run) -> int:
    x, y = run.across
    shown_x, shown_y = {0: (x, -y), 90: (y, x), 180: (-x, y), 270: (-y, -x)}[content.rotation]
    for turn, (ahead, down) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        if shown_x * ahead + shown_y * down > _SIDEWAYS:
            return turn
    return ASKEW


def _built(content: Content) -> Iterator[Word]:
    """All characters of a page at once, in arrays: they are many, and words few."""
    placed = _placed(content)
    if placed is None:
        return
    begins = np.flatnonzero(_begin_words(placed))
    ends = [*begins[1:].tolist(), len(placed.texts)]
    lefts = np.minimum.reduceat(placed.left, begins).tolist()
    rights = np.maximum.reduceat(placed.right, begins).tolist()
    largest = np.maximum.reduceat(placed.size, begins)
    mixed = (largest > placed.size[begins] * 1.05).tolist()
    for order, (begin, end, left, right) in enumerate(zip(begins.tolist(), ends, lefts, rights, strict=True)):
        # a word is as large as its largest letters
        main = begin + int(np.argmax(placed.size[begin:end])) if mixed[order] else begin
        size, baseline = float(placed.size[main]), float(placed.baseline[main])
        yield Word(
            "".join(placed.texts[begin:end]),
            left,
            baseline - _ASCENT * size,
            right,
            baseline + _DESCENT * size,
            baseline,
            size,
            content.runs[placed.run[main]],
            int(placed.turn[begin]),
            order,
            bool(placed.after_space[begin] or placed.after_gap[begin]),
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A page's characters in the order of drawing, white space left out. Arrays of one length."""

    texts: list[str]
    left: Floats
    right: Floats
    size: Floats
    baseline: Floats
    run: Integers
    turn: Integers
    look: Integers
    """A number for each color and opacity."""
    after_space: Flags
    after_gap: Flags
    """After white space that PDFium made up."""
    from_right: Flags
    """Of a script that is written from right to left."""


def _placed(content: Content) -> _Placed | None:
    """None for a page without characters."""
    texts = _Texts()
    found = [texts[code] for code in content.codes]
    run = np.full(len(found), -1)
    for number, one in enumerate(content.runs):
        run[one.start : one.end] = number
    spaces = np.array([text == "" for text in found], bool) & (run >= 0)
    kept = np.flatnonzero(np.array([bool(text) for text in found], bool) & (run >= 0))
    if not len(kept):
        return None
    frames = [_frame(content, one) for one in content.runs]
    columns = [np.array(column) for column in zip(*frames, strict=True)]
    looks: dict[object, int] = {}
    look = np.array([looks.setdefault((one.color, one.opacity, one.invisible), len(looks)) for one in content.runs])
    turn, size, baseline, first, second, sign, start = (column[run[kept]] for column in columns)
    boxes = content.boxes[kept]
    drawn_raised = np.isin(kept, list(content.raised))
    baseline = np.where(drawn_raised, baseline - 0.35 * size, baseline)
    size = np.where(drawn_raised, 0.65 * size, size)
    every = np.arange(len(kept))
    codes = np.array(content.codes)[kept]
    return _Placed(
        [found[index] or "" for index in kept.tolist()],
        boxes[every, first] * sign + start,
        boxes[every, second] * sign + start,
        size,
        baseline,
        run[kept],
        turn,
        look[run[kept]],
        _stepped(spaces, kept),
        _stepped(run < 0, kept),
        (codes >= _FIRST_FROM_RIGHT) & (codes <= _LAST_FROM_RIGHT),
    )


def _stepped(flags: Flags, kept: Integers) -> Flags:
    """Before which of the kept characters, and after the kept one before it, a flag is set."""
    counts = np.cumsum(flags)[kept]
    stepped: Flags = np.diff(counts, prepend=-1) != 0
    return stepped


def _frame(content: Content, run: Run) -> tuple[int, float, float, int, int, float, float]:
    """(turn, size, baseline, and which numbers of its boxes are left and right, times what, plus what)"""
    turn = _turn(content, run)
    start, across, up = (upright(content, turn, x, y)[0] for x, y in ((0, 0), (1, 0), (0, 1)))
    along_x = abs(across - start) > 0.5  # of the page's own space
    first, second = (0, 2) if along_x else (3, 1)
    sign = across - start if along_x else up - start
    if sign < 0:
        first, second = second, first
    return turn, _size(content, run), upright(content, turn, *run.origin)[1], first, second, sign, start


def _size(content: Content, run: Run) -> float:
    """As its matrix says, unless its characters' boxes tell that it is another, as fonts of drawings do."""
    if content.codes[run.start] in _LINE_END_HYPHENS:
        return run.size  # their boxes are those of the ink
    left, top, right, bottom = content.boxes[run.start].tolist()
    height = max(abs(top - bottom) if abs(run.across[0]) > _SIDEWAYS else abs(right - left), 0.1)
    askew = abs(run.across[0] * run.across[1]) > 0.1
    return run.size if run.size > 0.1 and (askew or 0.33 < height / run.size < 4) else height * 0.85


def _begin_words(placed: _Placed) -> Flags:
    """Which characters begin a word. A ligature's letters all have its box, which overlaps."""
    size, turn = placed.size[1:], placed.turn
    apart = np.where(placed.after_gap[1:], _SPACED, _APART) * size
    ahead = placed.left[1:] - placed.right[:-1]
    behind = placed.left[:-1] - placed.right[1:]
    gap = np.where(placed.from_right[1:] & (behind > -_OVERLAP * size), behind, ahead)
    level = np.abs(placed.baseline[1:] - placed.baseline[:-1]) <= _LEVEL * size
    alike = (turn[1:] == turn[:-1]) & (placed.look[1:] == placed.look[:-1])
    touch = (gap > -_OVERLAP * size) & (gap < apart) & level & alike & ~placed.after_space[1:]
    return np.concatenate(([True], ~touch))


class _Texts(dict[int, str | None]):
    """What each code stands for: white space for none, and None for what is no character."""

    def __missing__(self, code: int) -> str | None:
        if code in _SPACES:
            self[code] = ""
        else:
            self[code] = _LETTERS.get(code) or (_plain(code) if is_character(code) else None)
        return self[code]


def _plain(code: int) -> str:
    """A formula's letters are letters of another type."""
    return unicodedata.normalize("NFKC", chr(code)) if 0x1D400 <= code < 0x1D800 else chr(code)


def is_character(code: int) -> bool:
    """Not a control, a surrogate, for private use, or one that says that it could not be told."""
    return 0x20 < code < 0x7F or 0xA0 < code < 0xD800 or 0xF900 <= code < 0xFFF0 or 0x10000 <= code < 0xF0000
