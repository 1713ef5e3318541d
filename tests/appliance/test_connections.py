import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from appliance import connections
from appliance.connections import PromptConnection

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.2)


async def _slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the request, and then takes several times as long as the connection has patience."""
    try:
        await Request(scope, receive).body()
    except ClientDisconnect:
        return
    await asyncio.sleep(1)
    await PlainTextResponse("done")(scope, receive, send)


async def _long(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with more than any socket holds."""
    await PlainTextResponse(b"x" * (64 << 20))(scope, receive, send)


@asynccontextmanager
async def _connected(app: ASGIApp = _slow) -> AsyncIterator[Opened]:
    config = uvicorn.Config(app, ws="none", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: PromptConnection(config, state, {}), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def _dripped(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while not writer.is_closing():
        writer.write(piece)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"", b""),
        (b"GET / HT", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"x: y\r\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n", b"x"),
    ],
    ids=["nothing", "half a line", "a head without end", "a body without end"],
)
async def test_who_sends_no_whole_request_is_let_go(head: bytes, drip: bytes) -> None:
    async with _connected() as (reader, writer):
        writer.write(head)
        dripping = asyncio.create_task(_dripped(writer, drip))
        try:
            assert await asyncio.wait_for(_end_of(reader.read), 20)
        finally:
            dripping.cancel()


async def _end_of(read: Callable[[], Awaitable[bytes]]) -> bool:
    try:
        return await read() == b""
    except ConnectionResetError:
        return True


async def test_an_answer_may_take_its_time() -> None:
    async with _connected() as (reader, writer):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(4) == b"done"


async def test_who_takes_nothing_of_the_answer_is_let_go() -> None:
    async with _connected(_long) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1)  # several times its patience
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(reader.readexactly(64 << 20), 20)


async def test_who_takes_a_long_answer_slowly_gets_it() -> None:
    async with _connected(_long) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        left = 64 << 20
        for _ in range(16):
            left -= len(await asyncio.wait_for(reader.readexactly(1 << 20), 20))
            await asyncio.sleep(0.05)
        assert len(await asyncio.wait_for(reader.readexactly(left), 20)) == left
