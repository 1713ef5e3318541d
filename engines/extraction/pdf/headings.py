"""Headings, told by their type: larger than the text, or bold and on their own. Styles in order of size are levels."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from engines.extraction.pdf.page import Page
from engines.extraction.pdf.pdfium import Entry
from engines.extraction.pdf.prose import Paragraph

_LONGEST: Final = 180
_MOST_LINES: Final = 4
_LARGER: Final = 1.1
"""Than the text's type size."""
_NOT_SMALLER: Final = 0.94
_DEEPEST: Final = 6
_SENTENCE: Final = re.compile(r"[.,;:!]$|^[a-z\u00df-\u00f6\u00f8-\u00ff]|^[\W\d]*$")
"""It ends like a sentence, begins in the middle of one, or has no letter."""

_NUMBER: Final = re.compile(r"^\W*(?:[0-9]+(?:\.[0-9]+)*|[A-Z](?:\.[0-9]+)+|[IVX]+)[.:)]?\s+")
_PAGE_NUMBER: Final = re.compile(r"^(.*\D)[\s.]([0-9]{1,4}|[ivxlc]+)$")

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


def levels(pages: Sequence[Page], usual: float, outline: Sequence[Entry]) -> dict[int, int]:
    """Level of each paragraph that is a heading, by its id. 1 is the highest.

    Where the document has bookmarks that name its headings, these say the levels; else the styles do, in order.
    """
    told = _told(pages, usual, outline)
    found = [
        block
        for page in pages
        for block in page.blocks
        if isinstance(block, Paragraph) and (id(block) in told or _is_heading(block, usual))
    ]
    found = _without_contents(found)
    ranks = _ranked({_style(block) for block in found})
    if told:
        ranks = _as_told(ranks, [(_style(block), told[id(block)]) for block in found if id(block) in told])
    return {id(block): min(told.get(id(block), ranks[_style(block)]), _DEEPEST) for block in found}


def _told(pages: Sequence[Page], usual: float, outline: Sequence[Entry]) -> dict[int, int]:
    """Levels of the paragraphs that bookmarks name, by their ids; none where few do."""
    titles = {(entry.page, _letters(entry.title)): entry.level for entry in outline}
    told = {
        id(block): titles[page.number, name]
        for page in pages
        for block in page.blocks
        if isinstance(block, Paragraph) and block.size >= _NOT_SMALLER * usual and len(block.lines) <= _MOST_LINES
        for name in _names(heading_text(block))
        if name and (page.number, name) in titles
    }
    return told if len(told) * 2 >= len(titles) else {}


def _as_told(ranks: Mapping[Style, int], told: Sequence[tuple[Style, int]]) -> dict[Style, int]:
    """Levels of styles: that which most of its headings were told to have, or that of the next larger style below
    which it comes."""
    counts: dict[Style, Counter[int]] = {}
    for style, level in told:
        counts.setdefault(style, Counter())[level] += 1
    levels_of: dict[Style, int] = {}
    last = 0
    for style in sorted(ranks, reverse=True):
        if style in counts:
            last = max(counts[style], key=lambda level: (counts[style][level], -level))
            levels_of[style] = last
        else:
            levels_of[style] = max(last + 1, 1) if last else 1
    return levels_of


def _names(text: str) -> tuple[str, str]:
    """What a bookmark may call it: with its number, and without."""
    return _letters(text), _letters(_NUMBER.sub("", text))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _without_contents(found: Sequence[Paragraph]) -> list[Paragraph]:
    """Not what stands in a table of contents: the name of another heading, with a page number behind it."""
    names = {name for block in found for name in _names(heading_text(block)) if name}

    def is_entry(block: Paragraph) -> bool:
        entry = _PAGE_NUMBER.search(heading_text(block))
        return entry is not None and any(name in names for name in _names(entry[1]) if name)

    return [block for block in found if not is_entry(block)]


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
