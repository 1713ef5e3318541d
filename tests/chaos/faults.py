"""What each fault does to the world. A fault returns once it is over, but for the freezing, which thaws by itself."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tests.chaos.plan import Fault, Kind
from tests.chaos.wire import INNER, READ_BY, Wire
from tests.chaos.world import STAGES, WORKERS, World

FREEZE_SECONDS: Final = (1.0, 14.0)
"""Up to beyond the session timeout of 10 s: then the worker comes back to partitions that others have."""
DISK_SECONDS: Final = (2.0, 5.0)
AGAIN: Final = 12
"""Newest records a partition that are published once more."""
GATHER_SECONDS: Final = 5.0
"""How long a topic whose readers are dead is waited for, to have an unread record."""
DOWN_SECONDS: Final = (0.0, 2.0)


class Faults:
    """Does faults to a world, and counts them."""

    def __init__(self, world: World, wire: Wire) -> None:
        self._world = world
        self._wire = wire
        self.done: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self.reconciled = 0
        """How often `cradle reconcile` was run."""
        self._backup = world.home / "backup"

    async def apply(self, fault: Fault) -> str:
        """Returns what was hit, in a few words."""
        chance = random.Random(fault.draw)
        told = await ACTIONS[fault.kind](self, chance)
        self.done[fault.kind] += 1
        return told

    # -- workers ------------------------------------------------------------------------------------------------------

    async def kill(self, chance: random.Random) -> str:
        slot = self._someone(chance)
        self._world.crew.kill(slot)
        return _name(slot)

    async def kill_everyone(self, chance: random.Random) -> str:
        """As when the power fails, or a machine that runs them all."""
        slots = [*self._world.crew.slots]
        for slot in slots:
            self._world.crew.kill(slot)
        return f"{len(slots)} workers"

    async def kill_bakers(self, chance: random.Random) -> str:
        slots = self._slots_of("bake")
        for slot in slots:
            self._world.crew.kill(slot)
        return f"{len(slots)} workers"

    async def freeze(self, chance: random.Random) -> str:
        slot, seconds = self._someone(chance), chance.uniform(*FREEZE_SECONDS)
        self._world.crew.stop(slot, seconds)
        return f"{_name(slot)} for {seconds:.0f} s"

    async def scale_up(self, chance: random.Random) -> str:
        stage = chance.choice(STAGES)
        number = 1 + max((number for name, number in self._world.crew.slots if name == stage), default=0)
        self._world.crew.start((stage, number))
        return _name((stage, number))

    async def scale_down(self, chance: random.Random) -> str:
        crowded = [stage for stage in STAGES if len(self._slots_of(stage)) >= WORKERS]
        slot = max(self._slots_of(chance.choice(crowded)))
        self._world.crew.go_on()  # a frozen one would not hear SIGTERM
        await self._world.crew.dismiss(slot)
        return _name(slot)

    # -- servers ------------------------------------------------------------------------------------------------------

    async def bounce_broker(self, chance: random.Random) -> str:
        seconds = chance.uniform(*DOWN_SECONDS)
        await asyncio.to_thread(self._world.kafka.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._world.kafka.start)
        return f"down for {seconds:.1f} s and its start"

    async def restart_database(self, chance: random.Random) -> str:
        seconds = chance.uniform(*DOWN_SECONDS)
        await asyncio.to_thread(self._world.postgres.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._world.postgres.start)
        return f"down for {seconds:.1f} s"

    async def crash_database(self, chance: random.Random) -> str:
        await asyncio.to_thread(self._world.crash_postgres)
        await asyncio.to_thread(self._world.postgres.start)
        return "immediate"

    async def fill_disk(self, chance: random.Random) -> str:
        seconds = chance.uniform(*DISK_SECONDS)
        with self._world.full_disk():
            await asyncio.sleep(seconds)
        return f"for {seconds:.0f} s"

    # -- records ------------------------------------------------------------------------------------------------------

    async def duplicate(self, chance: random.Random) -> str:
        """The newest records of every topic, once more in the same order and to the same partitions."""
        records = [record for topic in ("ingest", *INNER) for record in await self._wire.newest(topic, AGAIN)]
        await self._wire.publish(records)
        return f"{len(records)} records"

    async def reorder(self, chance: random.Random) -> str:
        """The same, shuffled, each to a partition drawn: two workers may have one message in hand."""
        records = [record for topic in ("ingest", *INNER) for record in await self._wire.newest(topic, AGAIN)]
        chance.shuffle(records)
        await self._wire.publish(records, anywhere=chance)
        return f"{len(records)} records"

    # -- disasters that `cradle reconcile` mends -----------------------------------------------------------------------

    async def truncate(self, chance: random.Random) -> str:
        """An inner topic is emptied while records wait in it: those who read it were killed just before."""
        topic = chance.choice(INNER)
        [reader] = [stage for stage, topics in READ_BY.items() if topic in topics]
        for slot in self._slots_of(reader):
            self._world.crew.kill(slot)
        deadline = time.monotonic() + GATHER_SECONDS
        while (unread := await self._wire.unread(reader)) == 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        await self._wire.truncate(topic)
        return f"{topic}, {unread} unread records; {await self.reconcile()}"

    async def back_up(self, chance: random.Random) -> str:
        """As docs/operating.md has it, and so is the restoring."""
        what = ("--format=custom", "--schema=ledger", "--schema=parameters", "--dbname", self._world.postgres.url())
        dump = await asyncio.to_thread(self._world.postgres_program, "pg_dump", *what)
        self._backup.write_bytes(dump)
        return f"{len(dump)} bytes"

    async def restore(self, chance: random.Random) -> str:
        """Every worker dies, as in a disaster, and the ledger is what it was at the backup."""
        slots = await self._world.crew.kill_all()
        how = ("--clean", "--if-exists", "--single-transaction", "--no-owner", "--dbname", self._world.postgres.url())
        await asyncio.to_thread(self._world.postgres_program, "pg_restore", *how, stdin=self._backup.read_bytes())
        await asyncio.to_thread(self._world.cradle, "up")
        told = await self.reconcile()
        for slot in slots:
            self._world.crew.start(slot)
        return told

    async def reconcile(self) -> str:
        """`cradle reconcile`. An operator runs it once more if it said so, or if a job stands still afterwards."""
        told = json.loads(await asyncio.to_thread(self._world.cradle, "reconcile", "--json"))
        self.reconciled += 1
        documents = sum(len(job["admitted_again"]) for job in told["jobs"])
        return f"{documents} documents and {sum(told['events'].values())} events sent again"

    # -- whom it hits -------------------------------------------------------------------------------------------------

    def _someone(self, chance: random.Random) -> tuple[str, int]:
        """A worker that runs and is not frozen."""
        crew = self._world.crew
        awake = sorted(slot for slot in crew.slots if slot not in crew.stopped)
        return chance.choice(awake)

    def _slots_of(self, stage: str) -> list[tuple[str, int]]:
        return sorted(slot for slot in self._world.crew.slots if slot[0] == stage)


def _name(slot: tuple[str, int]) -> str:
    return f"{slot[0]}-{slot[1]}"


ACTIONS: Final[dict[Kind, Callable[[Faults, random.Random], Awaitable[str]]]] = {
    Kind.KILL: Faults.kill,
    Kind.KILL_BAKERS: Faults.kill_bakers,
    Kind.KILL_ALL: Faults.kill_everyone,
    Kind.FREEZE: Faults.freeze,
    Kind.BROKER: Faults.bounce_broker,
    Kind.DATABASE_FAST: Faults.restart_database,
    Kind.DATABASE_CRASH: Faults.crash_database,
    Kind.DUPLICATE: Faults.duplicate,
    Kind.REORDER: Faults.reorder,
    Kind.DISK: Faults.fill_disk,
    Kind.SCALE_UP: Faults.scale_up,
    Kind.SCALE_DOWN: Faults.scale_down,
    Kind.TRUNCATE: Faults.truncate,
    Kind.BACKUP: Faults.back_up,
    Kind.RESTORE: Faults.restore,
}
