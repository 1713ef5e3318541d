"""How much of a document's truth a reader gave back, a number for each thing: 1 is all of it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from engines.extraction import Extracted
from tests.engines.formats.truth import Truth

_ROW: Final = re.compile(r"^\|(.*)\|$")
_RULE: Final = re.compile(r"^[|\s-]+$")
_NUMBER: Final = re.compile(r"\[\^?\d+\]")
_ITEM: Final = re.compile(r"^( *)(-|\d+[.)]) (.*)$")


def words(found: Extracted, truth: Truth) -> float | None:
    """F1 of words, whatever their order."""
    wanted = Counter(_words(_all_of(truth)))
    got = Counter(_words(_NUMBER.sub(" ", found.text)))
    for word in ("|", "---", "-"):
        del got[word], wanted[word]
    return _f1(got, wanted)


def headings(found: Extracted, truth: Truth) -> float | None:
    got = [(heading.level, found.text[heading.start : heading.end]) for heading in found.headings]
    return _in_order(got, truth.headings)


def lists(found: Extracted, truth: Truth) -> float | None:
    """Lines of lists with their numbers and depth, in order."""
    lines = [match for line in found.text.split("\n") if (match := _ITEM.match(line))]
    shallowest = min((len(match[1]) for match in lines), default=0)
    return _in_order([f"{match[1][shallowest:]}{match[2]} {match[3]}" for match in lines], truth.items)


def tables(found: Extracted, truth: Truth) -> float | None:
    """F1 of cells by their row, column and table."""
    if not truth.tables:
        return None
    got = Counter(_cells(tables_of(found.text)))
    return _f1(got, Counter(_cells(truth.tables)))


def sentences(found: Extracted, truth: Truth) -> float | None:
    """In order, and cut by nothing: no note, no header, no hyphen."""
    text = " ".join(_NUMBER.sub("", found.text).split())
    place = kept = 0
    for sentence in truth.sentences:
        at = text.find(sentence, place)
        if at >= 0:
            kept, place = kept + 1, at
    return kept / len(truth.sentences) if truth.sentences else None


def notes(found: Extracted, truth: Truth) -> float | None:
    return _share(note in " ".join(found.text.split()) for note in truth.notes)


def margins(found: Extracted, truth: Truth) -> float | None:
    """Once: 1. Never: 0. Often: less than 0.5."""
    counts = [found.text.count(margin) for margin in truth.margins]
    return sum(1 / count if count else 0 for count in counts) / len(counts) if counts else None


def hidden(found: Extracted, truth: Truth) -> float | None:
    """Marked where hidden, and not where seen."""
    if not truth.hidden:
        return None
    marked = [_is_marked(found, text) for text in truth.hidden]
    return sum([*marked, *(not _is_marked(found, text) for text in truth.seen)]) / (len(truth.hidden) + len(truth.seen))


def pages(found: Extracted, truth: Truth) -> float | None:
    if not truth.pages:
        return None
    got = [found.text[page.start : page.end] for page in found.pages]
    return sum(page.startswith(begin) for page, begin in zip(got, truth.pages, strict=False)) / len(truth.pages)


def about(found: Extracted, truth: Truth) -> float | None:
    """Title, day of the last change, language."""
    wanted = {"title": truth.title, "date": truth.date, "language": truth.language}
    return _share(getattr(found, name) == value for name, value in wanted.items() if value)


SCORES: Final[Mapping[str, Callable[[Extracted, Truth], float | None]]] = {
    "words": words,
    "sentences": sentences,
    "headings": headings,
    "lists": lists,
    "tables": tables,
    "footnotes": notes,
    "header": margins,
    "hidden": hidden,
    "pages": pages,
    "title, day, language": about,
}


# -- how they are counted ---------------------------------------------------------------------------------------------


def tables_of(text: str) -> list[list[list[str]]]:
    found: list[list[list[str]]] = []
    is_inside = False
    for line in text.split("\n"):
        row = _ROW.match(line.strip())
        if row and not is_inside:
            found.append([])
        is_inside = row is not None
        if row and not _RULE.match(line):
            found[-1].append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row[1])])
    return found


def _cells(tables: Sequence[Sequence[Sequence[str]]]) -> Iterable[tuple[int, int, int, str]]:
    return (
        (place, row, column, cell)
        for place, table in enumerate(tables)
        for row, cells in enumerate(table)
        for column, cell in enumerate(cells)
        if cell
    )


def _all_of(truth: Truth) -> str:
    cells = (cell for table in truth.tables for row in table for cell in row)
    titles = (title for _, title in truth.headings)
    said = {cell for table in truth.tables for row in table for cell in row} | {title for _, title in truth.headings}
    others = (text for text in (*truth.hidden, *truth.seen) if text not in said)
    return " ".join([*truth.sentences, *titles, *truth.items, *cells, *truth.notes, *truth.margins, *others])


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _f1(got: Counter[object] | Counter[str], wanted: Counter[object] | Counter[str]) -> float:
    shared = sum((got & wanted).values())  # type: ignore[operator]
    return 2 * shared / (sum(got.values()) + sum(wanted.values())) if shared else 0.0


def _in_order(got: Sequence[object], wanted: Sequence[object]) -> float | None:
    """The longest run of both that agrees, in order, as F1."""
    if not wanted:
        return None
    lengths = [0] * (len(wanted) + 1)
    for one in got:
        above = 0
        for place, other in enumerate(wanted):
            above, lengths[place + 1] = (
                lengths[place + 1],
                max(lengths[place + 1], lengths[place], above + (one == other)),
            )
    return 2 * lengths[-1] / (len(got) + len(wanted)) if got else 0.0


def _share(kept: Iterable[bool]) -> float | None:
    all_of = list(kept)
    return sum(all_of) / len(all_of) if all_of else None


def _is_marked(found: Extracted, text: str) -> bool:
    start = found.text.find(text)
    return start >= 0 and any(mark.start <= start and start + len(text) <= mark.end for mark in found.marks)
