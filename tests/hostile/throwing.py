"""Throws files at a worker, one after the other, and watches what each costs: time, memory, life and discretion."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.hostile.files import HostileFile
from tests.hostile.files_kinds import Lure

ROOT: Final = Path(__file__).parents[2]
LONGEST_SECONDS: Final = 20.0
"""In which each file is answered."""
MOST_BYTES: Final = 1 << 30
"""That the worker and all processes below it may have resident."""
GIVEN_UP: Final = 120.0
SAMPLED_SECONDS: Final = 0.02
FILES_OF_A_JOB: Final = 20
WORDS: Final = "the canary of the hostile files sings"


@dataclass(frozen=True, slots=True)
class Answer:
    file: HostileFile
    outcomes: Counter[str]
    seconds: float
    bytes: int
    """The most memory that the worker and its children had together: the proportional share of each page (PSS)."""
    failure: str | None = None
    """What must not be: the worker died, or raised what it does not promise."""


@dataclass(slots=True)
class Row:
    """One kind of files."""

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    bytes: int = 0

    def add(self, answer: Answer) -> None:
        self.files += 1
        self.outcomes += answer.outcomes
        self.seconds = max(self.seconds, answer.seconds)
        self.bytes = max(self.bytes, answer.bytes)


class Report:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.failures: list[str] = []

    def add(self, answer: Answer) -> None:
        self.rows.setdefault(answer.file.kind, Row()).add(answer)
        name = f"{answer.file.kind}, {answer.file.name[:60]!r}"
        if answer.failure:
            self.failures.append(f"{name}: {answer.failure}")
        if answer.seconds > LONGEST_SECONDS:
            self.failures.append(f"{name}: answered after {answer.seconds:.1f} s")
        if answer.bytes > MOST_BYTES:
            self.failures.append(f"{name}: {answer.bytes >> 20} MiB")

    @property
    def files(self) -> int:
        return sum(row.files for row in self.rows.values())

    def table(self) -> list[str]:
        """Markdown: a row a kind, and one for all."""
        lines = [
            "| kind | files | outcomes of documents | worst time | worst memory |",
            "| --- | ---: | --- | ---: | ---: |",
        ]
        whole = Row()
        for kind, row in self.rows.items():
            lines.append(_line(kind, row))
            whole.files += row.files
            whole.outcomes += row.outcomes
            whole.seconds, whole.bytes = max(whole.seconds, row.seconds), max(whole.bytes, row.bytes)
        return [*lines, _line("**all**", whole)]


def _line(kind: str, row: Row) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in row.outcomes.most_common())
    return f"| {kind} | {row.files} | {outcomes} | {row.seconds:.1f} s | {row.bytes >> 20} MiB |"


# -- the worker -------------------------------------------------------------------------------------------------------


class Worker:
    """A process that answers a file at a time, started again where it died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._watch = Watch()

    def throw(self, number: int, file: HostileFile) -> Answer:
        process = self._process = self._process or self._start()
        at = self._folder / "thrown"
        at.write_bytes(file.data)
        asked = {"file": str(at), "path": file.name, "reference": f"{number // FILES_OF_A_JOB}", "canary": WORDS}
        assert process.stdin
        assert process.stdout
        started = time.monotonic()
        self._watch.begin(process.pid)
        given_up = threading.Timer(GIVEN_UP, process.kill)
        given_up.start()
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            given_up.cancel()
        seconds, most = time.monotonic() - started, self._watch.end()
        if not line:
            self._end()
            return Answer(file, Counter(), seconds, most, f"the worker died ({process.returncode})")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            return Answer(file, Counter(), seconds, most, said["error"] + said["trace"])
        leaked = "a file's words are in the text" if "leaked" in said["found"] else None
        return Answer(file, Counter(said["found"]), seconds, most, leaked)

    def close(self) -> None:
        self._watch.close()
        self._end()

    def _end(self) -> None:
        """It ends by itself where nothing more is asked."""
        process, self._process = self._process, None
        if process:
            with suppress(BrokenPipeError):
                process.communicate(timeout=60)

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.hostile.answering", str(self._folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout
        if not process.stdout.readline():
            raise RuntimeError("the worker does not start")
        return process


class Watch(threading.Thread):
    """Adds up the memory of a process and all below it, every SAMPLED_SECONDS, and remembers the most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._pid: int | None = None
        self._most = 0
        self._over = threading.Event()
        self._turn = threading.Lock()
        self.start()

    def begin(self, pid: int) -> None:
        with self._turn:
            self._most = 0
            self._pid = pid

    def end(self) -> int:
        self._sample()
        self._pid = None
        return self._most

    def close(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(SAMPLED_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with self._turn:
            if self._pid:
                self._most = max(self._most, sum(_proportional(one) for one in _family(self._pid)))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in _listed(f"/proc/{pid}/task"):
        for child in _text(f"/proc/{pid}/task/{task}/children").split():
            yield from _family(int(child))


def _proportional(pid: int) -> int:
    """Bytes. A page that n processes share counts as an n-th in each."""
    for line in _text(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _listed(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:  # it ended meanwhile
        return []


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


# -- what must not be touched -----------------------------------------------------------------------------------------


class Caller:
    """An address that nobody must call, and who did."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}/"

    def calls(self) -> int:
        count = 0
        while True:
            try:
                self._server.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._server.close()


@contextmanager
def lure(folder: Path) -> Iterator[tuple[Lure, Caller]]:
    words = folder / "canary.txt"
    words.write_text(WORDS)
    caller = Caller()
    try:
        yield Lure(words.as_uri(), WORDS, caller.address), caller
    finally:
        caller.close()


def throw(files: Iterable[HostileFile], folder: Path, caller: Caller, *, say: Any = None) -> Report:
    """All of them, and what came of it. `say` is told of progress."""
    report, worker = Report(), Worker(folder)
    try:
        for number, file in enumerate(files):
            answer = worker.throw(number, file)
            report.add(answer)
            if calls := caller.calls():
                report.failures.append(f"{file.kind}, {file.name!r}: {calls} calls to an address in it")
            if say:
                say(number, answer)
    finally:
        worker.close()
    return report
