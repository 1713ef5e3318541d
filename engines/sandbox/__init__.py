"""The sandbox: parsers in disposable child processes that can do nothing but answer.

    async with open_sandbox() as parsers:                        # a `Parsers`; nothing starts before the first call
        found = await parsers.probe(job, data, path)
        async with aclosing(parsers.members(job, data, found.media_type)) as members:
            async for path, content in members: ...

`cradle.compose` opens one for each worker process; a stage finds it as `ports.parsers`. A child serves one job alone,
one call at a time, and is ended when its call is cancelled, left early, or exceeds a limit. `AT_ONCE` children run
beside each other at most; a call waits until one is free, so do not wait for more open iterators than that at once.

Raised by every call, beside what the function itself raises: Permanent `document.costly` and `document.crash`,
Retryable `sandbox.away`, when no process can be started. What keeps a child in is told in docs/sandbox.md.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from engines.extraction.parsers import Parsers
from engines.sandbox.guards import Guards, available
from engines.sandbox.limits import Limits

__all__ = ["AT_ONCE", "Guards", "Limits", "available", "open_sandbox"]

AT_ONCE: Final = 4
"""Children of one worker process, idle ones included: each may take `Limits.memory_bytes`."""


@asynccontextmanager
async def open_sandbox(limits: Limits | None = None, *, at_once: int = AT_ONCE) -> AsyncIterator[Parsers]:
    """Parsers in children; all of them end with the block, and with this process, however that ends."""
    from engines.sandbox.children import Children
    from engines.sandbox.parsers import SandboxedParsers

    limits = limits or Limits()
    children = Children(limits, at_once)
    try:
        yield SandboxedParsers(children, limits)
    finally:
        await children.close()
