"""How much a container may hold. Whoever made it may mean harm, so what it says of itself is never believed."""

from typing import Final

from schemas.errors import Permanent

MEBIBYTE: Final = 1024 * 1024
MOST_MEMBERS: Final = 10_000
"""Of one container; folders, links and what is hidden count as well."""
MOST_BYTES: Final = 512 * MEBIBYTE
"""Of all its members together, however large it is."""
ALWAYS_BYTES: Final = 128 * MEBIBYTE
MOST_RATIO: Final = 16
"""All members may be so many times larger than their container, beyond ALWAYS_BYTES: texts are some four to ten times
what they are packed, a bomb is a thousand times."""
MOST_OF_ONE: Final = 96 * MEBIBYTE
"""Of one member: it is held whole, beside its container, by the child that reads it and by the worker that seals it."""


def most_bytes(size: int) -> int:
    """That all members of a container of that size may have together."""
    return min(MOST_BYTES, ALWAYS_BYTES + MOST_RATIO * size)


class Tally:
    """What came out of a container so far. Raises Permanent `document.costly` once that is too much."""

    def __init__(self, size: int) -> None:
        self.members = MOST_MEMBERS
        self.bytes = most_bytes(size)
        """What may still come."""

    def member(self, count: int = 1) -> None:
        self.members -= count
        if self.members < 0:
            raise Permanent("document.costly", limit=f"{MOST_MEMBERS} members")

    def read(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise Permanent("document.costly", limit=f"{MOST_RATIO} times its size")


def too_large() -> Permanent:
    """Of one member: the others are none the worse for it."""
    return Permanent("document.costly", limit=f"{MOST_OF_ONE // MEBIBYTE} MiB, which is the most of one member")
