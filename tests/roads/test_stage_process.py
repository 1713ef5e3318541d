"""A stage as a process: its health endpoints, and how it goes when told to."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from infra.local.processes import free_port
from tests.roads.road import Road, wait_until


def test_health_and_sigterm(new_home: Callable[[], Path]) -> None:
    port = free_port()
    road = Road(new_home(), {"CRADLE_HEALTH_HOST": "all", "CRADLE_HEALTH_PORT": str(port)})

    def answer(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except URLError as error:
            return getattr(error, "code", 0), ""

    try:
        road.run("up")
        [process] = road.start("chunk")
        wait_until(lambda: answer("/readyz")[0] == 200, seconds=60, why=road.logs)
        assert json.loads(answer("/livez")[1])["alive"]
        assert "cradle_messages_total" in answer("/metrics")[1]
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, road.logs()
        assert time.monotonic() - begun < 10
    finally:
        road.stop()
        road.run("down", ok=False)


BUSY = """
import sys, time
import consumers.chunk.handle
from cradle.commands import main

def chunk(*_):
    print("chunking begins", flush=True)
    time.sleep(120)

consumers.chunk.handle.chunk = chunk
sys.argv = ["cradle", "run", "chunk"]
main()
"""


def test_sigterm_does_not_wait_for_a_busy_library(new_home: Callable[[], Path], tmp_path: Path) -> None:
    road = Road(new_home())
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("One document, and a library that never comes back.")
    try:
        road.run("up")
        road.run("customer", "add", "acme")
        road.start("admit")
        with (road.home / "busy.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-c", BUSY], env=road.environment, stdout=log, stderr=log)
        road.workers.append(process)
        road.run("ingest", str(tmp_path / "documents"), "--customer", "acme")
        wait_until(lambda: "chunking begins" in road.logs(), seconds=60, why=road.logs)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(12) == 0, road.logs()
        assert time.monotonic() - begun < 10
    finally:
        road.stop()
        road.run("down", ok=False)
