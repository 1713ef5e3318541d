"""The program from which children are forked: it has imported the parsers, has one thread and never reads a file.

    worker  -- FORK with the child's end of a socket pair, or BURY and a child's number -->  zygote
    worker  <--  the child's number, or how it ended                                        -- zygote

A child that was forked here starts in milliseconds and shares the parsers' memory with the others. The zygote ends
when its worker hangs up, however that came; its children end with it.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages
from typing import Final

from engines import extraction
from engines.sandbox import guards
from engines.sandbox.child import FUNCTIONS, Functions, live
from engines.sandbox.limits import Limits

REQUEST: Final = struct.Struct("<cq")
"""What to do, and the number of the child that it is about."""
FORKED: Final = struct.Struct("<q")
BURIED: Final = struct.Struct("<iq")
"""How it ended, as `os.waitstatus_to_exitcode` says it, and the most memory it had resident, in KiB."""
FORK, BURY, READY = b"F", b"B", b"R"
LIBRARIES: Final = (
    "chardet", "kreuzberg", "lxml.etree", "olefile", "pypdfium2",
    *(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Png", "Tiff", "WebP")),
    "encodings.cp437", "encodings.cp1252", "encodings.latin_1", "encodings.utf_16", "encodings.utf_16_le",
)  # fmt: skip
"""What readers import late. What is missing here, a child may still import: it reads code, and nothing else."""
SAMPLE: Final = "A few words that anybody can read."


def main(handle: int, limits: Limits, functions: Functions = FUNCTIONS) -> None:
    """Serves the worker at the other end of `handle`, an inherited socket, until it hangs up. Children run those
    `functions`."""
    control = socket.socket(fileno=handle)
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all: the worker finishes what it has, and hangs up
        signal.signal(number, signal.SIG_IGN)
    guards.hide_network()
    control.sendall(READY)
    while True:
        request, handles, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(request) < REQUEST.size:
            return
        action, child = REQUEST.unpack(request)
        if action == FORK:
            control.sendall(FORKED.pack(_fork(control, handles[0], limits, functions)))
        else:
            control.sendall(BURIED.pack(*_bury(child)))


def prepare() -> None:
    """Imports what parsers import, so that no child has to, and leaves it alone in memory. Uses none of it: a library
    that started a thread could not be forked. Raises ImportError: a child that lacked one would blame its document."""
    readers = [module.name for module in walk_packages(extraction.__path__, f"{extraction.__name__}.")]
    for name in (*readers, *LIBRARIES):
        import_module(name)
    gc.collect()
    gc.freeze()


def prove(limits: Limits) -> None:
    """Ends this process unless a child behind its guards reads a few words: what keeps it from that, a library that
    fails or a guard that it does not bear, would be said of every document as if it were broken."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            guards.confine(limits)
            status = int(extraction.extract(SAMPLE.encode(), "text/plain").text != SAMPLE)
        finally:
            os._exit(status)
    status, _ = _bury(child)
    if status:
        sys.exit(f"In the sandbox not even a plain text can be read here: its child ended with {status}.")


def _fork(control: socket.socket, handle: int, limits: Limits, functions: Functions) -> int:
    child = os.fork()
    if child:
        os.close(handle)
        return child
    status = 1
    try:
        control.close()
        with suppress(ConnectionError):
            live(socket.socket(fileno=handle), limits, functions)
        status = 0
    finally:
        os._exit(status)


def _bury(child: int) -> tuple[int, int]:
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss


def given(arguments: list[str]) -> tuple[int, Limits]:
    """What the worker says on the command line: the handle of its socket, and the limits."""
    return int(arguments[1]), Limits(**json.loads(arguments[2]))


if __name__ == "__main__":
    prepare()
    prove(given(sys.argv)[1])
    main(*given(sys.argv))
