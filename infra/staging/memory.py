"""Staging in memory, for tests."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from infra.staging.names import check_deletion, check_name, check_prefix
from schemas.errors import Permanent

PIECE_BYTES = 1024 * 1024


class MemoryStaging:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def write(self, name: str, data: AsyncIterable[bytes]) -> int:
        check_name(name)
        content = b"".join([piece async for piece in data])
        self.objects[name] = content
        return len(content)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        content = self.objects.get(check_name(name))
        if content is None:
            raise Permanent("staging.missing")
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    async def exists(self, name: str) -> bool:
        return check_name(name) in self.objects

    async def list(self, prefix: str) -> AsyncIterator[str]:
        check_prefix(prefix)
        for name in sorted(self.objects):
            if name.startswith(prefix):
                yield name

    async def delete(self, prefix: str) -> int:
        names = [name async for name in self.list(check_deletion(prefix))]
        for name in names:
            del self.objects[name]
        return len(names)

    async def ping(self) -> None:
        return


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[MemoryStaging]:
    yield MemoryStaging()
