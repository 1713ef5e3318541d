"""Footnotes are set apart, so that they cut no sentence, and their marks are written as Markdown's: `[^1]`."""

import re
from typing import Final

from engines.extraction.pdf.page import Page
from engines.extraction.pdf.prose import Paragraph
from engines.extraction.pdf.rows import RAISED

_SMALLER: Final = 0.95
"""Than the text's type size."""
_SMALL_DIGITS: Final = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_MARK: Final = re.compile(
    rf"{RAISED}[(\[]?(?P<raised>[0-9*\u2020\u2021]{{1,3}})[)\]]?{RAISED}\s*"
    rf"|(?P<small>[{_SMALL_DIGITS}]{{1,3}})\s*"
    r"|(?P<plain>[0-9]{1,3}|[*\u2020\u2021])(?:\s+(?=\S)|(?=[A-Z]))"
)
_RAISED: Final = re.compile(rf"{RAISED}([^{RAISED}]*){RAISED}|([{_SMALL_DIGITS}]+)")
_SUPERSCRIPTS: Final = str.maketrans("0123456789+-()", f"{_SMALL_DIGITS}\u207a\u207b\u207d\u207e")
_DIGITS: Final = str.maketrans(_SMALL_DIGITS, "0123456789")
_UNIT: Final = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]|[kcmd]m|1?0)\Z")


def set_apart(page: Page, usual: float) -> None:
    """Moves the page's footnotes from its blocks to its notes, in order. `usual` is the text's type size."""
    notes: list[Paragraph] = []
    for block in page.blocks:
        if isinstance(block, Paragraph) and _is_note(block, page, usual, after=notes[-1] if notes else None):
            notes.append(block)
    taken = set(map(id, notes))
    page.blocks = [block for block in page.blocks if id(block) not in taken]
    page.notes = notes


def _is_note(block: Paragraph, page: Page, usual: float, *, after: Paragraph | None) -> bool:
    if block.size >= _SMALLER * usual:
        return False
    goes_on = after is not None and after.column == block.column
    if not goes_on and not (_MARK.match(block.text) or block.marker.strip("().[]").isdigit()):
        return False
    left, right = block.column
    return not any(
        isinstance(other, Paragraph)
        and other.size >= _SMALLER * usual
        and other.top > block.top
        and min(other.column[1], right) - max(other.column[0], left) > 0.5 * (right - left)
        for other in page.blocks
    )


def note_text(note: Paragraph) -> str:
    """`[^1]: text`, or the text alone, where it has no mark."""
    mark = _mark(note)
    body = note.text if note.marker else _MARK.sub("", note.text, count=1)
    return f"[^{mark}]: {body}" if mark else note.text


def _mark(note: Paragraph) -> str:
    if note.marker.strip("().[]").isdigit():
        return note.marker.strip("().[]")
    found = _MARK.match(note.text)
    return (found["raised"] or found["small"] or found["plain"]).translate(_DIGITS) if found else ""


class Marks:
    """Raised numbers of a page, in reading order: the first of each that a footnote has is its mark."""

    def __init__(self, page: Page) -> None:
        self._left = {mark for mark in map(_mark, page.notes) if mark}

    def written(self, text: str) -> str:
        """Raised numbers as `[^1]`, or as superscripts. What follows a unit or a formula's letter is an exponent."""
        return _RAISED.sub(self._one, text).replace(RAISED, "")

    def _one(self, raised: re.Match[str]) -> str:
        numbers = (raised[1] or raised[2]).translate(_DIGITS).strip("()[]").split(",")
        if self._left.issuperset(numbers) and not _UNIT.search(
            raised.string[max(raised.start() - 8, 0) : raised.start()]
        ):
            self._left.difference_update(numbers)
            return "".join(f"[^{number}]" for number in numbers)
        return (raised[1] or raised[2]).translate(_SUPERSCRIPTS)
