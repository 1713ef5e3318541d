"""Keys in memory, for tests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from infra.keys import QUARANTINE
from schemas.errors import Permanent
from schemas.sealing import KEY_BYTES


class MemoryKeys:
    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._destroyed: set[str] = set()

    async def create(self, job: UUID) -> bytes:
        if str(job) in self._destroyed:
            raise Permanent("key.destroyed")
        return self._keys.setdefault(str(job), os.urandom(KEY_BYTES))

    async def fetch(self, key_id: str) -> bytes:
        if key_id == QUARANTINE:
            return self._keys.setdefault(QUARANTINE, os.urandom(KEY_BYTES))
        if key_id in self._destroyed:
            raise Permanent("key.destroyed")
        if key_id not in self._keys:
            raise Permanent("key.unknown")
        return self._keys[key_id]

    async def destroy(self, job: UUID) -> bool:
        self._destroyed.add(str(job))
        return self._keys.pop(str(job), None) is not None

    async def ping(self) -> None:
        return


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[MemoryKeys]:
    yield MemoryKeys()
