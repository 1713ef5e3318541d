"""Which faults come, and when: drawn from the seed alone. A moment is a share of documents done, not a time."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    KILL = "kill a worker"
    KILL_BAKERS = "kill those who bake"
    KILL_ALL = "kill every worker at once"
    FREEZE = "freeze a worker"
    BROKER = "bounce the broker"
    DATABASE_FAST = "restart PostgreSQL"
    DATABASE_CRASH = "crash PostgreSQL"
    DUPLICATE = "publish records again"
    REORDER = "publish records again, shuffled"
    DISK = "fill the staging disk"
    SCALE_UP = "add a worker"
    SCALE_DOWN = "take a worker away"
    TRUNCATE = "truncate a topic, reconcile"
    BACKUP = "back the ledger up"
    RESTORE = "restore the ledger, reconcile"


OTHERS: Final = (
    Kind.FREEZE,
    Kind.BROKER,
    Kind.DATABASE_CRASH,
    Kind.DUPLICATE,
    Kind.SCALE_UP,
    Kind.KILL_ALL,
    Kind.TRUNCATE,
    Kind.REORDER,
    Kind.DISK,
    Kind.DATABASE_FAST,
    Kind.SCALE_DOWN,
    Kind.RESTORE,
)
"""Every fault but kills; a campaign has each of them before it has one twice."""
FEWEST_OTHERS: Final = 18
OTHERS_SHARE: Final = 1 / 6
"""Of a large campaign's faults; the rest are kills."""
BACKUP_AT: Final = 0.6
"""A backup is taken when this part of the way to its restore is done."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    """Share of the documents that are done, 0 to 1."""
    kind: Kind
    draw: int
    """Seeds whatever the fault draws itself."""


def plan(faults: int, seed: int, *, without: frozenset[Kind] = frozenset()) -> list[Fault]:
    """`faults` of them in order, evenly spread with some jitter. Backups come on top; the last one hits the bakers."""
    chance = random.Random(f"plan {seed}")
    kinds = _kinds(faults, [kind for kind in OTHERS if kind not in without])
    chance.shuffle(kinds)
    moments = [(number + chance.random()) / faults for number in range(faults - 1)]
    found = [Fault(at, kind, chance.getrandbits(32)) for at, kind in zip(moments, kinds, strict=False)]
    backups = [Fault(one.at * BACKUP_AT, Kind.BACKUP, 0) for one in found if one.kind is Kind.RESTORE]
    last = [Fault(1.0, Kind.KILL_BAKERS, chance.getrandbits(32))] if faults else []
    return sorted([*found, *backups], key=lambda fault: fault.at) + last


def only_kills(faults: int, seed: int, other: Kind) -> list[Fault]:
    """Kills, and every third one the other kind."""
    chance = random.Random(f"kills {seed}")
    kinds = [other if number % 3 == 1 else Kind.KILL for number in range(faults)]
    return [Fault((number + 0.5) / faults, kind, chance.getrandbits(32)) for number, kind in enumerate(kinds)]


def _kinds(faults: int, others: list[Kind]) -> list[Kind]:
    count = min(faults - 1, max(FEWEST_OTHERS, round(faults * OTHERS_SHARE)))
    drawn = [others[number % len(others)] for number in range(count)]
    return [*drawn, *[Kind.KILL] * (faults - 1 - count)]
