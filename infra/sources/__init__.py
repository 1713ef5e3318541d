"""The source port: the customer's own storage, read only. Producers walk it; `admit` reads what clients name."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from infra.adapters import adapter

ADAPTERS: Final = {
    "file": "infra.sources.files:open_files",
    "s3": "infra.sources.s3:open_s3",
    "memory": "infra.sources.memory:open_memory",
}


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    """Relative to the walked root, '/'-separated, NFC."""
    uri: str
    size: int


def is_hidden(path: str) -> bool:
    """Whether a name in the path begins with '.' or '_': such objects are no documents."""
    return any(name.startswith((".", "_")) for name in path.split("/"))


class Source(Protocol):
    def walk(self, root: str) -> AsyncIterator[Entry]:
        """Every object under the root URI, or the one object it names, in order of their paths' bytes.

        Skips what is no document: names that begin with '.' or '_', and anything but regular files.
        Raises Permanent `source.missing` if nothing is there.
        """

    def read(self, uri: str) -> AsyncIterator[bytes]:
        """The object's bytes, in pieces. Raises Permanent `source.missing`, Retryable `dependency.away`."""

    def lies_under(self, uri: str, root: str) -> bool:
        """Whether the object, with links and '..' resolved, is inside the root folder or prefix."""


def open_source(url: str) -> AbstractAsyncContextManager[Source]:
    """The source that reads URLs of this scheme. Raises CradleError `settings.scheme` for one we cannot read.

    `s3:` takes its endpoint from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL and its credentials from the usual variables.
    """
    context: AbstractAsyncContextManager[Source] = adapter("source", url, ADAPTERS)(url)
    return context
