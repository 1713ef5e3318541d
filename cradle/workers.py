"""The background workers of one home: `cradle run --all` in a session of its own, found again by its pid file."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.errors import CradleError

STOP_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
LOCK_TRIES: Final = 10


def start_workers(home: Path, workers: int) -> None:
    """Starts `cradle run --all` unless it runs. Its log is `logs/workers.log` under the home."""
    if workers_pid(home) is not None:
        return
    log = log_file(home)
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "cradle", "run", "--all", "--workers", str(workers)]
    with os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "CRADLE_HOME": str(home)},
        )
    deadline = time.monotonic() + STOP_SECONDS
    while workers_pid(home) is None:  # until it holds its lock
        if process.poll() is not None or time.monotonic() > deadline:
            raise CradleError("service.start", name="The workers", log=log)
        time.sleep(POLL_SECONDS)


def stop_workers(home: Path) -> bool:
    """Asks the workers to end and waits until they have. True if any ran."""
    pid = workers_pid(home)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while workers_pid(home) is not None:
        if time.monotonic() > deadline:
            raise CradleError("service.start", name="The workers", log=log_file(home))
        time.sleep(POLL_SECONDS)
    return True


def workers_pid(home: Path) -> int | None:
    """The supervisor that holds this home's lock, or None. A pid file without its lock is left over from a crash."""
    try:
        with _pid_file(home).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None


@contextlib.contextmanager
def known_as_supervisor(home: Path) -> Iterator[bool]:
    """Lets `stop_workers` find this process for as long as the block lasts. False: a second one, unlisted."""
    _pid_file(home).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = False
    with _pid_file(home).open("a+") as file:
        for _ in range(LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                listed = True
                break
            time.sleep(POLL_SECONDS)  # `workers_pid` holds it for a moment as well
        yield listed


def log_file(home: Path) -> Path:
    return home / "logs" / "workers.log"


def _pid_file(home: Path) -> Path:
    return home / "run" / "workers.pid"
