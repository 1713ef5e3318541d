"""Runs one child process a stage and worker, starts crashed ones again, and stops all together.

A child that ends while nobody asked it to has crashed, and one whose stage makes no progress hangs and is killed. More
of both than the budget within ten minutes mean that restarting does not help: then every child is stopped and a person
is called by the exit code.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from schemas.errors import CradleError

WINDOW_SECONDS: Final = 600.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
HEALTHY_SECONDS: Final = 60.0
"""A child that ran this long starts again without a pause that grew."""

TICK_SECONDS: Final = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Beats:
    """A file that a child touches while its stage makes progress, and how long it may leave it alone, in seconds."""

    file: Path
    longest_pause: float


@dataclass(frozen=True, slots=True)
class Child:
    """One worker of one stage."""

    stage: str
    number: int
    command: Sequence[str]
    variables: tuple[tuple[str, str], ...] = ()
    """Set beside those of this process."""
    beats: Beats | None = None


class Budget:
    """How many more crashes are borne; each is forgiven after ten minutes."""

    def __init__(self, restarts: int) -> None:
        self.restarts = restarts
        self._crashes: deque[float] = deque()

    def spend(self, now: float) -> bool:
        """Notes a crash at `now`, in seconds; False if that is one too many."""
        while self._crashes and now - self._crashes[0] > WINDOW_SECONDS:
            self._crashes.popleft()
        self._crashes.append(now)
        return len(self._crashes) <= self.restarts


async def supervise(children: Sequence[Child], *, restarts: int, kill_seconds: float) -> None:
    """Returns once SIGTERM or SIGINT came and every child has ended.

    Raises CradleError `workers.crashed` when the budget of restarts is spent.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    budget = Budget(restarts)
    keepers = [asyncio.create_task(_keep(child, budget, stop, kill_seconds)) for child in children]
    await stop.wait()
    within = all(await asyncio.gather(*keepers))
    if not within:
        raise CradleError("workers.crashed", limit=restarts)


async def _keep(child: Child, budget: Budget, stop: asyncio.Event, kill_seconds: float) -> bool:
    """Runs the child until `stop`; sets it, and returns False, if its crash is one too many."""
    try:
        return await _keep_running(child, budget, stop, kill_seconds)
    finally:
        if child.beats is not None:
            child.beats.file.unlink(missing_ok=True)


async def _keep_running(child: Child, budget: Budget, stop: asyncio.Event, kill_seconds: float) -> bool:
    pause = FIRST_PAUSE
    while not stop.is_set():
        began = time.monotonic()
        told = await _run_once(child, stop, kill_seconds)
        if stop.is_set():
            break
        ran = time.monotonic() - began
        log.error("worker crashed", stage=child.stage, worker=child.number, exit=told, seconds=round(ran, 1))
        if not budget.spend(time.monotonic()):
            stop.set()
            return False
        pause = FIRST_PAUSE if ran > HEALTHY_SECONDS else min(LONGEST_PAUSE, pause * 2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
    return True


async def _run_once(child: Child, stop: asyncio.Event, kill_seconds: float) -> int | str:
    """How it ended: its exit code, its signal, or why it never began, for want of memory or processes."""
    try:
        process = await _start(child)
    except OSError as error:
        return type(error).__name__
    watching = asyncio.create_task(_kill_if_it_hangs(process, child))
    code = await _ended_or_stopped(process, stop, kill_seconds)
    watching.cancel()
    return _told(code)


async def _kill_if_it_hangs(process: Process, child: Child) -> None:
    """Looks at the child's beats in turns of its own: time in which this process was stopped makes nobody hang."""
    if child.beats is None:
        return
    seen, still = _touched(child.beats.file), 0.0
    while process.returncode is None:
        await asyncio.sleep(TICK_SECONDS)
        touched = _touched(child.beats.file)
        still = still + TICK_SECONDS if touched == seen else 0.0
        seen = touched
        if still >= child.beats.longest_pause:
            log.error("worker hangs: killing it", stage=child.stage, worker=child.number, seconds_since_progress=still)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whom it started
            return


def _touched(file: Path) -> int | None:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime_ns
    return None


def _told(code: int) -> int | str:
    return signal.Signals(-code).name if code < 0 else code


async def _start(child: Child) -> Process:
    if child.beats is not None:
        child.beats.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return await asyncio.create_subprocess_exec(
        *child.command,
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, **dict(child.variables)},
        start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone, which stops the children in order
        preexec_fn=_die_with_parent(),
    )


async def _ended_or_stopped(process: Process, stop: asyncio.Event, kill_seconds: float) -> int:
    """The child's exit code; once `stop` is set it gets SIGTERM, and SIGKILL when its time is over."""
    ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        _signal(process, signal.SIGTERM)
        done, _ = await asyncio.wait({ended}, timeout=kill_seconds)
        if not done:
            _signal(process, signal.SIGKILL)
    return await ended


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _die_with_parent() -> Callable[[], None] | None:
    """What asks Linux to end a child when its parent dies, even by SIGKILL, so that no stray worker is left."""
    if sys.platform != "linux":
        return None
    set_parent_death_signal: Final = 1  # PR_SET_PDEATHSIG, sys/prctl.h
    prctl = ctypes.CDLL(None).prctl
    return partial(prctl, set_parent_death_signal, int(signal.SIGTERM))
