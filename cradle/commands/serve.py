"""`cradle serve`: the engines over HTTP."""

import asyncio
import ipaddress
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import CradleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI

    from cradle.settings import Settings

app = typer.Typer(
    help="The engines over HTTP, for callers that have texts or pictures and no job.", no_args_is_help=True
)

Host = Annotated[
    str | None, typer.Option(help="Address to answer on; `all` for every one. Else as CRADLE_SERVICE_HOST says.")
]
Port = Annotated[int, typer.Option(min=1, max=65535)]
Open = Annotated[
    bool, typer.Option("--open", help="Answer whoever reaches it, also from other machines, without a token.")
]
Json = Annotated[bool, typer.Option("--json", help="Log JSON lines on a terminal too.")]


@app.callback()
def serve() -> None:
    """The engines over HTTP, for callers that have texts or pictures and no job."""


@app.command("embeddings")
def embeddings(host: Host = None, port: Port = 8001, open_: Open = False, json: Json = False) -> None:
    """Serve vectors of texts until SIGTERM: POST /embed, and the roads of TEI and OpenAI.

    CRADLE_EMBEDDINGS_MODEL names the model; GET /openapi.json tells the roads.
    """
    from cradle.compose import open_embeddings

    _serve(open_embeddings, host, port, open_to_all=open_, json=json)


@app.command("vision")
def vision(host: Host = None, port: Port = 8002, open_: Open = False, json: Json = False) -> None:
    """Serve the text of pictures and PDFs, page by page, until SIGTERM: POST /vision.

    CRADLE_VISION_ENGINE names the engine; GET /openapi.json describes the roads.
    """
    from cradle.compose import open_vision

    _serve(open_vision, host, port, open_to_all=open_, json=json)


def _serve(
    opened: "Callable[[Settings], AbstractAsyncContextManager[FastAPI]]",
    host: str | None,
    port: int,
    *,
    open_to_all: bool,
    json: bool,
) -> None:
    from cradle.logs import configure_logs
    from cradle.settings import load_settings

    settings = load_settings()
    host = host or settings.service_host
    if settings.service_token is None and not open_to_all and not _is_this_machine(host):
        raise CradleError("service.open", host=host)
    configure_logs(settings.log_level, json=json)
    asyncio.run(_run(opened, settings, "" if host == "all" else host, port))


async def _run(
    opened: "Callable[[Settings], AbstractAsyncContextManager[FastAPI]]", settings: "Settings", host: str, port: int
) -> None:
    from services.server import run

    async with opened(settings) as served:
        await run(served, host, port, drain_seconds=settings.drain_seconds)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to save, and an engine that hangs would hold the exit back


def _is_this_machine(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
