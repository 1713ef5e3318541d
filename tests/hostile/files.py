"""Files that are built to hurt, and files that came to harm: a stream of them, kind by kind, the same from one seed.

None is stored: whoever wants to know what a kind does reads how it is made. `files_archives`, `files_documents` and
`files_pictures` have the kinds; here stands what they share, what every format gets (cuts and noise), and the order.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.hostile import files_archives, files_documents, files_pictures
from tests.hostile.files_kinds import Kind, Lure
from tests.hostile.files_samples import SIGNATURES, samples
from tests.hostile.mutating import mutated

CUTS: Final = 64
NOISES: Final = 4
"""Of each length under each signature."""


@dataclass(frozen=True, slots=True)
class HostileFile:
    kind: str
    name: str
    """What whoever sends it calls it."""
    data: bytes = field(repr=False)


def built(lure: Lure, *, seed: int, only: str = "") -> Iterator[HostileFile]:
    """Every kind that somebody has to think of (or those with `only` in their names)."""
    kinds: dict[str, Kind] = {**files_archives.KINDS, **files_documents.KINDS, **files_pictures.KINDS}
    for kind, make in kinds.items():
        if only in kind:
            for name, data in make(lure, random.Random(f"{seed} {kind}")):
                yield HostileFile(kind, name, data)


def cuts(*, points: int = CUTS) -> Iterator[HostileFile]:
    """Each sample cut at points that lie evenly over it, the first after one byte."""
    for name, data in samples().items():
        for number in range(points):
            yield HostileFile("cut short", f"{number}-{name}", data[: 1 + number * (len(data) - 1) // points])


def noise(*, seed: int) -> Iterator[HostileFile]:
    """Random bytes under each signature."""
    chance = random.Random(f"{seed} noise")
    for name, signature in SIGNATURES.items():
        for length in (0, 16, 4096):
            for number in range(NOISES if length else 1):
                yield HostileFile("noise under a signature", f"{number}-{name}", signature + chance.randbytes(length))


def mutants(count: int, *, seed: int) -> Iterator[HostileFile]:
    """Real files with some bytes, lengths or parts changed."""
    whole = samples()
    chance = random.Random(f"{seed} mutants")
    for number in range(count):
        name = chance.choice([*whole])
        yield HostileFile("mutated", f"{number}-{name}", mutated(whole[name], chance, [*whole.values()]))
