"""What the stages of this machine wait for, told to other processes: a file each, as long as the waiting lasts.

The file is locked by the process that waits. So one that a crash left behind is known by its lock, which is free.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from schemas.errors import CradleError


@dataclass(frozen=True, slots=True)
class Wait:
    stage: str
    code: str
    sentence: str
    next_step: str


def folder(home: Path) -> Path:
    return home / "run" / "waiting"


class WaitNote:
    """One stage's note. A disk that takes none costs the note only."""

    def __init__(self, folder: Path, stage: str) -> None:
        self._path = folder / f"{stage}@{socket.gethostname()}-{os.getpid()}.json"  # containers share folders, and pids
        self._stage = stage
        self._file: BinaryIO | None = None

    def tell(self, waits: Sequence[CradleError]) -> None:
        """Replaces what it told; nothing takes the note away."""
        with contextlib.suppress(OSError):
            if not waits:
                self._take_away()
                return
            file = self._file or self._opened()
            file.seek(0)
            file.truncate()
            file.write(json.dumps([[wait.code, wait.sentence, wait.next_step] for wait in waits]).encode())
            file.flush()

    def _opened(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.fdopen(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600), "r+b")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._file

    def _take_away(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def waits_of(folder: Path) -> list[Wait]:
    """By stage, each wait of a stage once, however many processes of it wait."""
    return sorted({wait for path in folder.glob("*.json") for wait in _read(path)}, key=lambda wait: wait.stage)


def _read(path: Path) -> Iterator[Wait]:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            stage = path.name.partition("@")[0]
            yield from [Wait(stage, *told) for told in json.loads(file.read())]
        else:
            path.unlink(missing_ok=True)  # of a process that is gone
