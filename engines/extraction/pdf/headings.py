"""Headings, told by their type: larger than the text, or bold and on their own. Styles in order of size are levels."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from engines.extraction.pdf.page import Page
from engines.extraction.pdf.prose import Paragraph

_LONGEST: Final = 180
_MOST_LINES: Final = 4
_LARGER: Final = 1.1
"""Than the text's type size."""
_NOT_SMALLER: Final = 0.94
_DEEPEST: Final = 6
_SENTENCE: Final = re.compile(r"[.,;:!]$|^[a-z\u00df-\u00f6\u00f8-\u00ff]|^[\W\d]*$")
"""It ends like a sentence, begins in the middle of one, or has no letter."""

Style = tuple[float, bool]
"""Type size in points, to the half; bold."""


def text_size(pages: Sequence[Page]) -> float:
    """In points: that of most letters."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for block in page.blocks:
            if isinstance(block, Paragraph):
                for line in block.lines:
                    sizes[line.size] += len(line.text)
    return max(sizes, key=lambda size: (sizes[size], size), default=10.0)


def levels(pages: Sequence[Page], usual: float) -> dict[int, int]:
    """Level of each paragraph that is a heading, by its id. 1 is the highest."""
    found = [
        block for page in pages for block in page.blocks if isinstance(block, Paragraph) and _is_heading(block, usual)
    ]
    styles = _ranked({_style(block) for block in found})
    return {id(block): min(styles[_style(block)], _DEEPEST) for block in found}


def heading_text(paragraph: Paragraph) -> str:
    marker = "" if paragraph.marker in ("", "-") else paragraph.marker + " "
    return marker + " ".join(paragraph.text.split())


def _is_heading(paragraph: Paragraph, usual: float) -> bool:
    if len(paragraph.lines) > _MOST_LINES or paragraph.marker == "-":
        return False
    text = heading_text(paragraph)
    if len(text) > _LONGEST or _SENTENCE.search(text):
        return False
    size = paragraph.size
    return size >= _LARGER * usual or (paragraph.bold and size >= _NOT_SMALLER * usual and len(paragraph.lines) <= 2)


def _style(paragraph: Paragraph) -> Style:
    return round(paragraph.size * 2) / 2, paragraph.bold


def _ranked(styles: set[Style]) -> dict[Style, int]:
    """Sizes that are nearly the same are one level, unless one of them is bold."""
    ranks: dict[Style, int] = {}
    rank = 0
    before: Style | None = None
    for style in sorted(styles, reverse=True):
        if before is None or before[0] - style[0] > 0.04 * before[0] or before[1] != style[1]:
            rank += 1
        ranks[style] = rank
        before = style
    return ranks
