"""PDF: each page's own text, with the headings that kreuzberg finds by their type size.

The text is the page's as it stands, since kreuzberg's paragraphs drop a line now and then. Its headings are looked up
in that text. Running heads and feet, which repeat on most pages, are left out.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engines.extraction import ExtractedHeading, kreuzberg
from engines.extraction.dates import first_day
from engines.extraction.reading import Piece, Reading, clean

_EDGE_LINES: Final = 3
"""How many lines at a page's top and bottom may be running ones."""
_PAGES_TO_REPEAT: Final = 3
_LONGEST_HEADING: Final = 160
_NUMBERED: Final = re.compile(r"(?:§ ?)?[0-9]+(?:\.[0-9]+)*\.? |[A-Z]\.[0-9 ]|[IVX]+\. ")
_CHANGED: Final = re.compile(rb"/ModDate\s{0,9}\(D:([0-9]{8})|<xmp:ModifyDate>([0-9-]{10})")
"""Where neither is compressed, as mostly."""
_NO_HEADING: Final = re.compile(r"[.,;:!?]$|^[a-zäöüß]|^\W*$")
"""A line that ends like a sentence, begins in the middle of one, or has no letter."""


def read(data: bytes, media_type: str) -> Reading:
    result = kreuzberg.read(data, media_type, structure=True)
    pages = {page["page_number"]: clean(page["content"]).strip("\n").split("\n") for page in result.pages or []}
    running = _running_lines(pages)
    headings = _without_table_heads({number: _heading_lines(result.document, number) for number in pages})
    pieces = [
        _page(number, _without(lines, number, running), headings[number]) for number, lines in sorted(pages.items())
    ]
    return Reading(pieces, title=result.metadata.get("title"), date=_date(data, result.metadata))


def _date(data: bytes, metadata: Mapping[str, Any]) -> str | None:
    """kreuzberg tells only when it was made. Of several changes the last stands last: a PDF is changed by appending."""
    changes = [(one or other).decode() for one, other in _CHANGED.findall(data)]
    return first_day(*reversed(changes), metadata.get("created_at"))


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


def _without_table_heads(headings: Mapping[int, list[tuple[int, str]]]) -> dict[int, list[tuple[int, str]]]:
    """Where most headings of a level are numbered, one that is not is the bold first row of a table."""
    levels = Counter(level for found in headings.values() for level, _ in found)
    numbered = Counter(level for found in headings.values() for level, line in found if _NUMBERED.match(line))
    return {
        page: [(level, line) for level, line in found if _NUMBERED.match(line) or numbered[level] * 2 <= levels[level]]
        for page, found in headings.items()
    }


def _running_lines(pages: Mapping[int, Sequence[str]]) -> set[str]:
    """Lines, the page's own number masked, that stand at the edge of more than half of the pages."""
    if len(pages) < _PAGES_TO_REPEAT:
        return set()
    counts = Counter(
        line
        for number, lines in pages.items()
        for line in {_masked(line, number) for line in (*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:])}
    )
    return {line for line, count in counts.items() if line and count * 2 > len(pages)}


def _without(lines: Sequence[str], number: int, running: set[str]) -> list[str]:
    first, last = 0, len(lines)
    while first < min(last, _EDGE_LINES) and _masked(lines[first], number) in running:
        first += 1
    while last > max(first, len(lines) - _EDGE_LINES) and _masked(lines[last - 1], number) in running:
        last -= 1
    return list(lines[first:last])


def _masked(line: str, number: int) -> str:
    return re.sub(rf"\b{number}\b", "#", line.strip())
