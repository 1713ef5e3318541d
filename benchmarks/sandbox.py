"""Parsing in the sandbox beside parsing in process: the files of examples/, each probed and read, and its members.

A job is these files, one after another; each time it is a new job, so that its child is forked in it. Times are CPU
times of this process and of all that it started, so that forking, the wire and checking answers are in them, and what
else the machine does is not.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import psutil

from benchmarks.table import Row, paired
from engines.extraction.parsers import InProcess, Parsers
from engines.sandbox import open_sandbox

EXAMPLES = Path(__file__).parents[1] / "examples"
ROUNDS = 7
PASSES = 4
"""How often the larger job has each file."""
BAR = 1.15

File = tuple[str, bytes]


def run() -> list[Row]:
    """A row for a job of the examples, and for one of four times as many files."""
    files = [(path.name, path.read_bytes()) for path in _examples()]
    with asyncio.Runner() as runner:
        return [_row(runner, files * passes) for passes in (1, PASSES)]


def _row(runner: asyncio.Runner, files: Sequence[File]) -> Row:
    opened = open_sandbox()
    sandbox, here = runner.run(opened.__aenter__()), InProcess()
    try:
        times = paired(
            lambda: runner.run(_job(sandbox, files)), lambda: runner.run(_job(here, files)), rounds=ROUNDS, clock=_spent
        )
    finally:
        runner.run(opened.__aexit__(None, None, None))
    return Row(
        name=f"sandbox, a job of {len(files)} files",
        measured=f"{times.first * 1000:.0f} ms",
        baseline=f"{times.second * 1000:.0f} ms in process",
        ratio=times.ratio,
        bar=f"at most {BAR}",
        passed=times.ratio <= BAR,
    )


async def _job(parsers: Parsers, files: Sequence[File]) -> None:
    job = uuid4()
    for name, data in files:
        found = await parsers.probe(job, data, name)
        if found.route in ("archive", "mail"):
            async for _ in parsers.members(job, data, found.media_type):
                pass
        if found.route in ("text", "mail"):
            await parsers.extract(job, data, found.media_type)


def _spent() -> float:
    """CPU seconds of this process and of all that it started, those that have ended included; to the hundredth."""
    started = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    theirs: float = sum(one.user + one.system + one.children_user + one.children_system for one in started)
    return time.process_time() + theirs


def _examples() -> list[Path]:
    """What `cradle demo` ingests; a name that begins with an underscore is not part of it."""
    found = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith("_") for part in path.relative_to(EXAMPLES).parts)]
