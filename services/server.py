"""Runs a service's app on a port until SIGTERM or SIGINT."""

import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from appliance.connections import PromptConnection
from appliance.guard import Guard
from schemas.errors import CradleError
from services.guard import TokenRequired
from services.intake import Intake
from services.problems import RESPONSES, tell_problems

VERSION: Final = "1"
"""Of the services' HTTP interface."""
UNGUARDED: Final = ("/health", "/openapi.json")
"""What wants no token: these tell nothing of anybody's request."""
CONNECTIONS_AT_MOST: Final = 4096
"""Requests are bounded apart; those who are one too many are told so, for which they need a connection."""


@dataclass(frozen=True, slots=True)
class Door:
    """Who gets in, and how many at a time."""

    token: str | None
    """None: whoever reaches the port. Then the service goes by addresses, localhost and `hosts` alone, so that no web
    page can use its visitor's browser to ask."""
    hosts: Sequence[str]
    """Names of the service."""
    most_requests: int
    most_bytes: int
    """Of one request."""


def build_app(
    title: str,
    door: Door,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    retry_after: Callable[[], int],
) -> FastAPI:
    """An app without roads, which whatever comes in passes through the door. `retry_after`: seconds till there is
    likely to be room for one more request."""
    layers = [
        Middleware(Guard, hosts=door.hosts, any_host=door.token is not None, setting="CRADLE_SERVICE_HOSTS"),
        *([Middleware(TokenRequired, token=door.token, unguarded=UNGUARDED)] if door.token is not None else []),
        Middleware(Intake, most_requests=door.most_requests, most_bytes=door.most_bytes, retry_after=retry_after),
    ]
    app = FastAPI(
        title=title,
        version=VERSION,
        lifespan=lifespan,
        middleware=layers,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        responses=RESPONSES,
    )
    tell_problems(app)
    return app


async def run(app: FastAPI, host: str, port: int, *, drain_seconds: float) -> None:
    """Serves until it is told to stop, and returns once the answers in hand are given, or after `drain_seconds`.

    Raises CradleError `service.address`.
    """
    # uvicorn raises the signal again once it has stopped: what is open here must still be closed
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    try:
        await uvicorn.Server(configured(app, host, port, drain_seconds=drain_seconds)).serve()
    except SystemExit:
        raise CradleError("service.address", host=host or "any address", port=port) from None


def configured(app: FastAPI, host: str, port: int, *, drain_seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host,
        port,
        http=PromptConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # a line of it would tell who asked for what
        server_header=False,
        limit_concurrency=CONNECTIONS_AT_MOST,
        timeout_graceful_shutdown=drain_seconds,  # type: ignore[arg-type]  # waits in seconds, whole or not
    )
