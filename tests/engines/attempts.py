"""A sandbox's program whose parser is the attacker: it does what the file says, with all that a child has.

`python -m tests.engines.attempts HANDLE LIMITS`, as `engines.sandbox.children` starts its zygote. The file names an
attempt and the type its argument. What comes back in the text is what the attacker got.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from engines.extraction import Extracted, ExtractedHeading, ExtractedPage, PageImage
from engines.sandbox import wire
from engines.sandbox.wire import ANSWER_HEAD, What
from engines.sandbox.zygote import given, main

# -- what answers with what it got ------------------------------------------------------------------------------------


def echo(argument: str) -> str:
    return argument


def read(path: str) -> str:
    return Path(path).read_text()


def read_new(path: str) -> str:
    Path(path).write_text("written")
    return Path(path).read_text()


def append(path: str) -> str:
    with Path(path).open("a") as file:
        file.write("written")
    return "written"


def make_folder(path: str) -> str:
    Path(path).mkdir()
    return "made"


def remove(path: str) -> str:
    Path(path).unlink()
    return "removed"


def rename(path: str) -> str:
    Path(path).rename(f"{path}.renamed")
    return "renamed"


def change_mode(path: str) -> str:
    Path(path).chmod(0o777)
    return "changed"


def make_link(path: str) -> str:
    Path(f"{path}.link").symlink_to(path)
    return "linked"


def list_folder(path: str) -> str:
    return "\n".join(entry.name for entry in Path(path).iterdir())


def connect(address: str) -> str:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"taken")
    return "connected"


def send_datagram(address: str) -> str:
    host, _, port = address.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"taken", (host, int(port)))
    return "sent"


def connect_local(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
    return "connected"


def fork(_: str) -> str:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"


def execute(program: str) -> str:
    return subprocess.run([program], capture_output=True, check=True).stdout.decode()


def replace(program: str) -> str:
    os.execv(program, [program])


def run_thread(_: str) -> str:
    got: list[str] = []
    thread = threading.Thread(target=got.append, args=("ran",))
    thread.start()
    thread.join()
    return got[0]


def end_other(process: str) -> str:
    os.kill(int(process), signal.SIGKILL)
    return "killed"


def raise_limits(_: str) -> str:
    for name in ("RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_FSIZE"):
        number = getattr(resource, name)
        try:
            resource.setrlimit(number, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            continue
        return f"raised {name}"
    raise PermissionError


def call(number: str) -> str:
    """A bare system call, whose arguments are all zero. The kernel says EPERM before it looks at any."""
    library = ctypes.CDLL(None, use_errno=True)
    result = library.syscall(int(number), 0, 0, 0, 0, 0, 0)
    return os.strerror(ctypes.get_errno()) if result < 0 else f"returned {result}"


def make_code(_: str) -> str:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        return "writable and executable"


def share_memory(_: str) -> str:
    with mmap.mmap(-1, 4096):  # shared, which no limit of a process counts
        return "shared"


def show_environment(_: str) -> str:
    return json.dumps({**os.environ})


def open_files(path: str) -> str:
    files = []
    try:
        while len(files) < 10_000:
            files.append(os.open(path, os.O_RDONLY))
    except OSError:
        return str(len(files))
    finally:
        for file in files:
            os.close(file)
    return "10000"


def read_file_handles(_: str) -> str:
    """What else it has open."""
    found = []
    for handle in range(1024):
        try:
            os.fstat(handle)
        except OSError:
            continue
        found.append(handle)
    return ",".join(str(handle) for handle in found)


# -- what never answers, or badly -------------------------------------------------------------------------------------


def allocate(_: str) -> str:
    held = []
    while True:
        held.append(bytearray(8 << 20))


def allocate_natively(_: str) -> str:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    while (address := library.malloc(8 << 20)) is not None:
        ctypes.memset(address, 1, 8 << 20)
    os.abort()


def spin(_: str) -> str:
    while True:
        pass


def spin_on_threads(_: str) -> str:
    for _unused in range(2):
        threading.Thread(target=spin, args=("",), daemon=True).start()
    return spin("")


def sleep(_: str) -> str:
    while True:
        time.sleep(60)


def compute(seconds: str) -> str:
    end = time.process_time() + float(seconds)
    while time.process_time() < end:
        pass
    return "computed"


def own_number(_: str) -> str:
    return str(os.getpid())


def segfault(_: str) -> str:
    ctypes.string_at(8)
    return "read"


def abort(_: str) -> str:
    os.abort()


def leave(status: str) -> str:
    os._exit(int(status))


def leave_politely(_: str) -> str:
    raise SystemExit(0)


def recurse(_: str) -> str:
    return recurse(_)


def raise_anything(_: str) -> str:
    raise KeyError("secret of the document")


ATTEMPTS = {
    function.__name__: function
    for function in (
        echo, read, read_new, append, make_folder, remove, rename, change_mode, make_link, list_folder, connect,
        send_datagram, connect_local, fork, execute, replace, run_thread, end_other, raise_limits, call, make_code,
        share_memory, show_environment, open_files, read_file_handles, allocate, allocate_natively, spin,
        compute, own_number, spin_on_threads, sleep, segfault, abort, leave, leave_politely, recurse, raise_anything,
    )
}  # fmt: skip


# -- owning the pipe: what it sends is no answer ----------------------------------------------------------------------


def say(content: bytes) -> None:
    """On the child's own connection, found among what it has open."""
    handle = next(handle for handle in range(3, 64) if _is_socket(handle))
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _is_socket(handle: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(handle).st_mode)
    except OSError:
        return False


def frame(what: int, packed: bytes, raw: bytes = b"") -> bytes:
    return ANSWER_HEAD.pack(what, len(packed), len(raw)) + packed + raw


def flood() -> Iterator[bytes]:
    while True:
        yield b"\xff" * 65536


def flood_of_items() -> Iterator[bytes]:
    while True:
        yield frame(What.ITEM, wire.pack(["text/plain", "text"]))


def flood_of_true_items() -> Iterator[bytes]:
    while True:
        yield frame(What.ITEM, wire.pack(EXTRACTED), b"text")


def huge_promise() -> Iterator[bytes]:
    yield ANSWER_HEAD.pack(What.ITEM, 1 << 62, 1 << 62)


def pickled() -> Iterator[bytes]:
    import pickle

    yield frame(What.ITEM, pickle.dumps(Extracted("text"))) + frame(What.END, wire.pack(None))


def answers(plain: Any, what: int = What.ITEM, raw: bytes = b"text") -> Iterator[bytes]:
    yield frame(what, wire.pack(plain), raw if what == What.ITEM else b"") + frame(What.END, wire.pack(None))


EXTRACTED: dict[str, Any] = {
    "pages": [], "headings": [], "title": None, "language": None, "date": None, "marks": []
}  # fmt: skip

LIES: dict[str, Callable[[], Iterator[bytes]]] = {
    "flood": flood,
    "flood of items": flood_of_items,
    "huge promise": huge_promise,
    "pickled": pickled,
    "no kind of answer": partial(answers, None, 77),
    "flood of true items": flood_of_true_items,
    "nothing": partial(answers, None, What.END),
    "an item of the wrong shape": partial(answers, ["text"]),
    "many empty tables": lambda: iter((frame(What.ITEM, b"\xdd\x00\x3f\xff\xf0" + b"\x80" * 0x3FFFF0),)),
    "no text": partial(answers, EXTRACTED, raw=b"\xff"),
    "a span beyond the text": partial(
        answers, EXTRACTED | {"headings": [{"level": 1, "start": 0, "end": 5}]}
    ),
    "spans out of order": partial(
        answers, EXTRACTED | {"pages": [{"number": 1, "start": 2, "end": 4}, {"number": 2, "start": 0, "end": 2}]}
    ),
    "an unknown error": partial(answers, ["key.destroyed", {}], What.REFUSED),
    "an error without a catalogue": partial(answers, ["document.secret", {}], What.REFUSED),
    "an error that tells": partial(answers, ["document.broken", {"kind": "secret\nof the document"}], What.REFUSED),
    "an error that lacks its detail": partial(answers, ["document.broken", {}], What.REFUSED),
    "an error that is none": partial(answers, 5, What.REFUSED),
    "a truncated answer": lambda: iter((frame(What.ITEM, b"x" * 100)[:50],)),
    "deeply nested": lambda: iter((frame(What.ITEM, b"\x91" * 100_000 + b"\xc0"),)),
    "not UTF-8": lambda: iter((frame(What.ITEM, b"\x92\xa1\xff\xa1\xff"),)),
}  # fmt: skip


TRUTHS = {"true": partial(answers, EXTRACTED)}
"""What the same road brings if it is told rightly."""


def lie(name: str) -> str:
    for said in (LIES | TRUTHS)[name]():
        say(said)
    os._exit(0)


def lie_later() -> None:
    """Says something that nobody has asked for, once the honest answer is out."""
    time.sleep(0.2)
    say(frame(What.ITEM, wire.pack(EXTRACTED), b"poison") + frame(What.END, b"\xc0"))


WAITING: list[str] = []


def lie_in_wait(_: str) -> str:
    """Harms the next document of its child, and not itself."""
    WAITING.append("lie")
    return "honest"


# -- the functions of the port ----------------------------------------------------------------------------------------


def extract(data: bytes, media_type: str) -> Iterator[Extracted]:
    if WAITING:
        os.abort()
    if data == b"lie_later":
        yield Extracted("honest")
        threading.Thread(target=lie_later).start()
        return
    attempts = ATTEMPTS | {"lie": lie, "lie_in_wait": lie_in_wait}
    yield Extracted(attempts[data.decode()](media_type))


def members(data: bytes, media_type: str) -> Iterator[tuple[str, bytes]]:
    match data.decode():
        case "paths":
            yield media_type, b"content"
        case "endless":
            while True:
                yield "member", b"x" * 65536
        case "trickle":  # and no signal that computing takes too long is heard
            signal.signal(signal.SIGXCPU, signal.SIG_IGN)
            while True:
                compute("0.2")
                yield "member", b"x"
        case "then die":
            yield "first", b"content"
            os.abort()
        case "too large":
            yield "first", bytes(140 << 20)


def pictures(data: bytes, media_type: str, dpi: int) -> Iterator[PageImage]:
    width, height, size = struct.unpack("<III", data)
    yield PageImage(1, width, height, bytes(size), dpi)


def pages(data: bytes, media_type: str) -> Iterator[Extracted]:
    yield Extracted("ab", (ExtractedPage(1, 0, 2),), (ExtractedHeading(1, 0, 1),))


FUNCTIONS: Any = {"probe": None, "extract": extract, "readable": pages, "members": members, "pictures": pictures}

if __name__ == "__main__":
    main(*given(sys.argv), FUNCTIONS)
