"""Text that a reader of the page does not see, and that may be meant for whoever reads it by machine."""

from collections.abc import Sequence
from typing import Final

from engines.extraction.pdf.pdfium import Content, Fill
from engines.extraction.pdf.words import ASKEW, UPRIGHT, Word, shown, shown_size

_WHITE: Final = (255, 255, 255)
_ALIKE: Final = 14
"""Of 255 in each color: a difference that nobody sees on paper or screen."""
_FAINTEST: Final = 8
"""Of 255."""
_SMALLEST: Final = 2.0
"""Points."""
_SMALLEST_SHARE: Final = 400
"""On a plan or a poster small type is seen, where it is more than this part of the page's longer side."""
_SCANNED: Final = 0.8
"""Share of invisible words that lie on pictures, from which on they are a scan's own text."""
_MOST_FILLS: Final = 1_000
Frame = tuple[float, float, float, float]


def parted(words: Sequence[Word], content: Content) -> tuple[list[Word], list[Word]]:
    """(seen, hidden). Not looked for: text that something drawn later covers."""
    page = _Page(words, content)
    seen: list[Word] = []
    unseen: list[Word] = []
    for word in words:
        (unseen if page.hides(word) else seen).append(word)
    return seen, unseen


class _Page:
    def __init__(self, words: Sequence[Word], content: Content) -> None:
        self._content = content
        self._width, self._height = shown_size(content)
        self._smallest = min(_SMALLEST, max(self._width, self._height) / _SMALLEST_SHARE)
        self._fills = [(shown(content, fill.box), fill) for fill in content.fills[-_MOST_FILLS:]]
        self._images = [shown(content, image) for image in content.images]
        invisible = [word for word in words if word.run.invisible]
        self._is_scan = bool(invisible) and sum(map(self._on_picture, invisible)) >= _SCANNED * len(invisible)

    def hides(self, word: Word) -> bool:
        run = word.run
        if run.invisible:
            return not self._is_scan
        if run.opacity < _FAINTEST or word.size < self._smallest or self._is_off(word):
            return True
        return (bool(self._fills) or _is_white(run.color)) and _alike(run.color, self._behind(word))

    def _is_off(self, word: Word) -> bool:
        if word.turn == UPRIGHT and word.left >= 0 and word.right <= self._width and word.top >= 0:
            return word.top > self._height
        x, y = self._center(word)
        return not (0 <= x <= self._width and 0 <= y <= self._height)

    def _behind(self, word: Word) -> tuple[int, int, int] | None:
        """The color that it is drawn on; None if that is not known."""
        x, y = self._center(word)
        under: Fill | None = None
        for box, fill in self._fills:
            if fill.depth < word.run.depth and box[0] <= x <= box[2] and box[1] <= y <= box[3]:
                under = fill
        return _WHITE if under is None else under.color

    def _on_picture(self, word: Word) -> bool:
        x, y = self._center(word)
        return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in self._images)

    def _center(self, word: Word) -> tuple[float, float]:
        """On the shown page."""
        x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
        if word.turn == 1:
            return self._width - y, x
        if word.turn == 2:
            return self._width - x, self._height - y
        if word.turn == 3:
            return y, self._height - x
        assert word.turn in (0, ASKEW)
        return x, y


def _is_white(color: tuple[int, int, int]) -> bool:
    return min(color) >= 255 - _ALIKE


def _alike(one: tuple[int, int, int], other: tuple[int, int, int] | None) -> bool:
    return other is not None and all(abs(a - b) <= _ALIKE for a, b in zip(one, other, strict=True))
