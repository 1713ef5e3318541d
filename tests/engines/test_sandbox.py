"""What a parser that a file has taken over can do: nothing. Each attempt is made for real, and the parent lives."""

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import psutil
import pytest
import pytest_asyncio

from engines.sandbox import Limits, available, children, seccomp
from engines.sandbox.children import Children
from engines.sandbox.parsers import SandboxedParsers
from schemas.errors import Permanent, Retryable
from tests.engines import attempts

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAM = "tests.engines.attempts"
SMALL = Limits(memory_bytes=192 << 20, cpu_seconds=1, cpu_seconds_a_picture=1, wall_seconds=30.0)
JOB, OTHER = UUID(int=1), UUID(int=2)

walled = pytest.mark.skipif(
    not (available().landlock and available().seccomp), reason="this kernel has no Landlock or no seccomp"
)


class Attacked(SandboxedParsers):
    """A sandbox whose files are attackers."""

    def __init__(self, limits: Limits = SMALL, at_once: int = 2) -> None:
        self.lent = Children(limits, at_once, PROGRAM)
        super().__init__(self.lent, limits)

    async def attempt(self, name: str, argument: str = "", job: UUID = JOB) -> str:
        return (await self.extract(job, name.encode(), argument)).text

    def zygote(self) -> psutil.Process:
        process = self.lent._zygote._process
        assert process is not None
        return psutil.Process(process.pid)

    def living(self) -> list[psutil.Process]:
        """Its children; who has ended and is not buried yet counts not."""
        return [child for child in self.zygote().children() if not _ended(child)]

    async def lives(self) -> None:
        """The next document is read as if nothing had been."""
        assert await self.attempt("echo", "still here") == "still here"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def attacked() -> AsyncIterator[Attacked]:
    sandbox = Attacked()
    try:
        yield sandbox
    finally:
        await sandbox.lent.close()


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


async def refused(sandbox: Attacked, name: str, argument: str = "") -> Permanent:
    with pytest.raises(Permanent) as raised:
        await sandbox.attempt(name, argument)
    await sandbox.lives()
    return raised.value


# -- files ------------------------------------------------------------------------------------------------------------


@walled
async def test_it_reads_no_file(attacked: Attacked, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    assert attempts.read(str(secret)) == "key"
    for path in (secret, "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ", "/proc/self/maps"):
        assert (await refused(attacked, "read", str(path))).code == "document.crash"


@walled
@pytest.mark.parametrize("attempt", ["read_new", "append", "make_folder", "make_link"])
async def test_it_makes_nothing(attacked: Attacked, tmp_path: Path, attempt: str) -> None:
    await refused(attacked, attempt, str(tmp_path / "new"))
    assert not [*tmp_path.iterdir()]
    getattr(attempts, attempt)(str(tmp_path / "new"))
    assert [*tmp_path.iterdir()]


@walled
@pytest.mark.parametrize("attempt", ["append", "remove", "rename", "change_mode", "read_new"])
async def test_it_changes_nothing(attacked: Attacked, tmp_path: Path, attempt: str) -> None:
    file = tmp_path / "file"
    file.write_text("as it was")
    file.chmod(0o600)
    await refused(attacked, attempt, str(file))
    assert file.read_text() == "as it was"
    assert file.stat().st_mode & 0o777 == 0o600
    getattr(attempts, attempt)(str(file))
    assert not file.exists() or file.read_text() != "as it was" or file.stat().st_mode & 0o777 != 0o600


@walled
async def test_it_lists_no_folder(attacked: Attacked, tmp_path: Path) -> None:
    for folder in (tmp_path, "/", "/proc"):
        await refused(attacked, "list_folder", str(folder))


async def test_it_opens_few_files(attacked: Attacked) -> None:
    assert int(await attacked.attempt("open_files", json.__file__)) < SMALL.open_files


async def test_it_has_nothing_open_but_its_own_pipe(attacked: Attacked) -> None:
    standard, connection = {"0", "1", "2"}, 1
    held = set((await attacked.attempt("read_file_handles")).split(","))
    assert standard < held
    assert len(held - standard) == connection


async def test_it_knows_nothing_of_the_environment(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_LEDGER_URL", "postgresql://user:secret@host/db")
    sandbox = Attacked()
    try:
        seen = json.loads(await sandbox.attempt("show_environment"))
    finally:
        await sandbox.lent.close()
    assert set(seen) <= {*children.ENVIRONMENT, *children.KEPT_VARIABLES, "LC_CTYPE"}


# -- network ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        yield f"{host}:{port}"


@walled
@pytest.mark.parametrize("attempt", ["connect", "send_datagram"])
async def test_it_reaches_no_network(attacked: Attacked, listener: str, attempt: str) -> None:
    await refused(attacked, attempt, listener)
    getattr(attempts, attempt)(listener)


@walled
async def test_it_reaches_no_local_socket(attacked: Attacked, tmp_path: Path) -> None:
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        await refused(attacked, "connect_local", path)
        attempts.connect_local(path)


# -- processes --------------------------------------------------------------------------------------------------------


@walled
@pytest.mark.parametrize(
    ("attempt", "argument"), [("fork", ""), ("execute", sys.executable), ("replace", sys.executable)]
)
async def test_it_starts_no_process(attacked: Attacked, attempt: str, argument: str) -> None:
    await refused(attacked, attempt, argument)


async def test_it_may_have_threads(attacked: Attacked) -> None:
    assert await attacked.attempt("run_thread") == "ran"


@walled
async def test_it_ends_no_other_process(attacked: Attacked) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        await refused(attacked, "end_other", str(other.pid))
        assert other.poll() is None
        assert other.stdin is not None
        other.stdin.close()
        other.kill()


@walled
async def test_it_raises_none_of_its_limits(attacked: Attacked) -> None:
    await refused(attacked, "raise_limits")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
@walled
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=name)
        for name, number in {
            "socket": 41, "bind": 49, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "setrlimit": 160,
            "mount": 165, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304,
            "process_vm_readv": 310, "memfd_create": 319, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
            "pidfd_open": 434, "shmget": 29, "sendmsg": 46, "socket of 32 bits": 0x40000000 | 41,
        }.items()
    ],
)  # fmt: skip
async def test_it_may_not_even_ask(attacked: Attacked, number: int) -> None:
    assert await attacked.attempt("call", str(number)) == os.strerror(1)


@walled
@pytest.mark.parametrize("attempt", ["make_code", "share_memory"])
async def test_its_memory_is_its_own_and_no_program(attacked: Attacked, attempt: str) -> None:
    await refused(attacked, attempt)
    assert getattr(attempts, attempt)("")


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", ["allocate", "allocate_natively"])
async def test_memory_is_limited(attacked: Attacked, attempt: str) -> None:
    error = await refused(attacked, attempt)
    assert (error.code, error.details) == ("document.costly", {"limit": "192 MiB of memory"})


async def test_a_document_that_fills_its_memory_is_not_even_sent(attacked: Attacked) -> None:
    with pytest.raises(Permanent, match="192 MiB of memory"):
        await attacked.extract(JOB, bytes(SMALL.memory_bytes // 2 + 1), "text/plain")
    await attacked.lives()


@pytest.mark.parametrize("attempt", ["spin", "spin_on_threads"])
async def test_computing_is_limited(attacked: Attacked, attempt: str) -> None:
    error = await refused(attacked, attempt)
    assert (error.code, error.details) == ("document.costly", {"limit": "1 seconds of computing"})


async def test_computing_is_a_documents_and_not_a_childs() -> None:
    sandbox = Attacked(Limits(cpu_seconds=1), at_once=1)
    try:
        for _ in range(5):
            assert await sandbox.attempt("compute", "0.4") == "computed"
        assert len(sandbox.living()) == 1
    finally:
        await sandbox.lent.close()


async def test_waiting_is_limited() -> None:
    sandbox = Attacked(Limits(wall_seconds=0.3))
    try:
        await sandbox.lives()
        with pytest.raises(Permanent) as raised:
            await sandbox.attempt("sleep")
    finally:
        await sandbox.lent.close()
    assert raised.value.details == {"limit": "0.3 seconds"}


# -- dying ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "argument"),
    [("segfault", ""), ("abort", ""), ("leave", "0"), ("leave", "3"), ("leave_politely", ""), ("recurse", "")],
)
async def test_a_dead_parser_is_told_of(attacked: Attacked, attempt: str, argument: str) -> None:
    error = await refused(attacked, attempt, argument)
    assert (error.code, error.details) == ("document.crash", {"kind": argument})


async def test_what_a_parser_raises_is_not_told(attacked: Attacked) -> None:
    error = await refused(attacked, "raise_anything")
    assert error.code == "document.crash"
    assert "secret" not in f"{error} {error.next_step} {error.details} {error.__cause__} {error.__context__}"


async def test_an_earlier_documents_doing_costs_no_later_one() -> None:
    sandbox = Attacked(at_once=1)
    try:
        assert await sandbox.attempt("lie_in_wait") == "honest"
        await sandbox.lives()  # where it was called, the used child died
        await sandbox.lives()
    finally:
        await sandbox.lent.close()


# -- owning the pipe --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", attempts.LIES)
async def test_a_lie_is_no_answer(attacked: Attacked, lie: str) -> None:
    error = await refused(attacked, "lie", lie)
    assert error.code in ("document.crash", "document.costly")
    assert "secret" not in str(error)


async def test_only_its_lies_are_refused(attacked: Attacked) -> None:
    assert await attacked.attempt("lie", "true") == "text"


async def test_what_is_said_unasked_answers_nobody() -> None:
    sandbox = Attacked()
    try:
        assert await sandbox.attempt("lie_later") == "honest"
        (idle,) = sandbox.lent._idle
        await until(lambda: not idle._is_silent())
        await sandbox.lives()
        assert idle not in sandbox.lent._idle
    finally:
        await sandbox.lent.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b", "nul\0byte"])
async def test_a_members_path_stays_inside(attacked: Attacked, path: str) -> None:
    with pytest.raises(Permanent) as raised:
        _ = [member async for member in attacked.members(JOB, b"paths", path)]
    assert raised.value.code == "document.crash"


async def test_a_members_honest_path_is_kept(attacked: Attacked) -> None:
    assert [member async for member in attacked.members(JOB, b"paths", "a/b..c.txt")] == [("a/b..c.txt", b"content")]


async def test_a_member_has_a_most(attacked: Attacked) -> None:
    sandbox = Attacked(Limits())
    try:
        with pytest.raises(Permanent) as raised:
            _ = [member async for member in sandbox.members(JOB, b"too large", "")]
    finally:
        await sandbox.lent.close()
    assert raised.value.code == "document.costly"


@pytest.mark.parametrize(("width", "height", "size"), [(10, 10, 299), (10, 10, 301), (0, 10, 0), (1 << 20, 1 << 20, 3)])
async def test_a_picture_has_the_pixels_that_it_says(attacked: Attacked, width: int, height: int, size: int) -> None:
    with pytest.raises(Permanent) as raised:
        _ = [one async for one in attacked.pictures(JOB, struct.pack("<III", width, height, size), "image/png", dpi=1)]
    assert raised.value.code == "document.crash"
    honest = struct.pack("<III", 10, 10, 300)
    assert [one.pixels async for one in attacked.pictures(JOB, honest, "image/png", dpi=1)] == [bytes(300)]


# -- streams ----------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_left_ends_its_child(attacked: Attacked) -> None:
    await attacked.lives()
    before = {child.pid for child in attacked.living()}
    async with aclosing(attacked.members(JOB, b"endless", "")) as members:
        assert [(await anext(members))[0] for _ in range(3)] == ["member"] * 3
    await until(lambda: not before & {child.pid for child in attacked.living()})
    await attacked.lives()


async def test_a_child_that_ignores_its_limit_is_ended_between_two_answers(attacked: Attacked) -> None:
    came = 0
    with pytest.raises(Permanent, match="1 seconds of computing"):
        async for _ in attacked.members(JOB, b"trickle", ""):
            came += 1
            assert came < 50
    await attacked.lives()


async def test_what_came_before_a_death_counts_and_the_death_is_told(attacked: Attacked) -> None:
    came = []
    with pytest.raises(Permanent) as raised:
        async for member in attacked.members(JOB, b"then die", "application/zip"):
            came.append(member)
    assert came == [("first", b"content")]
    assert raised.value.details == {"kind": "application/zip"}


# -- whose child it is ------------------------------------------------------------------------------------------------


async def test_a_child_serves_one_job_and_is_used_again_for_it() -> None:
    sandbox = Attacked(at_once=2)
    try:
        first = [await sandbox.attempt("own_number") for _ in range(3)]
        second = [await sandbox.attempt("own_number", job=OTHER) for _ in range(3)]
        assert len({*first}) == len({*second}) == 1
        assert first[0] != second[0]
    finally:
        await sandbox.lent.close()


async def test_there_are_never_more_than_so_many() -> None:
    sandbox = Attacked(at_once=2)
    most = 0
    try:
        await sandbox.lives()
        calls = [asyncio.create_task(sandbox.attempt("compute", "0.05", UUID(int=job))) for job in range(10)]
        while not all(call.done() for call in calls):
            most = max(most, len(sandbox.living()))
            await asyncio.sleep(0.005)
        assert [await call for call in calls] == ["computed"] * 10
        await until(lambda: len(sandbox.living()) <= 2)
    finally:
        await sandbox.lent.close()
    assert 1 <= most <= 2 + 2  # those that are ended already and not buried yet


async def test_an_idle_child_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "IDLE_SECONDS", 0.05)
    sandbox = Attacked()
    try:
        await sandbox.lives()
        await until(lambda: not sandbox.living())
        await sandbox.lives()
    finally:
        await sandbox.lent.close()


async def test_a_child_that_kept_much_memory_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "MOST_KEPT_BYTES", 0)
    sandbox = Attacked()
    try:
        assert len({await sandbox.attempt("own_number") for _ in range(3)}) == 3
    finally:
        await sandbox.lent.close()


async def test_a_cancelled_call_leaves_no_child_behind(attacked: Attacked) -> None:
    await attacked.lives()
    before = {child.pid for child in attacked.living()}
    call = asyncio.create_task(attacked.attempt("sleep"))
    await until(lambda: not attacked.lent._idle)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: not before & {child.pid for child in attacked.living()})
    assert await attacked.attempt("echo", "the answer to this call") == "the answer to this call"


@pytest.mark.parametrize("steps", range(8))
async def test_a_call_may_be_cancelled_anywhere(steps: int) -> None:
    sandbox = Attacked(at_once=1)
    try:
        await sandbox.lives()
        call = asyncio.create_task(sandbox.attempt("echo", "cancelled", OTHER))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await sandbox.lives()
        await until(lambda: len(sandbox.living()) == 1)
        zygote = sandbox.zygote()
    finally:
        await sandbox.lent.close()
    assert not zygote.is_running()


# -- whose zygote it is -----------------------------------------------------------------------------------------------


async def test_the_zygote_has_one_thread() -> None:
    lent = Children(Limits(), 1)
    try:
        assert (await SandboxedParsers(lent, Limits()).probe(JOB, b"text", "")).route == "text"
        process = lent._zygote._process
        assert process is not None
        assert psutil.Process(process.pid).num_threads() == 1
    finally:
        await lent.close()


async def test_they_outlive_what_asks_their_worker_to_stop(attacked: Attacked) -> None:
    own = await attacked.attempt("own_number")
    for number in (signal.SIGINT, signal.SIGTERM):
        for process in (attacked.zygote(), *attacked.living()):
            process.send_signal(number)
    assert await attacked.attempt("own_number") == own


async def test_a_killed_zygote_blames_no_document_and_comes_again() -> None:
    sandbox = Attacked()
    try:
        await sandbox.lives()
        call = asyncio.create_task(sandbox.attempt("sleep"))
        await until(lambda: not sandbox.lent._idle)
        (busy,) = sandbox.living()
        sandbox.zygote().kill()
        with pytest.raises(Retryable) as raised:
            await call
        assert raised.value.code == "sandbox.away"
        await until(lambda: _ended(busy))
        await sandbox.lives()
    finally:
        await sandbox.lent.close()


async def test_a_zygote_that_cannot_start_blames_no_document() -> None:
    lent = Children(SMALL, 1, "tests.engines.no_such_program")
    with pytest.raises(Retryable) as raised:
        await SandboxedParsers(lent, SMALL).extract(JOB, b"echo", "")
    assert raised.value.code == "sandbox.away"
    await lent.close()


@pytest.mark.parametrize(
    "fails",
    ["raise ImportError('gone')", "def __getattr__(name): raise RuntimeError('broken')"],
    ids=["gone", "broken"],
)
async def test_a_library_that_fails_blames_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    (tmp_path / "kreuzberg.py").write_text(fails)
    path = f"{tmp_path}:{children.ENVIRONMENT['PYTHONPATH']}"
    monkeypatch.setitem(children.ENVIRONMENT, "PYTHONPATH", path)
    lent = Children(Limits(), 1)
    try:
        with pytest.raises(Retryable) as raised:
            await SandboxedParsers(lent, Limits()).extract(JOB, b"A plain text.", "text/plain")
        assert raised.value.code == "sandbox.away"
    finally:
        await lent.close()


async def test_a_guard_that_no_parser_bears_blames_no_document() -> None:
    cramped = Limits(address_bytes=64 << 20)
    lent = Children(cramped, 1)
    try:
        with pytest.raises(Retryable) as raised:
            await SandboxedParsers(lent, cramped).extract(JOB, b"A plain text.", "text/plain")
        assert raised.value.code == "sandbox.away"
    finally:
        await lent.close()


ORPHANED = """
    import asyncio
    from engines.sandbox import Limits
    from tests.engines.test_sandbox import Attacked
    async def main():
        sandbox = Attacked(Limits())
        await sandbox.lives()
        call = asyncio.create_task(sandbox.attempt("spin"))
        while sandbox.lent._idle:
            await asyncio.sleep(0.01)
        print(sandbox.zygote().pid, *(child.pid for child in sandbox.living()), flush=True)
        await call
    asyncio.run(main())
"""


async def test_all_end_with_their_worker_however_it_ends() -> None:
    command = [sys.executable, "-c", textwrap.dedent(ORPHANED)]
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    left = [psutil.Process(int(number)) for number in (await worker.stdout.readline()).split()]
    assert len(left) == 2
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    await until(lambda: all(_ended(process) for process in left))


# -- each guard by itself ---------------------------------------------------------------------------------------------

GUARDED = """
    import os, socket, sys
    from pathlib import Path
    from engines.sandbox import guards, landlock, seccomp
    import ctypes
    ctypes.CDLL(None).prctl(guards.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    {guard}
    done = []
    for name, attempt in (
        ("read", lambda: Path(sys.argv[1]).read_text()),
        ("write", lambda: Path(sys.argv[1]).write_text("")),
        ("connect", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2]))).close()),
        ("fork", lambda: os.fork() or os._exit(0)),
    ):
        try:
            attempt()
        except PermissionError:
            continue
        done.append(name)
    print(",".join(done))
"""


@walled
@pytest.mark.parametrize(
    ("guard", "left"),
    [
        ("", "read,write,connect,fork"),
        ("landlock.confine(guards.code_folders())", "fork"),
        ("seccomp.confine(os.getpid())", "read"),
    ],
)
async def test_what_each_guard_keeps_from(tmp_path: Path, listener: str, guard: str, left: str) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    program = textwrap.dedent(GUARDED).format(guard=guard)
    command = [sys.executable, "-c", program, str(file), listener.partition(":")[2]]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == left


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
async def test_the_filter_of_each_architecture_ends_well(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.platform, "machine", lambda: machine)
    program: list[Any] = seccomp._filter(1)
    assert len(program) < 4096
    for place, (operation, yes, no, _) in enumerate(program):
        if operation == seccomp.RETURN:
            continue
        jumps = (yes, no) if operation in (seccomp.EQUAL, seccomp.ANY_BIT) else (0,)
        assert all(place + 1 + jump < len(program) for jump in jumps)
    assert program[-1][0] == seccomp.RETURN
