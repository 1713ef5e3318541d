"""What `cradle doctor` asks: one entry a dependency of this installation."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from cradle.compose import Adapters
from cradle.settings import mask
from infra.versions import version
from operations.doctor import Dependency
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig

START: Final = "Start the embedded stack with `cradle up`, or correct CRADLE_{name}_URL."


class _Pings(Protocol):
    async def ping(self) -> None: ...


def dependencies(adapters: Adapters) -> list[Dependency]:
    """In the order in which a document meets them."""
    urls = adapters.urls
    ports: list[tuple[str, str, Callable[[], Awaitable[_Pings]]]] = [
        ("broker", urls.broker, adapters.broker),
        ("ledger", urls.ledger, adapters.ledger),
        ("parameters", urls.parameters, adapters.parameters),
        ("staging", urls.staging, adapters.staging),
        ("keys", urls.keys, adapters.keys),
        ("progress", urls.progress, adapters.progress),
    ]
    return [
        Dependency("python", sys.prefix, _python, "Use Python 3.11, 3.12 or 3.13."),
        _home(adapters.settings.home),
        *(
            Dependency(name, mask(url), partial(_ping, opener, url), START.format(name=name.upper()))
            for name, url, opener in ports
        ),
        Dependency("embedding", "the builtin engine", _engine, "Reinstall: pip install -r constraints/runtime.txt"),
    ]


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


async def _engine() -> str:
    from engines.embedding import identify

    identity = identify(EmbeddingConfig())
    return f"{identity.name}, {identity.dimension} dimensions"
