"""One campaign: a calm job, then the same documents in a second job while faults come, then the checker.

Documents are submitted a little ahead of what is done, so that every fault meets work on its way.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from aiokafka.errors import KafkaError

from tests.chaos.checker import Evidence, Verdict, check
from tests.chaos.documents import ARCHIVE, Source, save_facts, sources
from tests.chaos.faults import Faults
from tests.chaos.plan import Fault, Kind
from tests.chaos.wire import Wire, submission
from tests.chaos.world import CUSTOMER, World, open_world

PIECES: Final = 150
"""Ingest events of a campaign, unless these would be smaller than SMALLEST_PIECE or larger than LARGEST_PIECE."""
SMALLEST_PIECE, LARGEST_PIECE = 8, 64
"""Documents of one event."""
AHEAD: Final = 0.08
"""Share of the documents that is submitted beyond what is done; of a small campaign at least AHEAD_DOCUMENTS."""
AHEAD_DOCUMENTS: Final = 32
OVER: Final = ("baked", "failed", "cancelled", "erased")
LOOK_SECONDS: Final = 0.15
DRAIN_SECONDS: Final = 60.0
PATIENCE: Final = 120.0
RECONCILE_AGAIN_SECONDS: Final = 15.0
"""Without progress, after a disaster: `cradle reconcile` is run once more, each time after a longer wait."""


@dataclass(frozen=True, slots=True)
class Settings:
    documents: int
    seed: int
    faults: Sequence[Fault]
    libs: Path
    """Apache Kafka's jars."""
    command: tuple[str, ...] = ("-m", "cradle")
    """How workers are started."""
    patience: float = PATIENCE
    """Seconds without any progress after which the campaign takes the job for lost and lets the checker speak."""
    parent: Path | None = None
    """Where the campaign's folder is made."""
    keep: bool = False


@dataclass(slots=True)
class Result:
    settings: Settings
    verdict: Verdict
    counts: dict[Kind, int]
    told: list[str]
    """A line a fault."""
    calm_seconds: float
    storm_seconds: float
    restarts: int
    reconciled: int
    """How often `cradle reconcile` was run."""
    documents: int
    """Distinct ones, members of archives included, archives not."""


@dataclass(slots=True)
class _Progress:
    """How far a job is, and since when it has not moved."""

    total: int
    share: float = 0.0
    state: str = ""
    moved_at: float = field(default_factory=time.monotonic)
    _last: tuple[object, ...] = ()

    def look(self, world: World, job_reference: str) -> None:
        query = (
            "SELECT state, done + failed, open_work, sources FROM ledger.jobs WHERE customer = %s AND reference = %s"
        )
        try:
            rows = world.rows(query, CUSTOMER, job_reference)
        except psycopg.Error:
            return
        seen = rows[0] if rows else ("", 0, 0, 0)
        if seen != self._last:
            self._last, self.moved_at = seen, time.monotonic()
        self.state, self.share = str(seen[0]), int(str(seen[1])) / self.total

    def stands_still(self, patience: float) -> bool:
        return time.monotonic() - self.moved_at > patience


async def run(settings: Settings) -> Result:
    home = Path(tempfile.mkdtemp(prefix="cradle-chaos-", dir=settings.parent))
    home.chmod(0o711)  # PostgreSQL's user passes through
    _say(f"in {home}")
    try:
        with open_world(home, settings.libs, documents=settings.documents) as world:
            return await _Campaign(settings, world).run()
    finally:
        if not settings.keep:
            shutil.rmtree(home, ignore_errors=True)


class _Campaign:
    def __init__(self, settings: Settings, world: World) -> None:
        self._settings = settings
        self._world = world
        self._wire = Wire(world.kafka.address)
        self._faults = Faults(world, self._wire)
        self._sources = list(sources(settings.documents, settings.seed))
        self._facts = [fact for source in self._sources for fact in source.facts]
        self._told: list[str] = []

    async def run(self) -> Result:
        self._write_documents()
        total = sum(fact.fate != ARCHIVE for fact in self._facts)
        crew = self._world.crew
        crew.command = self._settings.command
        crew.begin()
        calm = await self._ride("calm", (), total)
        _say(f"calm run: {calm:.0f} s")
        before = crew.restarts
        storm = await self._ride("storm", self._settings.faults, total)
        _say(f"storm: {storm:.0f} s, {crew.restarts - before} workers started again")
        verdict = await check(self._evidence())
        return Result(
            settings=self._settings,
            verdict=verdict,
            counts=self._faults.done,
            told=self._told,
            calm_seconds=calm,
            storm_seconds=storm,
            restarts=crew.restarts - before,
            reconciled=self._faults.reconciled,
            documents=total,
        )

    async def _ride(self, reference: str, faults: Sequence[Fault], total: int) -> float:
        """One job from its first event to its image and the last record read. Returns seconds."""
        begun = time.monotonic()
        left, waiting = _pieces(self._sources), list(faults)
        progress = _Progress(total)
        ahead = max(AHEAD, AHEAD_DOCUMENTS / len(self._sources)) if faults else 1.0
        submitted = 0
        while True:
            progress.look(self._world, reference)
            while left and submitted / total <= progress.share + ahead:
                piece = left.pop(0)
                submitted += sum(fact.fate != ARCHIVE for source in piece for fact in source.facts)
                manifest = None if left else len(self._sources)
                await self._wire.publish([submission(reference, self._world.documents, piece, manifest)])
            if waiting and progress.share >= waiting[0].at:
                await self._hit(waiting.pop(0), progress)
                continue
            if progress.state in OVER and not waiting:
                await self._drain()
                break
            if self._faults.reconciled and progress.stands_still(RECONCILE_AGAIN_SECONDS * self._faults.reconciled):
                _say(f"{progress.share:6.1%}  reconcile once more: {await self._faults.reconcile()}")
            patience = self._settings.patience if faults and progress.state else PATIENCE
            if progress.stands_still(patience):
                _say(f"no progress for {patience:.0f} s, at {progress.share:.1%}, {progress.state}")
                self._world.crew.go_on()
                break
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    async def _hit(self, fault: Fault, progress: _Progress) -> None:
        begun = time.monotonic()
        line = f"{progress.share:6.1%}  {fault.kind}: {await self._faults.apply(fault)}"
        self._told.append(line)
        _say(f"{line}  ({time.monotonic() - begun:.1f} s)")
        progress.moved_at = time.monotonic()

    async def _drain(self) -> None:
        """Waits until every stage has read what there is: duplicates may lie behind the last fresh record."""
        self._world.crew.go_on()
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            try:
                if await self._wire.behind() == 0:
                    return
            except (KafkaError, OSError):
                pass
            await asyncio.sleep(LOOK_SECONDS)
        _say(f"some records are unread after {DRAIN_SECONDS:.0f} s")

    def _write_documents(self) -> None:
        for source in self._sources:
            file = self._world.documents / source.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.data)
        save_facts(self._facts, self._world.home / "facts.json")

    def _evidence(self) -> Evidence:
        jobs = {name: self._job(name) for name in ("calm", "storm")}
        return Evidence(
            servers=self._world.kafka.address,
            ledger=self._world.postgres.url(),
            job=jobs["storm"],
            key=self._world.key(jobs["storm"]),
            image=self._world.image(jobs["storm"]),
            calm_image=self._world.image(jobs["calm"]),
            facts=tuple(self._facts),
        )

    def _job(self, reference: str) -> UUID:
        query = "SELECT id FROM ledger.jobs WHERE customer = %s AND reference = %s"
        return UUID(str(self._world.rows(query, CUSTOMER, reference)[0][0]))


def _pieces(found: Sequence[Source]) -> list[list[Source]]:
    size = min(LARGEST_PIECE, max(SMALLEST_PIECE, len(found) // PIECES))
    return [list(found[at : at + size]) for at in range(0, len(found), size)]


def _say(line: str) -> None:
    print(f"chaos: {line}", file=sys.stderr, flush=True)
