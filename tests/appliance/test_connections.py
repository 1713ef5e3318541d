import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
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


@asynccontextmanager
async def _connected() -> AsyncIterator[Opened]:
    config = uvicorn.Config(_slow, ws="none", log_config=None)
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
