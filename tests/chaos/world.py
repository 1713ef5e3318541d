"""One installation for one campaign: Apache Kafka and PostgreSQL of its own, staging on a small disk, and workers.

Staging is a tmpfs of its own where we are root, so that a file can fill it. Elsewhere "full" is a folder that takes no
new file: the adapter sees another errno of the same family.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import UUID

import psycopg
import yaml

from infra.local.kafka import KafkaNode
from infra.local.postgres import EmbeddedPostgres, _as_server, _program
from infra.local.processes import alive

ROOT: Final = Path(__file__).parents[2]
STAGES: Final = tuple(yaml.safe_load((ROOT / "topics.yaml").read_text())["stages"])
CUSTOMER: Final = "tempest"
WORKERS: Final = 2
"""Of each stage, unless scaled."""
PARAMETERS: Final = {
    "embedding_config": {"model": "fake"},
    "chunking_config": {"max_tokens": 128, "overlap_tokens": 16},
}
DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""So that a campaign that is killed leaves no worker behind."""
WINDOW: Final = 400
"""Documents at work at one time: nobody has to be fair to others here."""
STAGING_BYTES: Final = 64 * 1024 * 1024
STAGING_BYTES_A_DOCUMENT: Final = 64 * 1024
"""Raw and part of both runs, a page of memory each at least."""


class World:
    """Servers, settings and the `cradle` command of one home. Opened by `open_world`."""

    def __init__(self, home: Path, libs: Path, *, disk_bytes: int) -> None:
        self.home = home
        self.documents = home / "documents"
        self.staging = home / "staging"
        self.kafka = KafkaNode(home / "kafka", libs)
        self.postgres = EmbeddedPostgres(home / "postgres", {"fsync": "off", "max_connections": "300"})
        self.disk_bytes = disk_bytes
        self.crew = Crew(self)
        for folder in (self.documents, self.staging, home / "logs", home / "tmp", home / "cradle"):
            folder.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRADLE_")}
        return clean | {
            "CRADLE_HOME": str(self.home / "cradle"),
            "CRADLE_BROKER_URL": self.kafka.url,
            "CRADLE_LEDGER_URL": self.postgres.url(),
            "CRADLE_PARAMETERS_URL": self.postgres.url(),
            "CRADLE_STAGING_URL": file_url(self.staging),
            "CRADLE_KEYS_URL": file_url(self.home / "keys"),
            "CRADLE_PROGRESS_URL": "memory:",
            "CRADLE_REPLICATION": "1",
            "TMPDIR": str(self.home / "tmp"),
        }

    def cradle(self, *words: str, seconds: float = 120) -> str:
        """What `cradle words...` prints. Raises AssertionError with all of it if it does not exit with 0."""
        done = subprocess.run(
            [sys.executable, "-m", "cradle", *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"cradle {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def image(self, job: UUID) -> Path | None:
        """The newest image of the job."""
        found = (self.home / "cradle" / "images" / CUSTOMER).glob(f"{job}.*")
        return max(found, key=lambda path: int(path.suffix[1:]), default=None)

    def key(self, job: UUID) -> bytes:
        return (self.home / "keys" / f"{job}.key").read_bytes()

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Raises psycopg.Error while the server is away."""
        with psycopg.connect(self.postgres.url(), connect_timeout=2) as connection:
            return connection.execute(query, values).fetchall()

    # -- servers ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.kafka.start()
        self.postgres.start()
        self.postgres.create_database()
        self.cradle("up")
        parameters = self.home / "parameters.json"
        parameters.write_text(json.dumps(PARAMETERS))
        let_in = ("--root", file_url(self.documents) + "/", "--window", str(WINDOW))
        self.cradle("customer", "add", CUSTOMER, *let_in, "--parameters", str(parameters))

    def end(self) -> None:
        self.crew.end()
        self.kafka.kill()
        with contextlib.suppress(psycopg.Error, OSError):
            self.postgres.stop()

    def crash_postgres(self) -> None:
        """SIGQUIT: an "immediate shutdown", which writes nothing and ends in recovery."""
        pid_file = self.postgres.folder / "data" / "postmaster.pid"
        pid = int(pid_file.read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not alive(pid), seconds=30)

    def postgres_program(self, name: str, *words: str, stdin: bytes = b"") -> bytes:
        """What `pg_dump` or its like writes. Raises AssertionError with its complaint."""
        done = subprocess.run([_program(name), *words], input=stdin, capture_output=True, check=False, **_as_server())
        assert done.returncode == 0, f"{name}: {done.stderr.decode()}"
        return bytes(done.stdout)

    # -- the staging disk ---------------------------------------------------------------------------------------------

    @contextmanager
    def small_disk(self) -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        size = f"size={self.disk_bytes},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "cradle-chaos", self.staging], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", self.staging], check=True)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        filler = self.staging / "filler"
        try:
            if os.geteuid() == 0:
                _fill(filler)
            else:
                self._forbid(0o500)
            yield
        finally:
            filler.unlink(missing_ok=True)
            if os.geteuid() != 0:
                self._forbid(0o700)

    def _forbid(self, mode: int) -> None:
        for folder in (self.staging, *(path for path in self.staging.rglob("*") if path.is_dir())):
            folder.chmod(mode)


class Crew:
    """The workers: a process a slot, started again when it ends unasked, as `cradle run --all` would."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.command: tuple[str, ...] = ("-m", "cradle")
        """Put before `run STAGE`; another one for the runs that show that the checker can fail."""
        self.slots: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.stopped: dict[tuple[str, int], float] = {}
        """Slots under SIGSTOP, and when they go on, by the monotonic clock."""
        self.restarts = 0
        self._keeper: asyncio.Task[None] | None = None

    def begin(self) -> None:
        for stage in STAGES:
            for number in range(1, WORKERS + 1):
                self.start((stage, number))
        self._keeper = asyncio.create_task(self._keep())

    def start(self, slot: tuple[str, int]) -> None:
        """The first of each stage is a member of its group by name, the others are not: both ways of living are hit."""
        stage, number = slot
        name = f"{stage}-{number}"
        named = {"CRADLE_INSTANCE": name} if number == 1 else {}
        with (self._world.home / "logs" / f"{name}.log").open("ab") as log:
            self.slots[slot] = subprocess.Popen(
                [*DIES_WITH_US, sys.executable, *self.command, "run", stage],
                env={**self._world.environment, **named},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def kill(self, slot: tuple[str, int]) -> None:
        self.slots[slot].send_signal(signal.SIGKILL)

    def stop(self, slot: tuple[str, int], seconds: float) -> None:
        self.slots[slot].send_signal(signal.SIGSTOP)
        self.stopped[slot] = time.monotonic() + seconds

    async def dismiss(self, slot: tuple[str, int]) -> None:
        """SIGTERM, and no new one."""
        process = self.slots.pop(slot)
        process.terminate()
        await asyncio.to_thread(process.wait, 60)

    async def kill_all(self) -> list[tuple[str, int]]:
        """Every worker, and none starts again until `start`. Returns the slots."""
        slots = [*self.slots]
        gone, self.slots = [*self.slots.values()], {}
        self.stopped.clear()
        for process in gone:
            process.kill()
        for process in gone:
            await asyncio.to_thread(process.wait)
        return slots

    def go_on(self) -> None:
        """Lets every stopped worker go on."""
        for slot in [*self.stopped]:
            del self.stopped[slot]
            if slot in self.slots:
                self.slots[slot].send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        for process in self.slots.values():
            process.kill()
        for process in self.slots.values():
            process.wait()

    async def _keep(self) -> None:
        while True:
            for slot, process in [*self.slots.items()]:
                if process.poll() is not None:
                    self.stopped.pop(slot, None)
                    self.restarts += 1
                    self.start(slot)
                elif self.stopped.get(slot, float("inf")) <= time.monotonic():
                    del self.stopped[slot]
                    process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.1)


@contextmanager
def open_world(home: Path, libs: Path, *, documents: int) -> Iterator[World]:
    """`home` exists and is empty. Everything that was started ends with the block; what it wrote stays."""
    world = World(home, libs, disk_bytes=STAGING_BYTES + documents * STAGING_BYTES_A_DOCUMENT)
    with ExitStack() as exits:
        exits.enter_context(world.small_disk())
        exits.callback(world.end)
        world.begin()
        yield world


def file_url(path: Path) -> str:
    return "file://" + quote(os.fsencode(path))


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Raises AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def _fill(filler: Path) -> None:
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
            file.flush()
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):  # and the last pages
        while file.write(bytes(4096)):
            pass
