"""Hyphens at line ends: kept where the word has one of its own, as the rest of the document tells."""

import re
from collections.abc import Iterable
from typing import Final

from engines.extraction.pdf.prose import HYPHEN

_WORD: Final = re.compile(r"(?<![-\w])[^\W\d_]+(?:-[^\W\d_]+)*(?![-\w])")
_PARTED: Final = re.compile(rf"([^\W\d_]+){HYPHEN}([^\W\d_]+)")
_LEAST: Final = 3
"""Letters of each part, where both must be words for the hyphen to be one of a compound."""
_GLUED: Final = frozenset(
    (
        "after", "all", "any", "back", "break", "can", "car", "down", "every", "for", "fore", "hand", "head",
        "here", "home", "house", "inter", "least", "long", "mean", "men", "more", "most", "multi", "never",
        "none", "not", "other", "out", "over", "per", "pro", "some", "super", "there", "thing", "through",
        "time", "under", "up", "where", "with", "without",
    )
)  # fmt: skip
"""English words that begin words without a hyphen."""
_KEEPING: Final = frozenset(("self", "non", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))
"""English words that keep theirs."""
_GERMAN: Final = frozenset(("der", "die", "und", "ist"))


class Hyphens:
    """What a document's own words say of a hyphen at a line's end."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words: set[str] = set()
        for text in texts:
            self._words.update(_WORD.findall(_PARTED.sub(" ", text)))
        self._is_german = self._words >= _GERMAN and "the" not in self._words

    def undone(self, text: str) -> str:
        """The text with no HYPHEN left."""
        while HYPHEN in text:
            shorter = _PARTED.sub(self._joined, text)
            text = shorter if shorter != text else text.replace(HYPHEN, "-")
        return text

    def _joined(self, parted: re.Match[str]) -> str:
        first, second = parted.groups()
        glued, compound = first + second, f"{first}-{second}"
        if glued in self._words:
            return glued
        if compound in self._words:
            return compound
        if self._is_german:
            return glued  # a German compound's second part begins with a capital
        if first.lower() in _KEEPING:
            return compound
        both = len(first) >= _LEAST <= len(second) and first.lower() in self._words and second in self._words
        return compound if both and first.lower() not in _GLUED else glued
