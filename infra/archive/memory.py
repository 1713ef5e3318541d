"""An archive in memory, for tests."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from infra.archive.names import check_name, check_prefix
from schemas.errors import Permanent

PIECE_BYTES = 1024 * 1024


class MemoryArchive:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def add(self, name: str, data: AsyncIterable[bytes]) -> int:
        self._refuse_second(check_name(name))
        content = b"".join([piece async for piece in data])
        self._refuse_second(name)
        self.objects[name] = content
        return len(content)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        content = self.objects.get(check_name(name))
        if content is None:
            raise Permanent("archive.missing", name=name)
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    async def list(self, prefix: str) -> AsyncIterator[str]:
        check_prefix(prefix)
        for name in sorted(self.objects):
            if name.startswith(prefix):
                yield name

    async def ping(self) -> None:
        return

    async def protection(self) -> str:
        return "memory of this process"

    def _refuse_second(self, name: str) -> None:
        if name in self.objects:
            raise Permanent("archive.exists", name=name)


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[MemoryArchive]:
    yield MemoryArchive()
