"""The key store port: one data key a job; destroying it is the erasure.

A lease is how long a process may use a key it has fetched; 60 s, so a destroyed key is unusable everywhere within 60 s.
"""

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol
from uuid import UUID

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.keys.memory:open_memory",
    "file": "infra.keys.files:open_files",
}
LEASE_SECONDS: Final = 60
QUARANTINE: Final = "quarantine"
"""Key id of the platform's own key: it seals dead letters that belong to no job."""


class Keys(Protocol):
    """Keys are 32 random bytes. A job's key id is `str(job)`."""

    async def create(self, job: UUID) -> bytes:
        """The job's key, made if it never had one. Raises Permanent `key.destroyed`: erased stays erased."""

    async def fetch(self, key_id: str) -> bytes:
        """The key of a job, or of QUARANTINE (made on first use). Raises Permanent `key.unknown` or `key.destroyed`."""

    async def destroy(self, job: UUID) -> bool:
        """Overwrites and removes the key, leaving a tombstone. True if there was one to destroy; twice is harmless.

        The tombstone stays for good: a record that outlives its job, in a topic or in a backup of one, must find it
        when the ledger has long forgotten the job.
        """

    async def ping(self) -> None: ...


def open_keys(url: str) -> AbstractAsyncContextManager[Keys]:
    """`file:///folder` (0700, keys 0600; put it on a tmpfs if a disk's remains matter), `memory:`."""
    context: AbstractAsyncContextManager[Keys] = adapter("keys", url, ADAPTERS)(url)
    return context
