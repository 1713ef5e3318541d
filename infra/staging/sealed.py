"""Staging with the job's key around it: what a stage writes is sealed before it leaves the process.

An object is a sealed stream (schemas.sealing) with its own name as associated data, so an object that was moved or
renamed in the store does not open.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from infra.staging import Staging
from infra.staging.names import check_name, check_prefix, object_name
from schemas.sealing import STREAM_PREFIX_BYTES, seal_stream, unseal_stream


class SealedStaging:
    """`key` gives a job's key (raising Permanent `key.destroyed` or `key.unknown`), `entropy(n)` n random bytes."""

    def __init__(
        self, staging: Staging, *, key: Callable[[UUID], Awaitable[bytes]], entropy: Callable[[int], bytes]
    ) -> None:
        self._staging = staging
        self._key = key
        self._entropy = entropy

    async def put(self, job: UUID, kind: str, name: str, data: AsyncIterator[bytes] | bytes) -> str:
        """Seals and writes; returns the object's staging name, `jobs/<job>/<kind>/<name>`.

        Raises Permanent `staging.name`, Retryable `dependency.away`.
        """
        full_name = object_name(job, kind, name)
        plaintext = _single(data) if isinstance(data, bytes) else data
        sealed = seal_stream(
            await self._key(job),
            plaintext,
            associated=full_name.encode(),
            prefix=self._entropy(STREAM_PREFIX_BYTES),
        )
        await self._staging.write(full_name, sealed)
        return full_name

    async def stream(self, job: UUID, name: str) -> AsyncIterator[bytes]:
        """The plaintext, in pieces of at most 64 KiB. What was yielded is authentic; the whole is at the end only.

        Raises Permanent `staging.name`, `staging.missing` or `staging.tampered`, Retryable `dependency.away`.
        """
        key = await self._key(job)
        async for piece in unseal_stream(key, self._staging.read(check_name(name)), associated=name.encode()):
            yield piece

    async def get(self, job: UUID, name: str) -> bytes:
        """The whole plaintext, in memory."""
        return b"".join([piece async for piece in self.stream(job, name)])

    async def list(self, job: UUID, kind: str, prefix: str = "") -> AsyncIterator[str]:
        """The staging names of the job's objects of that kind, `prefix` beginning their own, in order of their bytes.

        An own name is what stands after `jobs/<job>/<kind>/`.
        """
        async for name in self._staging.list(check_prefix(f"jobs/{job}/{kind}/{prefix}")):
            yield name


async def _single(data: bytes) -> AsyncIterator[bytes]:
    yield data
