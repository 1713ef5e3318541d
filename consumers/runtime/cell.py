"""A process that runs a stage on one message at a time, and may die of it: both ends of its pipes.

    worker  -- an opening, then messages -->  cell
    worker  <--  Ready, then for each message Made ... Made, Ended  -- cell

A frame is its length, 8 bytes little-endian, and a pickle: both ends are our own code. The opening is whatever the
cell's program needs to open its ports. A cell ends with its worker, whatever it is busy with.
"""

import asyncio
import contextlib
import ctypes
import os
import pickle
import signal
import struct
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consumers.runtime.attempts import Died, Unforeseen, unforeseen
from consumers.runtime.contract import Handle, Outcome, Received, Underway
from schemas.errors import Retryable
from schemas.messages import Message

LENGTH: Final = struct.Struct("<Q")
TICK_SECONDS: Final = 0.5
START_SECONDS: Final = 120.0
"""What a cell may take to open its ports."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The cell has opened its ports."""


@dataclass(frozen=True, slots=True)
class Made:
    outcome: Outcome | Underway


@dataclass(frozen=True, slots=True)
class Ended:
    """The stage is through with the message."""

    error: Retryable | Unforeseen | None = None


# -- the worker's end -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_cell(
    stage: str, command: Sequence[str], opening: object, *, stuck: float, beat: Callable[[], None]
) -> AsyncIterator[Handle]:
    """The stage's function, run by `command`, which calls `live_in_cell`. See `runtime.Isolate`."""
    cell = _Cell(stage, command, opening, stuck, beat)
    try:
        yield cell.handle
    finally:
        await cell.end()


class _Cell:
    def __init__(
        self, stage: str, command: Sequence[str], opening: object, stuck: float, beat: Callable[[], None]
    ) -> None:
        self._stage = stage
        self._command = command
        self._opening = opening
        self._stuck = stuck
        self._beat = beat
        self._process: Process | None = None

    async def handle(self, inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome | Underway]:
        for received in inputs:
            process = await self._started()
            await _send(process, received)
            while isinstance(answer := await self._answer(process, within=self._stuck), Made):
                yield answer.outcome
            if isinstance(answer, Ended) and answer.error is not None:
                raise answer.error

    async def _started(self) -> Process:
        """Raises Retryable: what a cell dies of before it has a message is no message's fault."""
        if self._process is not None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        await _send(self._process, self._opening)
        try:
            answer = await self._answer(self._process, within=START_SECONDS)
        except Died as death:
            raise Retryable("delivery.isolation", stage=self._stage) from death
        if isinstance(answer, Ended):
            await self.end()
            raise answer.error or Retryable("delivery.isolation", stage=self._stage)
        return self._process

    async def _answer(self, process: Process, *, within: float) -> Ready | Made | Ended:
        """Raises Died once the process is gone; one that is stuck is ended. Time we were stopped is free."""
        assert process.stdout is not None
        reading = asyncio.ensure_future(_receive(process.stdout))
        ticks = 0
        try:
            while not reading.done():
                if process.returncode is not None and ticks:  # whom it started may hold its pipe open
                    break
                if ticks * TICK_SECONDS >= within:
                    await self.end()
                    raise Died(f"no progress for {within:g} s")
                await asyncio.wait({reading}, timeout=TICK_SECONDS)
                self._beat()
                ticks += 1
            if reading.done():
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    answer: Ready | Made | Ended = reading.result()
                    return answer
        finally:
            reading.cancel()
        await self.end()
        raise Died(_told(process.returncode))

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and whom it started
        process.stdin.close()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # whom it started may hold its pipes open


async def _send(process: Process, content: object) -> None:
    """A process that is gone is found out when its answer is waited for."""
    assert process.stdin is not None
    pickled = pickle.dumps(content)
    with contextlib.suppress(ConnectionError):
        process.stdin.write(LENGTH.pack(len(pickled)) + pickled)
        await process.stdin.drain()


async def _receive(pipe: asyncio.StreamReader) -> Any:
    (length,) = LENGTH.unpack(await pipe.readexactly(LENGTH.size))
    return pickle.loads(await pipe.readexactly(length))  # noqa: S301 - our own process


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


# -- the cell's end ---------------------------------------------------------------------------------------------------


def live_in_cell(opened: Callable[[Any], AbstractAsyncContextManager[Handle]]) -> None:
    """The cell's program: answers messages until the worker ends it. `opened` makes a stage's function of the opening.

    Called before anything may print: libraries' output goes to stderr from here on.
    """
    _end_with_worker()
    requests, answers = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    asyncio.run(_live(requests, answers, opened))


async def _live(requests: int, answers: int, opened: Callable[[Any], AbstractAsyncContextManager[Handle]]) -> None:
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    reader = threading.Thread(target=_read, args=(requests, asyncio.get_running_loop(), arrived), daemon=True)
    reader.start()
    try:
        async with opened(await arrived.get()) as handle:
            _write(answers, Ready())
            while True:
                received = await arrived.get()
                _write(answers, Ended(await _run(handle, received, answers)))
    except Retryable as error:  # a port did not open
        _write(answers, Ended(error))


async def _run(handle: Handle, received: Received[Message], answers: int) -> Retryable | Unforeseen | None:
    try:
        async for outcome in handle([received]):
            _write(answers, Made(outcome))
    except Retryable as error:
        return error
    except Exception as error:
        return unforeseen(error)
    return None


def _read(requests: int, loop: asyncio.AbstractEventLoop, arrived: "asyncio.Queue[Any]") -> None:
    """Runs in a thread, and so hears that the worker is gone while the stage works."""
    with open(requests, "rb") as pipe:
        while len(head := pipe.read(LENGTH.size)) == LENGTH.size:
            content = pickle.loads(pipe.read(*LENGTH.unpack(head)))  # noqa: S301 - our own process
            loop.call_soon_threadsafe(arrived.put_nowait, content)
    os._exit(0)


def _write(answers: int, content: object) -> None:
    pickled = pickle.dumps(content)
    left = memoryview(LENGTH.pack(len(pickled)) + pickled)
    while left:
        left = left[os.write(answers, left) :]


def _end_with_worker() -> None:
    """Linux ends the cell even where a library keeps every thread of it waiting."""
    if sys.platform == "linux":
        set_parent_death_signal: Final = 1  # PR_SET_PDEATHSIG, sys/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL))
