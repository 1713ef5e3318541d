"""How near a text comes to the truth: pure functions of two texts, or of two lists of tables.

Texts are as extraction gives them: plain, with Markdown's tables, lists and emphasis. Before they are compared their
markup is taken away, their white space is one blank, and their characters are NFKC, so that a ligature is its letters.
What takes the place of a missing score is told by each function.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

Table = Sequence[Sequence[str]]
"""Rows of cells."""

_WORD: Final = re.compile(r"\w+(?:[-.,:/@'\u2019]\w+)*")
"""Letters and digits, and what joins them within a word: `VS-55`, `1.186,00`, `year's`."""
_RULE_ROW: Final = re.compile(r"\s*\|?\s*:?-{3,}:?\s*(?:\|\s*:?-{3,}:?\s*)*\|?\s*")
_ROW: Final = re.compile(r"\s*\|.*\|\s*")
_CELL_EDGE: Final = re.compile(r"(?<!\\)\|")
_LINE_MARK: Final = re.compile(r"^\s*(?:#{1,6}\s+|[-*+•]\s+|>\s+)")


def plain(text: str) -> str:
    """The text without Markdown's marks at lines' beginnings, tables' rules and bars; one blank between words."""
    return " ".join(unicodedata.normalize("NFKC", " ".join(_plain_lines(text))).split())


def _plain_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if _ROW.fullmatch(line):
            yield "" if _RULE_ROW.fullmatch(line) else " ".join(_cells(line))
        else:
            yield _LINE_MARK.sub("", line, count=1)


def words(text: str) -> list[str]:
    """The words of the text in order, as written: case and umlauts count, punctuation around them does not."""
    return _WORD.findall(plain(text))


def tables_in(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text, without the rules below their heads."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not _ROW.fullmatch(line):
            tables.append([])
        elif not _RULE_ROW.fullmatch(line):
            tables[-1].append(_cells(line))
    return [table for table in tables if table]


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in _CELL_EDGE.split(line.strip()[1:-1])]


def character_error_rate(truth: str, text: str) -> float:
    """Insertions, deletions and replacements of characters that make `text` the truth, over the truth's length.

    0 is perfect; more than 1 is possible. Of an empty truth: 0 if the text is empty as well, else 1.
    """
    wanted, found = plain(truth), plain(text)
    return edit_distance(wanted, found) / len(wanted) if wanted else float(bool(found))


def word_error_rate(truth: str, text: str) -> float:
    """As `character_error_rate`, of words: their order counts."""
    wanted, found = words(truth), words(text)
    return edit_distance(wanted, found) / len(wanted) if wanted else float(bool(found))


def word_f1(truth: str, text: str) -> float:
    """Harmonic mean of precision and recall of the words, as often as each stands there; their order is not minded.

    1 is perfect; also where neither has a word.
    """
    return f1(words(truth), words(text))


def table_cell_f1(truth: Sequence[Table], tables: Sequence[Table]) -> float:
    """How well cells keep their places: F1 of the neighbourhoods of cells, over all tables together.

    A neighbourhood is a cell's words, its next cell's to the right or below that is not empty, and which of the two:
    the adjacency relations of the table competition at ICDAR 2013 (Goebel, Hassan, Oro, Orsi). So a row that is split
    costs its own cells and no others. A table of one cell is that cell. 1 where neither has a table.
    """
    return f1(
        [relation for table in truth for relation in _relations(table)],
        [relation for table in tables for relation in _relations(table)],
    )


def _relations(table: Table) -> Iterator[tuple[str, str, str]]:
    rows = [[" ".join(words(cell)) for cell in row] for row in table]
    width = max(map(len, rows), default=0)
    columns = [[row[number] if number < len(row) else "" for row in rows] for number in range(width)]
    filled = [cell for row in rows for cell in row if cell]
    if len(filled) == 1:
        yield filled[0], "", "alone"
    for direction, lines in (("right", rows), ("below", columns)):
        for line in lines:
            cells = [cell for cell in line if cell]
            for cell, neighbour in pairwise(cells):
                yield cell, neighbour, direction


def reading_order_errors(truth: str, text: str) -> float:
    """The share of steps, from one landmark of the text to its next, that do not go to the truth's next landmark.

    A landmark is a word that stands exactly once in each of the two. 0 is perfect; a paragraph that stands elsewhere
    costs three steps, columns read across cost two a line. 0 where there are fewer than two landmarks. Give it one
    page at a time: in a long text few words stand only once.
    """
    order = _landmarks(truth, text)
    if len(order) < 2:
        return 0.0
    wrong = sum(following != place + 1 for place, following in pairwise(order))
    return wrong / (len(order) - 1)


def inversions(truth: str, text: str) -> float:
    """The share of all pairs of landmarks that stand the wrong way round: 0 is perfect, 1 is backwards.

    It tells how far things are out of order, as `reading_order_errors` tells how often. Kendall's tau is 1 less twice
    this. 0 where there are fewer than two landmarks.
    """
    order = _landmarks(truth, text)
    pairs = len(order) * (len(order) - 1) / 2
    return _inverted(order)[1] / pairs if pairs else 0.0


def _landmarks(truth: str, text: str) -> list[int]:
    """Their ranks in the truth, in the text's order."""
    wanted, found = words(truth), words(text)
    shared = _once(wanted) & _once(found)
    rank = {word: number for number, word in enumerate(word for word in wanted if word in shared)}
    return [rank[word] for word in found if word in shared]


def _once(items: Iterable[str]) -> set[str]:
    return {word for word, count in Counter(items).items() if count == 1}


def _inverted(order: list[int]) -> tuple[list[int], int]:
    """Sorted, and how many pairs that took: by merging."""
    if len(order) < 2:
        return order, 0
    middle = len(order) // 2
    (left, within_left), (right, within_right) = _inverted(order[:middle]), _inverted(order[middle:])
    merged: list[int] = []
    count, taken = within_left + within_right, 0
    for number in right:
        while taken < len(left) and left[taken] < number:
            merged.append(left[taken])
            taken += 1
        count += len(left) - taken
        merged.append(number)
    return merged + left[taken:], count


def f1(truth: Iterable[Hashable], found: Iterable[Hashable]) -> float:
    """2 * shared / all of both, each counted as often as it stands there; 1 where both are empty."""
    wanted, given = Counter(truth), Counter(found)
    together = wanted.total() + given.total()
    return 2 * (wanted & given).total() / together if together else 1.0


def edit_distance(truth: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Levenshtein's distance. Myers' bit vectors, as Hyyrö put them (2003), a whole column in one integer: a page's
    characters take milliseconds."""
    if not truth:
        return len(found)
    places: dict[Hashable, int] = {}
    for number, item in enumerate(truth):
        places[item] = places.get(item, 0) | 1 << number
    everything, last = (1 << len(truth)) - 1, 1 << (len(truth) - 1)
    up, down, distance = everything, 0, len(truth)
    for item in found:
        same = places.get(item, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        more, less = down | ~(diagonal | up) & everything, up & diagonal
        distance += bool(more & last) - bool(less & last)
        more, less = (more << 1 | 1) & everything, less << 1 & everything
        up, down = less | ~(same | down | more) & everything, more & (same | down)
    return distance
