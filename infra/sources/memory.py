"""A source in memory, for tests: `memory:/folder/name` URIs over a dict."""

import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from infra.sources import Entry, is_hidden
from schemas.errors import Permanent

PIECE_BYTES: Final = 1024 * 1024


class MemorySource:
    """`objects` maps a URI to its bytes."""

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})

    async def walk(self, root: str) -> AsyncIterator[Entry]:
        folder = root.removesuffix("/") + "/"
        if root in self.objects:
            yield self._entry(root.rpartition("/")[2], root)
            return
        below = {uri.removeprefix(folder): uri for uri in self.objects if uri.startswith(folder)}
        if not below:
            raise Permanent("source.missing")
        entries = [self._entry(path, uri) for path, uri in below.items() if not is_hidden(path)]
        for entry in sorted(entries, key=lambda entry: entry.path.encode()):
            yield entry

    async def read(self, uri: str) -> AsyncIterator[bytes]:
        if uri not in self.objects:
            raise Permanent("source.missing")
        content = self.objects[uri]
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    def lies_under(self, uri: str, root: str) -> bool:
        return ".." not in uri.split("/") and (uri + "/").startswith(root.removesuffix("/") + "/")

    def _entry(self, path: str, uri: str) -> Entry:
        return Entry(unicodedata.normalize("NFC", path), uri, len(self.objects[uri]))


@asynccontextmanager
async def open_memory(url: str) -> AsyncIterator[MemorySource]:
    yield MemorySource()
