"""The server: every road to the answers on one port, behind one guard and one token."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from appliance.answers import Answers, open_answers
from appliance.auth import TokenCheck, TokenRequired
from appliance.connections import PromptConnection
from appliance.guard import Guard
from appliance.http import ERRORS, routes
from appliance.mcp import build_server, serve_stdio, sessions
from appliance.page import page
from appliance.settings import Settings

UNGUARDED: Final = ("/", "/healthz", "/openapi.json")
"""What wants no token: these hold nothing of the documents. The page asks for it."""
STOP_SECONDS: Final = 0.4
"""For answers in flight after SIGTERM: with uvicorn's own pauses the server then ends within a second."""
CONNECTIONS_AT_MOST: Final = 200


def build_app(
    server: Server[Any], others: Sequence[BaseRoute], check: TokenCheck | None, hosts: Collection[str]
) -> Starlette:
    """MCP at `/mcp` and the `others`. `check`: None lets everybody ask; then only addresses, localhost and `hosts`
    are accepted as the server's name."""
    manager = sessions(server)
    guards = [Middleware(Guard, hosts=hosts, any_host=check is not None)]
    if check is not None:
        guards.append(Middleware(TokenRequired, check=check, unguarded=UNGUARDED))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return Starlette(
        routes=[Route("/mcp", StreamableHTTPASGIApp(manager)), *others],
        middleware=guards,
        exception_handlers=ERRORS,
        lifespan=lifespan,
    )


def serve(data: Path, settings: Settings, host: str, port: int, check: TokenCheck | None) -> None:
    """Serves until SIGTERM and then ends the process. `check`: None answers anybody.

    Raises OSError or ValueError where the data cannot be read.
    """
    gc.freeze()  # what was imported stays: the collector need not look at it again and again
    gc.enable()
    asyncio.run(_serve(data, settings, host, port, check))


def stdio(data: Path, settings: Settings) -> None:
    """Serves MCP on standard input and output until the input ends. Raises as `serve` does."""
    asyncio.run(_stdio(data, settings))


async def _serve(data: Path, settings: Settings, host: str, port: int, check: TokenCheck | None) -> None:
    async with open_answers(data, settings) as answers:
        app = build_app(mcp_server(answers), [page(), *routes(answers)], check, settings.hosts)
        await run(app, host, port, once_it_listens=answers.warm)
    # nothing is left to save, and a thread that waits for the model service would hold the exit back
    os._exit(0)


async def run(app: Starlette, host: str, port: int, *, once_it_listens: Callable[[], None]) -> None:
    """Serves `app` until SIGTERM or SIGINT, and then returns."""
    config = uvicorn.Config(
        app,
        host,
        port,
        http=PromptConnection,
        ws="none",
        log_level="warning",
        access_log=False,  # a line of it would hold the question
        server_header=False,
        limit_concurrency=CONNECTIONS_AT_MOST,
        timeout_graceful_shutdown=STOP_SECONDS,  # type: ignore[arg-type]  # waits in seconds, whole or not
    )
    # uvicorn raises the signal again once it has stopped: what is open here must still be closed
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    await _Listening(config, once_it_listens).serve()


class _Listening(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, then: Callable[[], None]) -> None:
        super().__init__(config)
        self._then = then

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._then()


async def _stdio(data: Path, settings: Settings) -> None:
    async with open_answers(data, settings) as answers:
        answers.warm()
        await serve_stdio(mcp_server(answers))


def mcp_server(answers: Answers) -> Server[Any]:
    return build_server(answers, version=answers.fingerprint[:12])
