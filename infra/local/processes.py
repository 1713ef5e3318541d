"""Starting a server in the background and knowing when it is ready."""

# ruff: noqa: S603 (every command is spelt out here; none comes from a user)

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.errors import CradleError

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.05
PORTS: Final = range(20_000, 32_000)

_children: Final[dict[int, subprocess.Popen[bytes]]] = {}
"""Servers this process has started: only their parent can tell one that ended from one that runs."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now.

    From PORTS, below those that the system gives to outgoing connections: a server that is stopped for a while finds
    its port free again.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def private_folder(folder: Path) -> Path:
    """Makes the folder, for its owner alone, and returns it; one that exists stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def start_detached(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a server that outlives us, in a session of its own; `log` (0600) gets what it prints."""
    with os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=None if env is None else dict(env),
            **options,
        )
    _children[process.pid] = process
    return process


def wait_until(
    condition: Callable[[], bool],
    *,
    name: str,
    log: Path,
    seconds: float,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Returns once the condition holds. Raises CradleError `service.start` after `seconds`, or when `process` ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise CradleError("service.start", name=name, log=log)
        time.sleep(POLL_SECONDS)


def alive(pid: int) -> bool:
    """Whether the process of this id runs. One that ended and that nobody has waited for does not."""
    if pid in _children:
        return _children[pid].poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """In a container whose first process reaps nothing, ended servers stay as zombies. Linux only; elsewhere False."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
