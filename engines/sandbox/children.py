"""The worker's end: the zygote, and children lent for one call at a time, each to one job for all its life."""

import asyncio
import json
import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from engines.sandbox import wire
from engines.sandbox.guards import ROOT
from engines.sandbox.limits import KIBIBYTE, MEBIBYTE, Limits
from engines.sandbox.wire import ANSWER_HEAD, ANSWERS, Call, Kind, Untrue, What
from engines.sandbox.zygote import BURIED, BURY, FORK, FORKED, REQUEST
from schemas.errors import Retryable

T = TypeVar("T")

PROGRAM: Final = "engines.sandbox.zygote"
START_SECONDS: Final = 60.0
"""What the zygote may take to import the parsers, on a machine that is busy."""
FORK_SECONDS: Final = 60.0
"""What the zygote may take to fork, or to see a killed child gone."""
IDLE_SECONDS: Final = 10.0
"""How long a child waits for its job's next document."""
MOST_CALLS: Final = 200
MOST_KEPT_BYTES: Final = 128 * MEBIBYTE
"""Of resident memory after a call. A child with more is not lent again: the next document has its whole allowance."""
SETTLING: Final = (What.END, What.REFUSED)
"""After these a child is as good as before. After a panic a library may hold locks for ever."""
ENVIRONMENT: Final = {
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(ROOT),
    "RAYON_NUM_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
}
"""All that the zygote gets of an environment, but where libraries lie: no setting and no credential."""
KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH",)


class Died(Exception):
    """The child hung up before it had answered."""


class Full(Exception):
    """Its memory did not suffice."""


class Stumbled(Exception):
    """The function raised something that it does not promise."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Which child: numbers come again once a zygote has died."""

    zygote: int
    number: int


@dataclass(frozen=True, slots=True)
class Fate:
    status: int
    """Its exit code, or the signal that ended it, negative."""
    peak_bytes: int
    """The most memory it had resident."""


# -- the zygote --------------------------------------------------------------------------------------------------------


class Zygote:
    """The process that forks. It starts with the first child, and again if it was killed."""

    def __init__(self, limits: Limits, program: str) -> None:
        self._limits = limits
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._starts = 0
        self._is_closed = False

    async def fork(self, child_end: socket.socket) -> Birth:
        """A new child that serves the other end of that pair. Raises Retryable `sandbox.away`."""
        async with self._turn:
            control = self._control or await self._start()
            (number,) = FORKED.unpack(await self._ask(control, FORK, 0, FORKED.size, child_end))
            return Birth(self._starts, number)

    async def bury(self, birth: Birth) -> Fate:
        """How a child ended. It must be dead or dying. Raises Retryable `sandbox.away` if it went with its zygote."""
        async with self._turn:
            if self._control is None or birth.zygote != self._starts:
                raise Retryable("sandbox.away", kind="it was killed")
            status, peak = BURIED.unpack(await self._ask(self._control, BURY, birth.number, BURIED.size))
            return Fate(status, peak * KIBIBYTE)

    async def close(self) -> None:
        """Ends it, and with it every child. It does not start again."""
        async with self._turn:
            self._is_closed = True
            await self._end()

    async def _start(self) -> socket.socket:
        if self._is_closed:
            raise Retryable("sandbox.away", kind="it was closed")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        command = (sys.executable, "-P", "-s", "-m", self._program)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *command, str(theirs.fileno()), json.dumps(asdict(self._limits)),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),), env=ENVIRONMENT | kept, cwd="/",
                )  # fmt: skip
            async with asyncio.timeout(START_SECONDS):
                await _exactly(ours, 1)
        except (OSError, Died, TimeoutError) as error:
            ours.close()
            await self._end()
            raise Retryable("sandbox.away", kind=type(error).__name__) from error
        except BaseException:
            ours.close()
            raise
        self._control = ours
        self._starts += 1
        return ours

    async def _ask(
        self, control: socket.socket, action: bytes, child: int, size: int, passed: socket.socket | None = None
    ) -> bytes:
        handles = [passed.fileno()] if passed else []
        try:
            socket.send_fds(control, [REQUEST.pack(action, child)], handles)
            async with asyncio.timeout(FORK_SECONDS):
                return bytes(await _exactly(control, size))
        except (OSError, Died) as error:  # a TimeoutError is an OSError
            await self._end()
            raise Retryable("sandbox.away", kind="it was killed") from error

    async def _end(self) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control:
            control.close()
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


# -- one child ---------------------------------------------------------------------------------------------------------


class Child:
    """A process that runs one call at a time. Whoever has it uses it alone."""

    def __init__(self, job: UUID, birth: Birth, connection: socket.socket, limits: Limits) -> None:
        self.job = job
        self.birth = birth
        self.calls = 0
        self.burial: asyncio.Task[Fate] | None = None
        self._process = os.pidfd_open(birth.number) if hasattr(os, "pidfd_open") else None
        self._connection = connection
        self._connection.setblocking(False)
        self._limits = limits
        self._settled = True

    async def ask(self, call: Call) -> AsyncGenerator[Any, None]:
        """What the function answers. Raises Permanent, as the function did, or `document.costly` for a limit that the
        parent holds; Died, Full, Stumbled; Untrue for what no child of ours sends."""
        if len(call.data) > self._limits.memory_bytes // 2:
            raise self._limits.memory()
        kind = ANSWERS[call.function]
        self.calls += 1
        self._settled = False
        spent = _cpu_seconds(self.birth.number) + self._limits.cpu_seconds
        _limit_cpu(self.birth.number, spent)
        await self._in_time(self._send(call))
        while True:
            what, item = await self._in_time(self._answer(kind))
            self._settled = what in SETTLING
            if what is What.END:
                return
            if what is What.FULL:
                raise Full
            if what is not What.ITEM:
                raise item
            if _cpu_seconds(self.birth.number) > spent + 1:  # a child that was taken over may ignore the signal
                raise self._limits.cpu()
            if call.function == "pictures":
                spent += self._limits.cpu_seconds_a_picture
                _limit_cpu(self.birth.number, spent)
            yield item

    def is_fit(self) -> bool:
        """Whether it may be lent again: it has answered, says nothing unasked, and holds little memory."""
        return (
            self._settled
            and self.calls < MOST_CALLS
            and self._is_silent()
            and _resident(self.birth.number) < MOST_KEPT_BYTES
        )

    def kill(self) -> None:
        """At once, whatever it is busy with. Once."""
        self._connection.close()
        with suppress(ProcessLookupError):
            if self._process is None:
                os.kill(self.birth.number, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
        if self._process is not None:
            os.close(self._process)

    def _is_silent(self) -> bool:
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def _in_time(self, step: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                return await step
        except TimeoutError:
            raise self._limits.wall() from None

    async def _send(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._connection, wire.call_head(call))
            await loop.sock_sendall(self._connection, call.data)
        except ConnectionError as error:
            raise Died from error

    async def _answer(self, kind: Kind) -> tuple[What, Any]:
        what, plain, raw = wire.bounded(bytes(await _exactly(self._connection, ANSWER_HEAD.size)), kind)
        packed = await _exactly(self._connection, plain)
        content = await _exactly(self._connection, raw)
        try:
            unpacked = wire.unpack(bytes(packed))
            return what, kind.unwrap(unpacked, bytes(content)) if what is What.ITEM else _ending(what, unpacked)
        except (ValueError, TypeError, KeyError) as error:
            raise Untrue from error


def _ending(what: What, plain: Any) -> Exception | None:
    """What a call that is over raises."""
    if what is What.REFUSED:
        return wire.as_permanent(plain)
    return Stumbled() if what is What.STUMBLED else None


async def _exactly(connection: socket.socket, size: int) -> bytearray:
    """Raises Died if the other end hangs up before."""
    loop = asyncio.get_running_loop()
    received = bytearray(size)
    rest = memoryview(received)
    while rest:
        try:
            count = await loop.sock_recv_into(connection, rest)
        except ConnectionError as error:
            raise Died from error
        if not count:
            raise Died
        rest = rest[count:]
    return received


# -- what the kernel knows of a process --------------------------------------------------------------------------------


def _cpu_seconds(process: int) -> float:
    """What it has computed so far, all threads together; 0 where that cannot be asked."""
    if sys.platform != "linux":
        return 0.0
    clock = ~process << 3 | 2  # how Linux names the processor clock of another process
    with suppress(OSError):
        return time.clock_gettime(clock)
    return 0.0


def _limit_cpu(process: int, seconds: float) -> None:
    """The kernel ends it once it has computed for longer, in all."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # it died, which its next answer says; or a container forbids it, and the clock holds
        _, hard = resource.prlimit(process, resource.RLIMIT_CPU)
        resource.prlimit(process, resource.RLIMIT_CPU, (math.ceil(seconds), hard))


def _resident(process: int) -> int:
    """Bytes; 0 where that cannot be asked."""
    try:
        return int(Path(f"/proc/{process}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


# -- children, lent ----------------------------------------------------------------------------------------------------


class Children:
    """At most `at_once` of them, idle ones included. Whoever wants one more waits in turn."""

    def __init__(self, limits: Limits, at_once: int, program: str = PROGRAM) -> None:
        self._limits = limits
        self._at_once = at_once
        self._zygote = Zygote(limits, program)
        self._slots = asyncio.Semaphore(at_once)
        self._lent = 0
        self._idle: dict[Child, asyncio.TimerHandle] = {}
        """In order of when they became so; each with the alarm that ends it."""
        self._background: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def lend(self, job: UUID, *, new: bool = False) -> AsyncIterator[Child]:
        """A child of this job, used or `new`. Afterwards it is kept for the job's next document if it is fit, and ended
        otherwise: also where the call was cancelled. Raises Retryable `sandbox.away`."""
        async with self._slots:
            self._lent += 1
            try:
                child = (None if new else self._taken(job)) or await self._made(job)
                try:
                    yield child
                finally:
                    self._put_back(child)
            finally:
                self._lent -= 1

    async def fate(self, child: Child) -> Fate:
        """How a child that hung up has ended. Raises Retryable `sandbox.away` if it went with its zygote."""
        return await asyncio.shield(self._end(child))

    async def close(self) -> None:
        """Ends all of them."""
        for child in [*self._idle]:
            self._retire(child)
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._zygote.close()

    def _taken(self, job: UUID) -> Child | None:
        """The job's child that was used last, if it has kept silent since."""
        for child in [one for one in reversed(self._idle) if one.job == job]:
            if child.is_fit():
                self._idle.pop(child).cancel()
                return child
            self._retire(child)
        return None

    async def _made(self, job: UUID) -> Child:
        while self._idle and self._lent + len(self._idle) > self._at_once:
            self._retire(next(iter(self._idle)))
        making = self._in_background(self._make(job))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._discard)
            raise

    async def _make(self, job: UUID) -> Child:
        """Raises Retryable `sandbox.away`, also where this process may open no more."""
        with ExitStack() as exits:
            try:
                ours, theirs = socket.socketpair()
                exits.enter_context(ours)
                with theirs:
                    birth = await self._zygote.fork(theirs)
                child = Child(job, birth, ours, self._limits)
            except OSError as error:
                raise Retryable("sandbox.away", kind=type(error).__name__) from error
            exits.pop_all()
            return child

    def _discard(self, making: asyncio.Task[Child]) -> None:
        """Whoever wanted the child was cancelled meanwhile."""
        if not making.cancelled() and making.exception() is None:
            self._end(making.result())

    def _put_back(self, child: Child) -> None:
        if child.is_fit():
            self._idle[child] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, child)
        else:
            self._end(child)

    def _retire(self, child: Child) -> None:
        self._idle.pop(child).cancel()
        self._end(child)

    def _end(self, child: Child) -> asyncio.Task[Fate]:
        """Kills it now; its zygote removes what is left of it in the background."""
        if child.burial is None:
            child.kill()
            child.burial = self._in_background(self._zygote.bury(child.birth))
        return child.burial

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Goes on when whoever waits for it is cancelled; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # who waits for it hears of it; where nobody does, nobody needs to
