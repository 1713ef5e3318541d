"""Documents of the same bytes: worked on once, and listed under each of their names.

Which of them was worked on is an accident of arrival, and after a race there may be two. So what is baked and proven
goes by the bytes: their passages stand under the first of their names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from infra.ledger import DocumentRow, DocumentState
from schemas.errors import Permanent

LISTED: Final = frozenset({DocumentState.DONE, DocumentState.DUPLICATE})
"""States of the documents that an image lists."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One name of a document."""

    id: str
    """Of the document whose parts are its results."""
    own_path: str = field(repr=False)
    """The name that these were made under."""
    path: str = field(repr=False)
    first: str = field(repr=False)
    """The first of its names, by their bytes: its passages stand there."""
    names: int = 1

    @property
    def is_first(self) -> bool:
        return self.path == self.first


def listed(rows: Iterable[DocumentRow], path_of: Callable[[DocumentRow], str]) -> list[Listed]:
    """Every name that the image lists, in no order. `path_of` opens a row's path.

    Raises Permanent `job.incomplete`: nobody worked on what is a duplicate; and what `path_of` does.
    """
    groups: defaultdict[str, list[tuple[str, DocumentRow]]] = defaultdict(list)
    for row in rows:
        if row.state in LISTED:
            groups[row.content or row.same_as or row.id].append((path_of(row), row))
    return [one for group in groups.values() for one in _names(group)]


def _names(group: list[tuple[str, DocumentRow]]) -> list[Listed]:
    worked_on = [(path.encode(), row.id, path) for path, row in group if row.state is DocumentState.DONE]
    if not worked_on:
        raise Permanent("job.incomplete", what="a document is a duplicate of none")
    _, document, own_path = min(worked_on)
    paths = sorted({path for path, _ in group}, key=str.encode)
    return [Listed(document, own_path, path, paths[0], len(paths)) for path in paths]
