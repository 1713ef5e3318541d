"""What `cradle doctor` asks: one entry a dependency of this installation."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from cradle.compose import Adapters, clock, find_url
from cradle.flow import read_flow
from cradle.settings import mask
from infra.versions import version
from operations.doctor import TIMEOUT_SECONDS, Dependency, Finding
from operations.retention import examine_retention
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig

START: Final = "Start the embedded stack with `cradle up`, or correct CRADLE_{name}_URL."
REINSTALL: Final = "Reinstall: pip install --force-reinstall -r constraints/runtime.txt"
ENGINE_SECONDS: Final = 12 * TIMEOUT_SECONDS
"""It reads and hashes its weights, from a disk that may be slow."""


class _Pings(Protocol):
    async def ping(self) -> None: ...


def dependencies(adapters: Adapters) -> list[Dependency]:
    """In the order in which a document meets them."""
    ports: dict[str, Callable[[], Awaitable[_Pings]]] = {
        "broker": adapters.broker,
        "ledger": adapters.ledger,
        "parameters": adapters.parameters,
        "staging": adapters.staging,
        "keys": adapters.keys,
        "progress": adapters.progress,
    }
    return [
        Dependency("python", sys.prefix, _python, "Use Python 3.11, 3.12 or 3.13."),
        _home(adapters.settings.home),
        *(_port(name, find_url(name, adapters.settings), opener) for name, opener in ports.items()),
        _archive(adapters),
        Dependency("sandbox", "what reads documents", _sandbox, "", ENGINE_SECONDS),
        Dependency("embedding", "the builtin engine", _engine, REINSTALL, ENGINE_SECONDS),
    ]


async def topics(adapters: Adapters) -> list[Finding]:
    """What is wrong with how long topics are kept; nothing while the broker cannot tell, which is its own finding."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await examine_retention(await adapters.broker(), read_flow(), now=clock().timestamp())
    except (CradleError, TimeoutError):
        return []


def _port(name: str, url: str | None, opener: Callable[[], Awaitable[_Pings]]) -> Dependency:
    if url is None:  # then opening raises `stack.down`, whose next step is better than ours
        return Dependency(name, "", partial(_ping, opener, ""), "")
    return Dependency(name, mask(url), partial(_ping, opener, url), START.format(name=name.upper()))


def _archive(adapters: Adapters) -> Dependency:
    async def ask() -> str:
        archive = await adapters.archive()
        await archive.ping()
        protection = await archive.protection()
        if not protection:
            raise CradleError("archive.unlocked")
        return protection

    return Dependency("archive", mask(find_url("archive", adapters.settings) or ""), ask, "")


async def _ping(opener: Callable[[], Awaitable[_Pings]], url: str) -> str:
    await (await opener()).ping()
    return await version(url)


async def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _home(home: Path) -> Dependency:
    async def ask() -> str:
        if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
            raise CradleError("settings.invalid", what="home is no folder that this user can write")
        return ""

    return Dependency("home", str(home), ask, "Run `cradle up`, or choose another CRADLE_HOME.")


async def _sandbox() -> str:
    """Reads a file in it, and names the kernel's guards around it. Raises CradleError `sandbox.bare` or
    `sandbox.away`."""
    from engines.sandbox import available, open_sandbox

    if not (guards := available()):
        raise CradleError("sandbox.bare")
    async with open_sandbox() as parsers:
        await parsers.probe(UUID(int=0), b"text", "")
    return str(guards)


async def _engine() -> str:
    from engines.embedding import load_engine

    identity = (await asyncio.to_thread(load_engine, EmbeddingConfig())).identity
    return f"{identity.name}, {identity.dimension} dimensions"
