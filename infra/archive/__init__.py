"""The archive port: versions that were delivered, written once and never again. Adapters see ciphertext and records.

Append-only: there is no way to delete or overwrite through this port, and adapters make it hard around it (a file is
read-only, an S3 object locked).
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.archive.memory:open_memory",
    "file": "infra.archive.files:open_files",
    "s3": "infra.archive.s3:open_s3",
}

NAME: Final = "The archive"
"""What an error calls it."""


class Archive(Protocol):
    """Names are `versions/<customer>/<version>.oci.age`, `.2.oci.age` to `.99.oci.age`, and `.json`; others raise
    Permanent `archive.name`.

    Every method raises Retryable: `dependency.away` when the archive does not answer, `dependency.full` when it has no
    room, `dependency.refused` when it answers that it will not.
    """

    async def add(self, name: str, data: AsyncIterable[bytes]) -> int:
        """Stores the object whole or not at all. Returns its bytes. Raises Permanent `archive.exists`.

        Of several at once exactly one wins. Where an answer got lost, the object that is there may be this very one:
        `operations.versions.remember` looks.
        """

    def read(self, name: str) -> AsyncIterator[bytes]:
        """The object's bytes, in pieces. Raises Permanent `archive.missing`."""

    def list(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin with `prefix`, in order of their bytes; `prefix` is `versions/` or more of a name.

        Names that the port would not take are listed as well: somebody else put them there.
        """

    async def ping(self) -> None:
        """Returns if the archive answers."""

    async def protection(self) -> str:
        """What keeps an object from being deleted by others with our rights, in a few words; '' for nothing."""


def open_archive(url: str) -> AbstractAsyncContextManager[Archive]:
    """`file:///folder`, `s3://bucket/prefix?endpoint=http://host:4050&region=...`, `memory:`. Credentials of S3 come
    from the usual AWS variables. Raises CradleError `settings.scheme`."""
    context: AbstractAsyncContextManager[Archive] = adapter("archive", url, ADAPTERS)(url)
    return context
