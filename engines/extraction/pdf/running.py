"""Running heads and feet: lines at the pages' edges that come again, as the pages' numbers do."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engines.extraction.pdf.page import Block, Page
from engines.extraction.pdf.prose import Line, Paragraph

_EDGE_ROWS: Final = 3
"""How many rows at a page's top and bottom may be running ones."""
_FEWEST: Final = 3
"""Pages on which a line must stand, but in a document of two, where it must be on both, and at the same height."""
_LEVEL: Final = 4
"""Points: of one height."""
_APART: Final = 1.9
"""Of the type size, from baseline to baseline."""
_AGAIN: Final = 0.6
"""Share of a changing head's pages on which it is the same as on another: titles of slides are not."""
_NUMBER: Final = re.compile(r"[0-9]+")
_ROMAN: Final = re.compile(r"^(?:[ivxlc]+|[IVXLC]+)\b|\b(?:[ivxlc]+|[IVXLC]+)$")


@dataclass(frozen=True, slots=True)
class _Edge:
    """A line at a page's edge."""

    line: Line
    text: str
    """Page numbers masked."""
    place: int


def without_running_lines(pages: Sequence[Page]) -> None:
    """Takes them out of the pages' paragraphs."""
    if len(pages) < 2:
        return
    edges = {page.number: list(_edges(page)) for page in pages}
    offset = _offset(edges)
    every = {number: [_masked(line, number, offset) for line in found] for number, found in edges.items()}
    masked = every
    if _is_form(pages):  # only what stands apart is told from the text, which comes again as well
        masked = {number: [*_outer_row(found, 0), *_outer_row(found, -1)] for number, found in every.items()}
    counts = Counter(key for found in masked.values() for key in {(edge.text, edge.place) for edge in found})
    texts = Counter(text for found in masked.values() for text in {edge.text for edge in found})
    again = (edge for found in masked.values() for edge in found if _comes_again(edge, counts, texts, len(pages)))
    running = {id(edge.line) for edge in again} | _changing(pages, every)
    if all(_runs(block, running) for page in pages for block in page.blocks):
        return  # there is nothing else
    for page in pages:
        for block in page.blocks:
            if isinstance(block, Paragraph):
                block.lines = [line for line in block.lines if id(line) not in running]
        page.blocks = [block for block in page.blocks if not isinstance(block, Paragraph) or block.lines]


def _is_form(pages: Sequence[Page]) -> bool:
    """Most lines of the pages are the same on most of them: letters to many people, or a form."""
    lines = [
        {(line.text, round(line.baseline / _LEVEL)) for block in page.blocks for line in _lines(block)}
        for page in pages
    ]
    counts = Counter(line for found in lines for line in found)
    same = sum(counts[line] * 2 > len(pages) for found in lines for line in found)
    return same * 2 > sum(map(len, lines))


def _lines(block: Block) -> list[Line]:
    return block.lines if isinstance(block, Paragraph) else []


def _changing(pages: Sequence[Page], masked: Mapping[int, Sequence[_Edge]]) -> set[int]:
    """Lines of heads and feet that change with the chapter: on most pages one stands apart at the same height, and most
    of these come again on another page."""
    found: set[int] = set()
    for outermost in (0, -1):
        rows = [_outer_row(masked[page.number], outermost) for page in pages]
        places = Counter(row[0].place for row in rows if row)
        place = max(places, key=lambda place: (places[place], place), default=0)
        there = [row for row in rows if row and abs(row[0].place - place) <= 1]
        texts = Counter(tuple(edge.text for edge in row) for row in there)
        again = sum(count for count in texts.values() if count > 1)
        if len(there) >= _FEWEST and 2 * len(there) > len(pages) and again >= _AGAIN * len(there):
            found |= {id(edge.line) for row in there for edge in row}
    return found


def _outer_row(edges: Sequence[_Edge], outermost: int) -> list[_Edge]:
    """The first or the last row of a page's edges, if it stands apart from the next."""
    heights = sorted({edge.line.baseline for edge in edges})
    if len(heights) < 2:
        return []
    row = [edge for edge in edges if abs(edge.line.baseline - heights[outermost]) <= _LEVEL]
    others = [height for height in heights if abs(height - heights[outermost]) > _LEVEL]
    near = min((abs(height - heights[outermost]) for height in others), default=0.0)
    return row if near > _APART * max(edge.line.size for edge in row) else []


def _runs(block: Block, running: set[int]) -> bool:
    return isinstance(block, Paragraph) and all(id(line) in running for line in block.lines)


def _comes_again(edge: _Edge, counts: Counter[tuple[str, int]], texts: Counter[str], pages: int) -> bool:
    if not edge.text:
        return False
    beside = sum(counts[edge.text, edge.place + step] for step in (-1, 0, 1))
    return beside >= min(_FEWEST, pages) or (pages >= _FEWEST and texts[edge.text] * 2 > pages)


def _edges(page: Page) -> Iterator[Line]:
    lines = sorted(
        (line for block in page.blocks for line in _lines(block)),
        key=lambda line: line.baseline,
    )
    heights: list[float] = []
    for line in lines:
        if not heights or line.baseline - heights[-1] > _LEVEL:
            heights.append(line.baseline)
    if not heights:
        return
    upper = heights[min(_EDGE_ROWS, len(heights)) - 1] + _LEVEL
    lower = heights[-min(_EDGE_ROWS, len(heights))] - 0.1
    yield from (line for line in lines if line.baseline <= upper or line.baseline >= lower)


def _offset(edges: dict[int, list[Line]]) -> int:
    """What the printed page numbers are ahead of the counted ones, mostly."""
    ahead = Counter(
        int(found) - number
        for number, lines in edges.items()
        for found in {found for line in lines for found in _NUMBER.findall(line.text) if len(found) < 5}
    )
    return max(ahead, key=lambda offset: (ahead[offset], -abs(offset)), default=0)


def _masked(line: Line, number: int, offset: int) -> _Edge:
    text = line.text.strip()
    own = {str(number), str(number + offset)}
    masked = _NUMBER.sub(lambda found: "#" if found[0] in own else found[0], text)
    return _Edge(line, _ROMAN.sub("#", masked), round(line.baseline / _LEVEL))
