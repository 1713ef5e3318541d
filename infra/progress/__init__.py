"""The progress port: fan-out of what the ledger already knows, to spare watchers polling. Losing it loses nothing."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol
from uuid import UUID

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.progress.memory:open_memory",
    "redis": "infra.progress.redis:open_redis",
}


class Progress(Protocol):
    async def changed(self, job: UUID) -> None:
        """Tells watchers that the job's counters moved. Never raises: an absent fan-out costs freshness only."""

    def watch(self, job: UUID, *, every: float) -> AsyncIterator[None]:
        """Yields at once, on each change, and at least `every` seconds: a watcher that misses a change still wakes."""

    async def ping(self) -> None:
        """Returns if the fan-out answers. Raises Retryable `dependency.away`."""


def open_progress(url: str) -> AbstractAsyncContextManager[Progress]:
    """`redis://host:port/0`, `memory:` (within one process)."""
    context: AbstractAsyncContextManager[Progress] = adapter("progress", url, ADAPTERS)(url)
    return context
