"""PDF: each page's own text, with the headings that kreuzberg finds by their type size.

The text is the page's as it stands, since kreuzberg's paragraphs drop a line now and then. Its headings are looked up
in that text. Running heads and feet, which repeat on most pages, are left out.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from engines.extraction import ExtractedHeading, kreuzberg
from engines.extraction.reading import Piece, Reading, clean

_EDGE_LINES: Final = 3
"""How many lines at a page's top and bottom may be running ones."""
_PAGES_TO_REPEAT: Final = 3
_LONGEST_HEADING: Final = 160
_NO_HEADING: Final = re.compile(r"[.,;:!?]$|^[a-zäöüß]|^\W*$")
"""A line that ends like a sentence, begins in the middle of one, or has no letter."""


def read(data: bytes, media_type: str) -> Reading:
    result = kreuzberg.read(data, media_type, structure=True)
    pages = {page["page_number"]: clean(page["content"]).strip("\n").split("\n") for page in result.pages or []}
    running = _running_lines(list(pages.values()))
    pieces = [
        _page(number, _without(lines, running), _heading_lines(result.document, number))
        for number, lines in sorted(pages.items())
    ]
    return Reading(pieces, title=result.metadata.get("title"))


def _page(number: int, lines: Sequence[str], candidates: Sequence[tuple[int, str]]) -> Piece:
    text = "\n".join(lines)
    headings: list[ExtractedHeading] = []
    position = 0
    for level, heading in candidates:
        found = re.compile(rf"^[ \t]*({re.escape(heading)})[ \t]*$", re.MULTILINE).search(text, position)
        if found is not None:
            headings.append(ExtractedHeading(level, *found.span(1)))
            position = found.end()
    return Piece(text, tuple(headings), page=number)


def _heading_lines(document: Any, page: int) -> list[tuple[int, str]]:
    """(level, line) of the page's headings. kreuzberg puts lines before a heading into it: the last one is its own."""
    nodes = document["nodes"] if document else []
    found = [
        (node["content"]["level"], clean(node["content"]["text"]).strip().rpartition("\n")[2].strip())
        for node in nodes
        if node.get("page") == page and node["content"]["node_type"] == "heading"
    ]
    return [(level, line) for level, line in found if len(line) <= _LONGEST_HEADING and not _NO_HEADING.search(line)]


def _running_lines(pages: Sequence[Sequence[str]]) -> set[str]:
    """Lines, digits masked, that stand at the edge of more than half of the pages."""
    if len(pages) < _PAGES_TO_REPEAT:
        return set()
    counts = Counter(line for lines in pages for line in {_masked(line) for line in _edges(lines) if line.strip()})
    return {line for line, count in counts.items() if count * 2 > len(pages)}


def _edges(lines: Sequence[str]) -> list[str]:
    return [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]


def _without(lines: Sequence[str], running: set[str]) -> list[str]:
    first, last = 0, len(lines)
    while first < min(last, _EDGE_LINES) and _masked(lines[first]) in running:
        first += 1
    while last > max(first, len(lines) - _EDGE_LINES) and _masked(lines[last - 1]) in running:
        last -= 1
    return list(lines[first:last])


def _masked(line: str) -> str:
    return re.sub(r"\d+", "0", line.strip())
