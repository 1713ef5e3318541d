"""Blocks of a document to its pages' text: lists, tables, headings, notes, and sentences that no page's end cuts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from engines.extraction import ExtractedHeading, ExtractedMark
from engines.extraction.pdf import headings, notes, prose, running
from engines.extraction.pdf.hyphens import Hyphens
from engines.extraction.pdf.page import Block, Page
from engines.extraction.pdf.pdfium import Entry
from engines.extraction.pdf.prose import HYPHEN, Paragraph
from engines.extraction.pdf.rows import RAISED
from engines.extraction.pdf.tables import Table
from engines.extraction.reading import Piece, clean
from engines.extraction.text import markdown_rows

_FULL: Final = 2.5
"""Of the type size: a line that ends nearer to its column's edge is full."""
_LONG: Final = 60
"""Characters; a shorter paragraph is not thought to go on because of its last line's length."""
_DEEPEST_ITEM: Final = 5


@dataclass(frozen=True, slots=True)
class _Written:
    text: str
    level: int | None = None
    item: bool = False
    hidden: bool = False


def written(pages: Sequence[Page], outline: Sequence[Entry]) -> list[Piece]:
    """A piece a page, in order. Changes the pages. `outline` are the document's bookmarks."""
    running.without_running_lines(pages)
    usual = headings.text_size(pages)
    for page in pages:
        notes.set_apart(page, usual)
    levels = headings.levels(pages, usual, outline)
    for page in pages:
        _join_parted(page.blocks, levels)
    for page, following in pairwise(pages):
        if following.number == page.number + 1:
            _join_pages(page, following, levels)
    hyphens = Hyphens(text for page in pages for text in _texts(page))
    return [_piece(page, levels, hyphens) for page in pages]


def _texts(page: Page) -> Iterator[str]:
    for block in (*page.blocks, *page.notes):
        if isinstance(block, Paragraph):
            yield block.text
        else:
            yield from (cell for row in block.cells for cell in row)


# -- sentences that a column's end, a table or a page's end parts -----------------------------------------------------


def _join_parted(blocks: list[Block], levels: Mapping[int, int]) -> None:
    """Paragraphs that go on in the next column, or after a table that stands in between."""
    number = 0
    while number < len(blocks):
        block = blocks[number]
        after = number + 1
        while after < len(blocks) and isinstance(blocks[after], Table):
            after += 1
        following = blocks[after] if after < len(blocks) else None
        apart = after > number + 1
        if (
            isinstance(block, Paragraph)
            and isinstance(following, Paragraph)
            and (apart or block.column != following.column)
            and _goes_on(block, following, levels, certain=apart)
        ):
            block.lines += following.lines
            del blocks[after]
        else:
            number += 1


def _join_pages(page: Page, following: Page, levels: Mapping[int, int]) -> None:
    last = page.blocks[-1] if page.blocks else None
    first = following.blocks[0] if following.blocks else None
    if not (isinstance(last, Paragraph) and isinstance(first, Paragraph) and _goes_on(last, first, levels)):
        return
    page.runs_on = True
    end, start = last.lines[-1], first.lines[0]
    if prose.joint(end.text, start.text).endswith(" "):
        return
    word, _, rest = start.text.partition(" ")  # the whole word belongs to the page where it begins
    end.text = prose.joint(end.text, word) + word
    if rest or len(first.lines) > 1:
        start.text = rest
        first.lines = [line for line in first.lines if line.text]
    else:
        following.blocks = following.blocks[1:]
        page.runs_on = False


def _goes_on(before: Paragraph, after: Paragraph, levels: Mapping[int, int], *, certain: bool = False) -> bool:
    """Is `after` the rest of `before`? `certain`: only where it begins in the middle of a sentence."""
    if after.marker or id(before) in levels or id(after) in levels or abs(before.size - after.size) > 0.6:
        return False
    if before.lines[-1].fixed and after.lines[0].fixed:
        return False  # a program's lines
    text, following = before.text, after.text
    if before.bold != after.bold or prose.ends(text) or following.startswith(RAISED):
        return False
    if prose.continues(following) or text.endswith(HYPHEN):
        return True
    if certain or len(text) < _LONG or not following[:1].isalnum():
        return False
    last, first = before.lines[-1], after.lines[0]
    is_full = last.right > before.column[1] - _FULL * last.size
    return is_full and abs(first.left - after.column[0]) < 0.6 * first.size


# -- pieces -----------------------------------------------------------------------------------------------------------


def _piece(page: Page, levels: Mapping[int, int], hyphens: Hyphens) -> Piece:
    marks = notes.Marks(page)

    def finished(text: str) -> str:
        return clean(hyphens.undone(marks.written(text))).strip()

    depths = _item_depths(page.blocks)
    body = [_block(block, levels, depths.get(id(block), 0), finished) for block in page.blocks]
    aside = [_Written(finished(notes.note_text(note))) for note in page.notes]
    aside += [_Written(finished(paragraph.text), hidden=True) for paragraph in page.unseen]
    if page.runs_on:
        body[-1:-1] = aside
    else:
        body += aside
    return _composed([one for one in body if one.text], page)


def _block(block: Block, levels: Mapping[int, int], depth: int, finished: Callable[[str], str]) -> _Written:
    if isinstance(block, Table):
        rows = [[finished(cell) for cell in row] for row in block.cells]
        return _Written(clean("\n".join(markdown_rows(rows))).strip())
    level = levels.get(id(block))
    if level is not None:
        return _Written(finished(headings.heading_text(block)), level=level)
    if block.marker:
        return _Written("  " * depth + finished(f"{block.marker} {block.text}"), item=True)
    return _Written(finished(block.text))


def _item_depths(blocks: Sequence[Block]) -> dict[int, int]:
    """How deep each list's item lies, by its id: items further right than the one before lie in it."""
    depths: dict[int, int] = {}
    stack: list[float] = []
    for block in blocks:
        if not isinstance(block, Paragraph) or not block.marker:
            stack = []
            continue
        near = 0.5 * block.size
        while stack and block.indent < stack[-1] - near:
            stack.pop()
        if not stack or block.indent > stack[-1] + near:
            stack.append(block.indent)
        depths[id(block)] = min(len(stack) - 1, _DEEPEST_ITEM)
    return depths


def _composed(found: Sequence[_Written], page: Page) -> Piece:
    parts: list[str] = []
    found_headings: list[ExtractedHeading] = []
    unseen: list[ExtractedMark] = []
    length = 0
    for number, one in enumerate(found):
        if number:
            parts.append("\n" if one.item and found[number - 1].item else "\n\n")
            length += len(parts[-1])
        end = length + len(one.text)
        if one.level is not None:
            found_headings.append(ExtractedHeading(one.level, length, end))
        if one.hidden:
            unseen.append(ExtractedMark("hidden", length, end))
        parts.append(one.text)
        length = end
    return Piece("".join(parts), tuple(found_headings), page.number, tuple(unseen), runs_on=page.runs_on)
