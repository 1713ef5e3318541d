"""Services for tests: in a thread of this process, or as the program that an operator starts."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn
from fastapi import FastAPI

from infra.local.processes import HOST, free_port
from services.server import Door, configured

PATIENCE = 60.0
DOOR = Door(token=None, hosts=(), most_requests=512, most_bytes=1024 * 1024)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Its URL. The app's engine is this process's own, so a test can hold it up or break it."""
    port = free_port()
    server = uvicorn.Server(configured(app, HOST, port, drain_seconds=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextmanager
def program(
    what: str, home: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`cradle serve WHAT`: its URL and its process, whose output is in `home`/log."""
    port = free_port()
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cradle", "serve", what, "--port", str(port), *arguments]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=surroundings(home) | {**(environment or {})}, stdout=log, stderr=log)
        try:
            url = f"http://{HOST}:{port}"
            wait_until(lambda: process.poll() is not None or answers(url))
            yield url, process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def surroundings(home: Path) -> dict[str, str]:
    """Nothing that whoever runs the tests has set for Cradle; a temporary folder that can be looked at."""
    (home / "tmp").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRADLE_")}
    return kept | {"CRADLE_HOME": str(home / "cradle"), "TMPDIR": str(home / "tmp"), "OMP_NUM_THREADS": "1"}


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/openapi.json", timeout=5, trust_env=False).status_code in {200, 421}
    except httpx2.TransportError:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
