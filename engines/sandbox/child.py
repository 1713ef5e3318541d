"""The child's end: reads calls from its socket, runs the parser, answers. It ends when its parent hangs up."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engines import extraction
from engines.sandbox import guards, wire
from engines.sandbox.limits import Limits
from engines.sandbox.wire import ANSWER_HEAD, CALL_HEAD, What
from schemas.errors import Permanent

Function = Callable[..., Iterator[Any]]
Functions = Mapping[str, Function]

FUNCTIONS: Final[Functions] = {
    "probe": lambda data, path: iter((extraction.probe(data, path),)),
    "extract": lambda data, media_type: iter((extraction.extract(data, media_type),)),
    "readable": lambda data, media_type: iter((extraction.readable(data, media_type),)),
    "members": extraction.members,
    "pictures": lambda data, media_type, dpi: extraction.pictures(data, media_type, dpi=dpi),
}


def live(connection: socket.socket, limits: Limits, functions: Functions) -> None:
    """Confines this process for good, then serves calls until the parent hangs up."""
    _keep_only(connection)
    guards.confine(limits)
    while (head := _received(connection, CALL_HEAD.size)) is not None:
        size, length = CALL_HEAD.unpack(head)
        function, arguments = wire.unpack(_exactly(connection, size))
        _answer(connection, wire.ANSWERS[function], functions[function], _exactly(connection, length), arguments)


def _answer(connection: socket.socket, kind: wire.Kind, function: Function, data: bytes, arguments: Any) -> None:
    try:
        for item in function(data, *arguments):
            _send(connection, What.ITEM, *kind.wrap(item))
    except Permanent as error:
        _send(connection, What.REFUSED, wire.refusal(error))
    except MemoryError:
        _send(connection, What.FULL)
    except OSError as error:
        if isinstance(error, ConnectionError):
            os._exit(0)  # the parent wants no more of it
        _send(connection, What.STUMBLED)
    except BaseException:  # a panic of a Rust library is no Exception
        _send(connection, What.STUMBLED)
    else:
        _send(connection, What.END)


def _send(connection: socket.socket, what: What, plain: Any = None, raw: bytes = b"") -> None:
    packed = wire.pack(plain)
    connection.sendall(ANSWER_HEAD.pack(what, len(packed), len(raw)) + packed)
    if raw:
        connection.sendall(raw)


def _exactly(connection: socket.socket, size: int) -> bytes:
    """Ends this process if the parent hangs up in between."""
    received = _received(connection, size)
    if received is None:
        os._exit(0)
    return received


def _received(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, in one piece where the kernel gives them so: a document is held once. None at the end."""
    first = connection.recv(size, socket.MSG_WAITALL) if size else b""
    if len(first) == size:
        return first
    if not first:
        return None
    rest = _received(connection, size - len(first))
    return None if rest is None else first + rest


def _keep_only(connection: socket.socket) -> None:
    """Everything else that this process has open is shut; standard input and output lead nowhere."""
    handle = connection.fileno()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, handle)
    os.closerange(handle + 1, os.sysconf("SC_OPEN_MAX"))
