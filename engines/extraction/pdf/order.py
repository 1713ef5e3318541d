"""Which piece of a page is read after which: columns from left to right, each from top to bottom."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Final

from engines.extraction.pdf.rows import Piece
from engines.extraction.pdf.tables import Table

Item = Piece | Table

_GUTTER: Final = 0.7
"""Of the usual type size: the narrowest space between columns."""
_NARROWEST: Final = 5
"""Of the usual type size: what is narrower is a list's bullets or a margin's numbers."""
_FEW: Final = 5
_CLEAR: Final = 1.4
"""Of the usual type size: the narrowest space between columns of few lines."""
_MOST_ITEMS: Final = 4_000
"""Beyond that it is a drawing's labels, and columns are not looked for."""
_MOST_EDGES: Final = 40
_DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class _Split:
    above: list[Item]
    left: list[Item]
    right: list[Item]
    below: list[Item]
    weight: int


def in_order(items: Sequence[Item], depth: int = 0) -> list[list[Item]]:
    """Regions, in the order in which they are read. Within one, what stands higher comes first."""
    if not items:
        return []
    split = _best_split(items) if 4 <= len(items) <= _MOST_ITEMS and depth < _DEEPEST else None
    if split is None:
        return [list(items)]
    parts = (split.above, split.left, split.right, split.below)
    return [region for part in parts for region in in_order(part, depth + 1)]


def _best_split(items: Sequence[Item]) -> _Split | None:
    em = _usual_size(items)
    ordered = sorted(items, key=lambda item: (item.top + item.bottom, item.left))
    splits = (split for left in _edges(items, em) for split in _splits(ordered, left, em))
    return max(splits, key=attrgetter("weight"), default=None)


def _usual_size(items: Sequence[Item]) -> float:
    sizes = Counter(round(item.size, 1) for item in items if isinstance(item, Piece))
    return max(sizes, key=lambda size: (sizes[size], size)) if sizes else 10.0


def _edges(items: Sequence[Item], em: float) -> list[float]:
    """Where a right column may begin: the left edge of three pieces at least, or of two that are far from the left."""
    start = min(item.left for item in items)
    edges: Counter[int] = Counter()
    lowest: dict[int, float] = {}
    for item in items:
        if item.left > start + _NARROWEST * em:
            key = round(item.left / 3)
            edges[key] += 1
            lowest[key] = min(lowest.get(key, item.left), item.left)
    weights = {key: edges[key - 1] + edges[key] + edges[key + 1] for key in sorted(edges)}
    common = sorted((key for key, weight in weights.items() if weight >= 2), key=lambda key: -weights[key])
    return sorted(lowest[key] for key in common[:_MOST_EDGES])


def _splits(ordered: Sequence[Item], edge: float, em: float) -> list[_Split]:
    """The zones in which nothing crosses the space before `edge`, and text stands on both sides of it."""
    start, end = edge - _GUTTER * em, edge - 0.2
    found: list[_Split] = []
    first = 0
    for number in range(len(ordered) + 1):
        crosses = number == len(ordered) or (ordered[number].left < end and ordered[number].right > start)
        if crosses:
            split = _split(ordered, first, number, edge, em)
            if split is not None:
                found.append(split)
            first = number + 1
    return found


def _split(ordered: Sequence[Item], first: int, end: int, edge: float, em: float) -> _Split | None:
    zone = ordered[first:end]
    left = [item for item in zone if item.left < edge - 0.2]
    right = [item for item in zone if item.left >= edge - 0.2]
    above, below = list(ordered[:first]), list(ordered[end:])
    if len(left) < 2 or len(right) < 2:
        return None
    left, over, under = _trimmed(left, right)
    above, below = above + over, under + below
    right, over, under = _trimmed(right, left)
    above, below = above + over, under + below
    if not _are_columns(left, right, em):
        return None
    return _Split(above, left, right, below, min(_letters(left), _letters(right)))


def _trimmed(side: list[Item], other: list[Item]) -> tuple[list[Item], list[Item], list[Item]]:
    """(column, above it, below it): what stands over or under the other column, and is drawn before or after it, is
    no part of the columns but a short line across both."""
    top, bottom = min(item.top for item in other), max(item.bottom for item in other)
    began, ended = min(map(_drawn, other)), max(map(_drawn, other))
    over = [item for item in side if item.bottom < top and _drawn(item) < began]
    under = [item for item in side if item.top > bottom and _drawn(item) > ended]
    kept = [item for item in side if item not in over and item not in under]
    return (kept, over, under) if len(kept) >= 2 else (side, [], [])


def _are_columns(left: list[Item], right: list[Item], em: float) -> bool:
    """Text that is read down one side first, and no table, whose rows are drawn one after the other."""
    if min(_width(left), _width(right)) < _NARROWEST * em:
        return False
    gutter = min(item.left for item in right) - max(item.right for item in left)
    if min(len(left), len(right)) < _FEW and gutter < _CLEAR * em:
        return False  # words that happen to stand below each other
    if min(max(item.bottom for item in left), max(item.bottom for item in right)) <= max(
        min(item.top for item in left), min(item.top for item in right)
    ):
        return False  # one below the other
    sides = [side for _, side in sorted([(_drawn(i), 0) for i in left] + [(_drawn(i), 1) for i in right])]
    switches = sum(a != b for a, b in pairwise(sides))
    fewer = min(len(left), len(right))
    if switches <= 1 + fewer // 8:
        return True
    return fewer >= 5 and _is_prose(left) and _is_prose(right)


def _is_prose(side: list[Item]) -> bool:
    """Most lines are long for their column, and hold several words."""
    lines = [item for item in side if isinstance(item, Piece)]
    reach = min(item.left for item in side) + 0.7 * _width(side)
    full = sum(line.right > reach and len(line.words) >= 4 for line in lines)
    return full >= 0.6 * max(len(lines), 1)


def _width(items: list[Item]) -> float:
    return max(item.right for item in items) - min(item.left for item in items)


def _letters(items: list[Item]) -> int:
    return sum(item.letters for item in items)


def _drawn(item: Item) -> int:
    return item.order
