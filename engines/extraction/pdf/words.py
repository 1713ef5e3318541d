"""Characters to words, each in the upright frame of its page, as it is shown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from engines.extraction.pdf.pdfium import Box, Content, Run

UPRIGHT: Final = 0
ASKEW: Final = -1
"""What is written neither across nor straight up or down: a watermark."""
_APART: Final = 0.22
"""Of the type size: a wider gap parts words. TeX's narrowest space is 0.2 em wide."""
_SPACED: Final = 0.08
"""The same, where a space was drawn, or PDFium took the gap for one."""
_DOUBLED: Final = 0.12
"""Of the type size: the same word nearer than this is the same word."""
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
    return list(_once(_Builder(content).words()))


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


class _Builder:
    def __init__(self, content: Content) -> None:
        self._content = content
        self._texts = _Texts()

    def words(self) -> Iterator[Word]:
        word: Word | None = None
        spaced = True
        order = drawn_until = 0
        for run in self._content.runs:
            if run.start > drawn_until:
                spaced = True  # PDFium made up a space, or a line's end
            drawn_until = run.end
            turn = _turn(self._content, run)
            size = self._size(run)
            baseline = upright(self._content, turn, *run.origin)[1]
            fits = word is not None and turn == word.turn and abs(baseline - word.baseline) <= _LEVEL * size
            for text, left, right in self._characters(run, turn):
                if not text:
                    spaced, fits = True, False
                    continue
                apart = (_SPACED if spaced else _APART) * size
                if word is not None and fits and _touch(word, text, left, right, apart):
                    word.text += text
                    word.left, word.right = min(word.left, left), max(word.right, right)
                    if size > word.size * 1.05:  # a word is as large as its largest letters
                        word.size, word.run, word.baseline = size, run, baseline
                        word.top, word.bottom = baseline - _ASCENT * size, baseline + _DESCENT * size
                else:
                    if word is not None:
                        yield word
                    top, bottom = baseline - _ASCENT * size, baseline + _DESCENT * size
                    word = Word(text, left, top, right, bottom, baseline, size, run, turn, order, spaced)
                    fits = True
                    order += 1
                spaced = False
        if word is not None:
            yield word

    def _characters(self, run: Run, turn: int) -> Iterator[tuple[str, float, float]]:
        """(text, left, right), as read; no text for white space."""
        codes, boxes, texts = self._content.codes, self._content.boxes, self._texts
        start, across, up = (upright(self._content, turn, x, y)[0] for x, y in ((0, 0), (1, 0), (0, 1)))
        along_x = abs(across - start) > 0.5  # of the page's own space
        first, second = (0, 2) if along_x else (3, 1)
        sign = across - start if along_x else up - start
        if sign < 0:
            first, second = second, first
        for index in range(run.start, run.end):
            text = texts[codes[index]]
            if text is not None:
                yield text, boxes[4 * index + first] * sign + start, boxes[4 * index + second] * sign + start

    def _size(self, run: Run) -> float:
        """As its matrix says, unless its characters' boxes tell that it is another, as fonts of drawings do."""
        if self._content.codes[run.start] in _LINE_END_HYPHENS:
            return run.size  # their boxes are those of the ink
        left, top, right, bottom = self._content.boxes[4 * run.start : 4 * run.start + 4]
        height = max(abs(top - bottom) if abs(run.across[0]) > _SIDEWAYS else abs(right - left), 0.1)
        askew = abs(run.across[0] * run.across[1]) > 0.1
        return run.size if run.size > 0.1 and (askew or 0.33 < height / run.size < 4) else height * 0.85


def _touch(word: Word, text: str, left: float, right: float, apart: float) -> bool:
    """A ligature's letters all have its box, which overlaps."""
    overlap = -1.2 * word.size
    if _FIRST_FROM_RIGHT <= ord(text[0]) <= _LAST_FROM_RIGHT and word.left - right > overlap:
        return word.left - right < apart
    return overlap < left - word.right < apart


class _Texts(dict[int, str | None]):
    """What each code stands for: white space for none, and None for what is no character."""

    def __missing__(self, code: int) -> str | None:
        if code in _SPACES:
            self[code] = ""
        else:
            self[code] = _LETTERS.get(code) or (chr(code) if is_character(code) else None)
        return self[code]


def is_character(code: int) -> bool:
    """Not a control, a surrogate, for private use, or one that says that it could not be told."""
    return 0x20 < code < 0x7F or 0xA0 < code < 0xD800 or 0xF900 <= code < 0xFFF0 or 0x10000 <= code < 0xF0000
