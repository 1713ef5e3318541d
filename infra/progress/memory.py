"""Progress within one process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class MemoryProgress:
    def __init__(self) -> None:
        self._watchers: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    async def changed(self, job: UUID) -> None:
        for watcher in self._watchers.get(job, ()):
            watcher.set()

    async def watch(self, job: UUID, *, every: float) -> AsyncIterator[None]:
        wake = asyncio.Event()
        self._watchers[job].add(wake)
        try:
            while True:
                wake.clear()
                yield
                try:
                    async with asyncio.timeout(every):
                        await wake.wait()
                except TimeoutError:
                    continue
        finally:
            self._watchers[job].discard(wake)
            if not self._watchers[job]:
                del self._watchers[job]

    async def ping(self) -> None:
        return


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[MemoryProgress]:
    yield MemoryProgress()
