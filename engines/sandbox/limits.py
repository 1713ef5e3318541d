"""How much one document may take of the machine."""

from dataclasses import dataclass
from typing import Final

from schemas.errors import Permanent

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one child, or, where it says so, of one call. What exceeds them is `document.costly`."""

    memory_bytes: int = 512 * MEBIBYTE
    """Private memory of the child: heap, stacks, the document itself and the interpreter (about 60 MiB). Reserved
    address space does not count: kreuzberg alone reserves 400 MiB that it never touches."""
    address_bytes: int = 4096 * MEBIBYTE
    """Address space, reserved or not."""
    cpu_seconds: int = 20
    """Computing time of a call, of all threads together."""
    cpu_seconds_a_picture: int = 2
    """So much more for each page that `pictures` has drawn: a scan of six hundred pages is honest work."""
    wall_seconds: float = 60.0
    """How long the parent waits for the child's next answer, the time to send it the document included."""
    open_files: int = 64

    def memory(self) -> Permanent:
        return Permanent("document.costly", limit=f"{self.memory_bytes // MEBIBYTE} MiB of memory")

    def cpu(self) -> Permanent:
        return Permanent("document.costly", limit=f"{self.cpu_seconds} seconds of computing")

    def wall(self) -> Permanent:
        return Permanent("document.costly", limit=f"{self.wall_seconds:g} seconds")


def output(most: int) -> Permanent:
    return Permanent("document.costly", limit=f"{most // MEBIBYTE} MiB of answer")
