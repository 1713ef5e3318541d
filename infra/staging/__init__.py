"""The staging port: named objects that were sealed before they got here, written and read as streams.

Adapters see ciphertext only; `infra.staging.sealed` puts sealing around any of them.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.staging.memory:open_memory",
    "file": "infra.staging.files:open_files",
    "s3": "infra.staging.s3:open_s3",
}


NAME: Final = "The object store"
"""What an error calls it."""


class Staging(Protocol):
    """Names are `jobs/<job>/<kind>/<id>`: lower-case letters, digits, '-', '.', '_', '/'; others raise `staging.name`.

    Every method raises Retryable: `dependency.away` when the store does not answer, `dependency.full` when it has no
    room, `dependency.refused` when it answers that it will not.
    """

    async def write(self, name: str, data: AsyncIterable[bytes]) -> int:
        """Stores the object whole or not at all, replacing one of that name. Returns its bytes."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """The object's bytes, in pieces. Raises Permanent `staging.missing`."""

    async def exists(self, name: str) -> bool: ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin with `prefix`, in order of their bytes."""

    async def delete(self, prefix: str) -> int:
        """Deletes every object whose name begins with `prefix`, unfinished uploads too. Returns how many objects.

        Raises Permanent `staging.name` for an empty prefix, which would delete the store.
        """

    async def ping(self) -> None:
        """Returns if the store answers."""


def open_staging(url: str) -> AbstractAsyncContextManager[Staging]:
    """`file:///folder`, `s3://bucket/prefix?endpoint=http://host:4050&region=...`, `memory:`. Credentials of S3 come
    from the usual AWS variables. Raises CradleError `settings.scheme`."""
    context: AbstractAsyncContextManager[Staging] = adapter("staging", url, ADAPTERS)(url)
    return context
