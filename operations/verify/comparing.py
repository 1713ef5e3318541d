"""Two places held against each other, walking both in their common order: nothing is kept but the document in hand."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import cast

from operations.verify.places import STAGES, Leaves, Place

Leaf = tuple[int | None, bytes]
"""With its chunk's ordinal."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first one, in the order of the stages and of their leaves."""

    stage: str
    document: str = field(repr=False)
    """Its path."""
    ordinal: int | None
    """Of the chunk; None where it is about the document as a whole."""
    what: str


@dataclass(slots=True)
class Tally:
    same: int = 0
    changed: int = 0
    added: int = 0
    gone: int = 0


@dataclass(slots=True)
class Comparison:
    """From another job's results to these. A chunk is known by its document and where in it it starts."""

    documents: Tally = field(default_factory=Tally)
    chunks: Tally = field(default_factory=Tally)
    vectors: Tally = field(default_factory=Tally)
    """Of the chunks that are the same."""


async def first_difference(ours: Place, theirs: Place) -> Difference | None:
    """Where `ours` first differs from `theirs`, which counts as right."""
    first: dict[str, Difference] = {}
    async with aclosing(_side_by_side(ours, theirs)) as pairs:
        async for one, other in pairs:
            for stage in STAGES:
                if stage not in first and (found := _difference(stage, one, other)):
                    first[stage] = found
            if STAGES[0] in first:
                break  # no other can come before it
    return next((first[stage] for stage in STAGES if stage in first), None)


async def compare(ours: Place, theirs: Place) -> Comparison:
    """What became of `theirs` in `ours`."""
    comparison = Comparison()
    async for one, other in _side_by_side(ours, theirs):
        _count_document(comparison, one, other)
    return comparison


async def _side_by_side(ours: Place, theirs: Place) -> AsyncGenerator[tuple[Leaves | None, Leaves | None], None]:
    """The documents of both; None where one place lacks it."""
    async with aclosing(_generator(ours)) as left, aclosing(_generator(theirs)) as right:
        one, other = await anext(left, None), await anext(right, None)
        while one is not None or other is not None:
            if other is None or (one is not None and one.order < other.order):
                yield one, None
                one = await anext(left, None)
            elif one is None or other.order < one.order:
                yield None, other
                other = await anext(right, None)
            else:
                yield one, other
                one, other = await anext(left, None), await anext(right, None)


def _generator(place: Place) -> AsyncGenerator[Leaves, None]:
    return cast(AsyncGenerator[Leaves, None], place.documents())


def _difference(stage: str, ours: Leaves | None, theirs: Leaves | None) -> Difference | None:
    if ours is None or theirs is None:
        known = ours or theirs
        assert known is not None
        return Difference(stage, known.path, None, "is too many" if theirs is None else "is lacking")
    for one, other in zip_longest(ours.of(stage), theirs.of(stage)):
        if one != other:
            return Difference(stage, ours.path, *_told(one, other))
    return None


def _told(ours: Leaf | None, theirs: Leaf | None) -> tuple[int | None, str]:
    """The ordinal at which two leaves part, and how."""
    if ours is None or (theirs is not None and _ordinal(theirs) < _ordinal(ours)):
        assert theirs is not None
        return theirs[0], "is lacking"
    if theirs is None or _ordinal(ours) < _ordinal(theirs):
        return ours[0], "is too many"
    return ours[0], "differs"


def _ordinal(leaf: Leaf) -> int:
    return -1 if leaf[0] is None else leaf[0]


def _count_document(comparison: Comparison, ours: Leaves | None, theirs: Leaves | None) -> None:
    now = {passage.start: passage for passage in ours.passages} if ours else {}
    then = {passage.start: passage for passage in theirs.passages} if theirs else {}
    both = now.keys() & then.keys()
    same = [start for start in both if now[start].content == then[start].content]
    kept = [start for start in same if now[start].vector == then[start].vector]
    chunks = comparison.chunks
    chunks.same += len(same)
    chunks.changed += len(both) - len(same)
    chunks.added += len(now) - len(both)
    chunks.gone += len(then) - len(both)
    comparison.vectors.same += len(kept)
    comparison.vectors.changed += len(same) - len(kept)
    documents = comparison.documents
    if ours is None:
        documents.gone += 1
    elif theirs is None:
        documents.added += 1
    elif len(kept) == len(now) == len(then):
        documents.same += 1
    else:
        documents.changed += 1
