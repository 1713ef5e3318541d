"""Children are started again within a budget, and end with their supervisor."""

import asyncio
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cradle import supervisor
from cradle.supervisor import Beats, Budget, Child, supervise
from infra.local.processes import alive
from schemas.errors import CradleError

DEADLINE = 20.0


def child(code: str, folder: Path) -> Child:
    """A Python process; each start leaves a file named after its process id."""
    first = f"import os, pathlib; pathlib.Path({str(folder)!r}, str(os.getpid())).touch()\n"
    return Child("chunk", 1, (sys.executable, "-c", first + code))


async def until_started(folder: Path, count: int) -> list[int]:
    """Their process ids, the first started first."""
    async with asyncio.timeout(DEADLINE):
        while len(started := [*folder.iterdir()]) < count:
            await asyncio.sleep(0.02)
    return [int(file.name) for file in sorted(started, key=lambda file: file.stat().st_mtime_ns)]


def test_a_crash_is_forgiven_after_ten_minutes() -> None:
    budget = Budget(2)
    assert [budget.spend(at) for at in (0, 1, 2)] == [True, True, False]
    assert [budget.spend(at) for at in (700, 701)] == [True, True]


async def test_sigterm_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    polite = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(60)"
    work = asyncio.create_task(supervise([child(polite, tmp_path)] * 2, restarts=0, kill_seconds=10))
    pids = await until_started(tmp_path, 2)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)
    assert not any(map(alive, pids))


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\npathlib.Path(%r).touch()\ntime.sleep(60)"
    )
    ready = tmp_path / "ready"
    (tmp_path / "started").mkdir()
    work = asyncio.create_task(
        supervise([child(deaf % str(ready), tmp_path / "started")], restarts=0, kill_seconds=0.1)
    )
    [pid] = await until_started(tmp_path / "started", 1)
    async with asyncio.timeout(DEADLINE):
        while not ready.exists():
            await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)
    assert not alive(pid)


async def test_a_killed_child_starts_again(tmp_path: Path) -> None:
    work = asyncio.create_task(supervise([child("import time; time.sleep(60)", tmp_path)], restarts=3, kill_seconds=5))
    [first] = await until_started(tmp_path, 1)
    os.kill(first, signal.SIGKILL)
    await until_started(tmp_path, 2)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)


async def test_a_child_that_cannot_begin_is_one_that_crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, tries = supervisor._start, iter([OSError("no more processes")])

    async def start(child: Child) -> Any:
        for error in tries:
            raise error
        return await begin(child)

    monkeypatch.setattr(supervisor, "_start", start)
    work = asyncio.create_task(supervise([child("import time; time.sleep(60)", tmp_path)], restarts=3, kill_seconds=5))
    await until_started(tmp_path, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)


async def test_the_worker_count_stays_up_whichever_children_are_killed(tmp_path: Path) -> None:
    rng = random.Random(4)
    children = [child("import time; time.sleep(60)", tmp_path)] * 3
    work = asyncio.create_task(supervise(children, restarts=4, kill_seconds=5))
    for killed in range(4):
        started = await until_started(tmp_path, 3 + killed)
        os.kill(rng.choice([pid for pid in started if alive(pid)]), signal.SIGKILL)
    started = await until_started(tmp_path, 7)
    assert sum(map(alive, started)) == 3
    os.kill(next(filter(alive, started)), signal.SIGKILL)
    with pytest.raises(CradleError) as caught:
        await asyncio.wait_for(work, DEADLINE)
    assert caught.value.code == "workers.crashed"
    assert not any(map(alive, started))


async def test_a_child_without_beats_is_killed_and_starts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "started").mkdir()
    beats = Beats(tmp_path / "run" / "beat", 1.0)
    hangs = replace(child("import time; time.sleep(60)", tmp_path / "started"), beats=beats)
    work = asyncio.create_task(supervise([hangs], restarts=3, kill_seconds=5))
    [first, *_] = await until_started(tmp_path / "started", 2)
    assert not alive(first)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)
    told = capsys.readouterr().out
    assert "worker hangs: killing it" in told
    assert "SIGKILL" in told
    assert not beats.file.exists()


async def test_a_child_with_beats_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "started").mkdir()
    beats = Beats(tmp_path / "run" / "beat", 1.0)
    code = f"import time\nwhile True: pathlib.Path({str(beats.file)!r}).touch(); time.sleep(0.1)"
    beating = replace(child(code, tmp_path / "started"), beats=beats)
    hangs = replace(child("import time; time.sleep(60)", tmp_path), beats=Beats(tmp_path / "run" / "none", 1.0))
    work = asyncio.create_task(supervise([beating, hangs], restarts=3, kill_seconds=5))
    async with asyncio.timeout(DEADLINE):
        while sum(file.is_file() for file in tmp_path.iterdir()) < 2:  # by now the silent one was killed
            await asyncio.sleep(0.02)
    assert len(list((tmp_path / "started").iterdir())) == 1
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(work, DEADLINE)


async def test_more_crashes_than_the_budget_stop_everything(tmp_path: Path) -> None:
    crashing, steady = tmp_path / "crashing", tmp_path / "steady"
    crashing.mkdir()
    steady.mkdir()
    children = [child("raise SystemExit(3)", crashing), child("import time; time.sleep(60)", steady)]
    with pytest.raises(CradleError) as caught:
        await asyncio.wait_for(supervise(children, restarts=1, kill_seconds=5), DEADLINE)
    assert caught.value.code == "workers.crashed"
    assert len(list(crashing.iterdir())) == 2
    assert not any(alive(int(file.name)) for file in steady.iterdir())
