"""`cradle run --all` with a stage that documents end, hang or survive, on the embedded stack."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from infra.local.processes import free_port
from tests.roads.road import CUSTOMER, STAGES, Road, wait_until

pytestmark = pytest.mark.apart

STUCK = 10
GRACE = 4

PROGRAM = f"""
# `cradle`, with a chunk stage that some documents end. Its children and cells run this program too.
import asyncio, dataclasses, os, signal, sys
import consumers.app, consumers.runtime.cell, cradle.commands.run, cradle.flow, schemas.topology
from cradle.commands import main

schemas.topology.GRACE_SECONDS = {GRACE}
factory, read_flow = consumers.app.stage_factory, cradle.flow.read_flow
open_cell, child = consumers.runtime.cell.open_cell, cradle.commands.run._child

ENDS = {{
    "exits": lambda: os._exit(3),
    "segfaults": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "no memory": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the kernel ends who has taken too much
}}

def poisoned(stage):
    def with_ports(ports):
        handle = factory(stage)(ports)
        async def deadly(inputs):
            for one in inputs:
                word = one.message.document.path.rpartition("/")[2].partition(".")[0]
                with (ports.home / "deliveries").open("a") as file:
                    file.write(word + "\\n")
                if word in ENDS:
                    ENDS[word]()
                if word == "hangs":
                    await asyncio.Event().wait()
                await asyncio.sleep(0.05)
                async for outcome in handle([one]):
                    yield outcome
        return deadly
    return with_ports if stage == "chunk" else factory(stage)

def ours(command):
    return (sys.executable, __file__, *command[3:])

def flow():
    read = read_flow()
    chunk = read.stages["chunk"].model_copy(update={{"stuck": {STUCK}}})
    return dataclasses.replace(read, stages={{**read.stages, "chunk": chunk}})

def our_child(*args, **named):
    made = child(*args, **named)
    return dataclasses.replace(made, command=ours(made.command))

consumers.app.stage_factory = poisoned
consumers.runtime.cell.open_cell = lambda stage, command, *more, **also: open_cell(stage, ours(command), *more, **also)
cradle.commands.run._child = our_child
cradle.flow.read_flow = flow
main()
"""


@dataclass
class Supervised:
    road: Road
    process: subprocess.Popen[bytes]
    health_port: int

    def children(self) -> list[int]:
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in told]

    def deliveries(self) -> Counter[str]:
        file = self.road.home / "deliveries"
        return Counter(file.read_text().splitlines() if file.exists() else [])

    def ingest(self, folder: Path, *names: str) -> str:
        folder.mkdir()
        for name in names:
            (folder / f"{name}.txt").write_text(f"The document called {name} says that {name} is its name.")
        return str(self.road.json("ingest", str(folder), "--customer", CUSTOMER)["job"])

    def codes(self, job: str) -> list[str]:
        return [letter["code"] for letter in self.road.json("dlq", "list", "--job", job)]

    def livez(self, stage: str) -> int:
        """Its answer's status; 0 for none."""
        url = f"http://127.0.0.1:{self.health_port + STAGES.index(stage)}/livez"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except URLError as error:
            return int(getattr(error, "code", 0))
        except OSError:
            return 0

    def log(self) -> list[dict[str, Any]]:
        lines = (self.road.home / "supervised.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def supervised(new_home: Callable[[], Path]) -> Iterator[Supervised]:
    port = free_port()
    settings = {"CRADLE_HEALTH_PORT": str(port), "CRADLE_RESTARTS": "100", "CRADLE_LOG_LEVEL": "info"}
    road = Road(new_home(), settings)
    (road.home / "poisoned.py").write_text(PROGRAM)
    try:
        road.run("up")
        road.run("customer", "add", CUSTOMER)
        with (road.home / "supervised.log").open("wb") as log:
            command = [sys.executable, str(road.home / "poisoned.py"), "run", "--all", "--json"]
            process = subprocess.Popen(command, env=road.environment, stdout=log, stderr=log, cwd=road.home)
        road.workers.append(process)
        found = Supervised(road, process, port)
        wait_until(lambda: len(found.children()) == len(STAGES), seconds=60, why=road.logs)
        yield found
    finally:
        road.stop()
        road.run("down", ok=False)


def test_messages_that_end_their_process_are_dead_letters_and_their_neighbours_pass(
    supervised: Supervised, tmp_path: Path
) -> None:
    poison = ("exits", "segfaults", "no memory")
    good = tuple(f"good {number}" for number in range(12))
    job = supervised.ingest(tmp_path / "killers", *good, *poison)
    report = supervised.road.wait_for_job(job, seconds=240)
    assert (report["state"], report["documents"]["done"], report["documents"]["failed"]) == ("baked", 12, 3)
    assert supervised.codes(job) == ["delivery.killer"] * 3
    deliveries = supervised.deliveries()
    print("deliveries of each poison:", [deliveries[word] for word in poison])
    assert all(2 <= deliveries[word] <= 3 for word in poison)
    wait_until(lambda: len(supervised.children()) == len(STAGES), seconds=60, why=supervised.road.logs)


def test_livez_turns_bad_before_a_stage_that_hangs_is_killed(supervised: Supervised, tmp_path: Path) -> None:
    wait_until(lambda: supervised.livez("chunk") == 200, seconds=60, why=supervised.road.logs)
    before = sum(line["event"].startswith("worker hangs") for line in supervised.log())
    job = supervised.ingest(tmp_path / "hanging", "hangs", "fine")
    wait_until(lambda: supervised.livez("chunk") == 503, seconds=120, why=supervised.road.logs)
    assert sum(line["event"].startswith("worker hangs") for line in supervised.log()) == before
    report = supervised.road.wait_for_job(job, seconds=240)
    hangs = [line for line in supervised.log() if line["event"].startswith("worker hangs")]
    assert len(hangs) == before + 1
    assert (hangs[-1]["stage"], hangs[-1]["seconds_since_progress"]) == ("chunk", STUCK + GRACE)
    assert (report["state"], report["documents"]["done"], report["documents"]["failed"]) == ("baked", 1, 1)
    assert supervised.codes(job) == ["delivery.killer"]
    assert supervised.deliveries()["hangs"] == 3


def test_a_storm_of_kills_condemns_no_good_document(supervised: Supervised, tmp_path: Path) -> None:
    rng = random.Random(20)
    names = [f"storm {number}" for number in range(40)]
    job = supervised.ingest(tmp_path / "storm", *names)
    for _ in range(8):
        wait_until(lambda: len(supervised.children()) > 0, seconds=60, why=supervised.road.logs)
        os.kill(rng.choice(supervised.children()), signal.SIGKILL)
        time.sleep(rng.uniform(0.2, 1.5))  # a storm has no condition to wait for
    report = supervised.road.wait_for_job(job, seconds=240)
    assert (report["state"], report["documents"]["done"], report["documents"]["failed"]) == ("baked", 40, 0)
    wait_until(lambda: len(supervised.children()) == len(STAGES), seconds=60, why=supervised.road.logs)
