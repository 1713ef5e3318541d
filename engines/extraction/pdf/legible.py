"""Whether a page's own text can be used, or it must be recognised: `probe`, `readable` and `pictures` ask here."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Final

from engines.extraction.pdf.pdfium import NONE, Document
from engines.extraction.pdf.words import is_character, shown, shown_size

_FEWEST: Final = 10
"""A page with fewer letters and digits has no text layer worth the name: a scanner's stamp, a page number."""
_STAMP: Final = 60
"""Up to so many letters on a page that is one picture are a stamp on it."""
_PLENTY: Final = 200
"""From so many on the page is judged by its text alone."""
_WHOLE: Final = 0.7
"""Share of the page from which on a picture is the page."""
_OUTLINES: Final = 40
"""So many shapes may be letters drawn as outlines."""
_SPOILT: Final = 0.25
"""Share of characters that are none, or have no unicode map, from which on a text layer is broken."""
_ALIKE: Final = 0.65
"""Cosine of a page's letter frequencies with those of European languages. English, German, Finnish, Polish, Turkish
lie above 0.85, a shifted alphabet near 0.5, random letters at 0.75 with few of them, so it is asked of many only."""
_VARIED: Final = 12
_LATIN_SHARE: Final = 0.8
_USUAL: Final = {
    "a": 8.2, "b": 1.6, "c": 2.9, "d": 4.4, "e": 13.6, "f": 1.9, "g": 2.2, "h": 4.6, "i": 7.3, "j": 0.5, "k": 1.5,
    "l": 4.0, "m": 2.6, "n": 8.0, "o": 6.3, "p": 1.8, "q": 0.2, "r": 6.5, "s": 6.6, "t": 7.8, "u": 3.5, "v": 1.3,
    "w": 1.6, "x": 0.2, "y": 1.1, "z": 1.1,
}  # fmt: skip
"""Percent: the mean of what is usual in English, German, French and Spanish texts, rounded."""
_UNDRAWN: Final = frozenset((NONE, 0x00, 0x02, 0x09, 0x0A, 0x0D, 0x20, 0xA0, 0xAD, 0xFFFE))
"""White space, what PDFium makes of hyphens at line ends, and second places of one character."""
_LEADERS: Final = re.compile(r"(?:\. ?){4,}|[_\u2026]{3,}")


def must_be_recognised(document: Document, number: int) -> bool:
    """Of the page `number`, from 1: it shows text that its own text layer lacks or spoils."""
    codes, unmapped = document.text(number)
    letters = sum(chr(code).isalnum() for code in codes if is_character(code))
    spoilt = is_spoilt(codes, unmapped)
    if letters >= _PLENTY:
        return spoilt
    content = document.content(number)
    width, height = shown_size(content)
    covered = max((_share(shown(content, image), width, height) for image in content.images), default=0.0)
    if letters < _FEWEST or spoilt:
        return bool(content.images) or content.paths >= _OUTLINES or (spoilt and letters > 0)
    layered = sum(run.end - run.start for run in content.runs if run.invisible) * 2 > len(codes)
    return letters < _STAMP and covered >= _WHOLE and not layered


def _share(box: tuple[float, float, float, float], width: float, height: float) -> float:
    left, top, right, bottom = box
    shown_width = max(min(right, width) - max(left, 0.0), 0.0)
    shown_height = max(min(bottom, height) - max(top, 0.0), 0.0)
    return shown_width * shown_height / max(width * height, 1.0)


def is_spoilt(codes: Sequence[int], unmapped: int) -> bool:
    """Characters that are none, glyphs with no unicode map, or letters that make no words."""
    drawn = [code for code in codes if code not in _UNDRAWN]
    if not drawn:
        return False
    none = sum(not is_character(code) for code in drawn)
    if max(none, unmapped) > _SPOILT * len(drawn):
        return True
    return _is_noise("".join(map(chr, filter(is_character, codes))))


def _is_noise(text: str) -> bool:
    text = _LEADERS.sub("", text)
    if len(text) < _PLENTY:
        return False
    words = sum(map(str.isalnum, text))
    if words < 0.45 * len(text):
        return True
    bare = unicodedata.normalize("NFD", text).lower()
    found = Counter(filter(str.isalpha, bare))
    latin = sum(count for letter, count in found.items() if letter in _USUAL)
    if latin < 0.5 * words or latin < _LATIN_SHARE * found.total():
        return False  # figures, or another script
    if sum(found[letter] > 0 for letter in _USUAL) < _VARIED:
        return False  # one word again and again
    along = sum(found[letter] * share for letter, share in _USUAL.items())
    own = sqrt(sum(found[letter] ** 2 for letter in _USUAL))
    usual = sqrt(sum(share**2 for share in _USUAL.values()))
    return along / (own * usual) < _ALIKE
