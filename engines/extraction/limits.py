"""How much a container may hold. Whoever made it may mean harm, so what it says of itself is never believed."""

from typing import Final

from schemas.errors import Permanent

MEBIBYTE: Final = 1024 * 1024
MOST_MEMBERS: Final = 10_000
"""Of one container; folders, links and what is hidden count as well."""
MOST_BYTES: Final = 1024 * MEBIBYTE
"""Of all its members together."""
MOST_OF_ONE: Final = 128 * MEBIBYTE
"""Of one member: it is held whole, beside its container, by the child that reads it and by the worker that seals it."""


class Tally:
    """What came out of a container so far. Raises Permanent `document.costly` once that is too much."""

    def __init__(self) -> None:
        self._members = 0
        self._bytes = 0

    def member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise too_many()

    def read(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise too_much()


def too_many() -> Permanent:
    return Permanent("document.costly", limit=f"{MOST_MEMBERS} members")


def too_much() -> Permanent:
    return Permanent("document.costly", limit=f"{MOST_BYTES // MEBIBYTE} MiB of members")


def too_large() -> Permanent:
    """Of one member: the others are none the worse for it."""
    return Permanent("document.costly", limit=f"{MOST_OF_ONE // MEBIBYTE} MiB, which is the most of one member")
