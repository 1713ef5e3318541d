"""Staging in an S3 bucket.

The bucket must not keep versions: deleting would leave what it deletes, sealed though it is.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from infra.s3 import (
    CLIENT_OPTIONS,
    MISSING_OBJECT,
    abort_upload,
    find_pages,
    open_client,
    read_body,
    read_url,
    s3_errors,
    write_object,
)
from infra.staging import NAME
from infra.staging.names import check_deletion, check_name, check_prefix
from schemas.errors import CradleError, Permanent, Retryable


class S3Staging:
    """`client` is an aioboto3 S3 client; objects lie under `prefix`, which is empty or ends with '/'."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def write(self, name: str, data: AsyncIterable[bytes]) -> int:
        return await write_object(self._client, {"Bucket": self._bucket, "Key": self._key(name)}, data, _errors)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        key = self._key(name)
        with _errors():
            response = await self._client.get_object(Bucket=self._bucket, Key=key)
        async for piece in read_body(response["Body"], _errors):
            yield piece

    async def exists(self, name: str) -> bool:
        key = self._key(name)
        try:
            with _errors():
                await self._client.head_object(Bucket=self._bucket, Key=key)
        except Permanent:
            return False
        return True

    async def list(self, prefix: str) -> AsyncIterator[str]:
        check_prefix(prefix)
        wanted = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        async for page in find_pages(self._client, "list_objects_v2", wanted, _errors):
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(self._prefix)

    async def delete(self, prefix: str) -> int:
        check_deletion(prefix)
        await self._abort_uploads(prefix)
        count = 0
        batch: list[str] = []
        async for name in self.list(prefix):
            batch.append(name)
            if len(batch) == 1000:  # the most that one request takes
                count += await self._delete_batch(batch)
                batch = []
        return count + await self._delete_batch(batch)

    async def ping(self) -> None:
        with _errors():
            await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    async def _abort_uploads(self, prefix: str) -> None:
        wanted = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        async for page in find_pages(self._client, "list_multipart_uploads", wanted, _errors):
            for found in page.get("Uploads", ()):
                upload = {"Bucket": self._bucket, "Key": found["Key"], "UploadId": found["UploadId"]}
                await abort_upload(self._client, upload, _errors)

    async def _delete_batch(self, names: Sequence[str]) -> int:
        if not names:
            return 0
        wanted = {"Objects": [{"Key": self._prefix + name} for name in names], "Quiet": True}
        with _errors():
            response = await self._client.delete_objects(Bucket=self._bucket, Delete=wanted)
        if response.get("Errors"):
            raise Retryable("dependency.away", name=NAME)
        return len(names)


@asynccontextmanager
async def open_s3(url: str) -> AsyncIterator[S3Staging]:
    """`s3://bucket/prefix?endpoint=http://host:4050&region=...`. Raises CradleError `settings.invalid`."""
    try:
        at = read_url(url, CLIENT_OPTIONS)
    except ValueError:
        raise CradleError(
            "settings.invalid", what="staging on S3 is s3://bucket/prefix?endpoint=...&region=..."
        ) from None
    async with open_client(**at.options) as client:
        yield S3Staging(client, at.bucket, at.prefix)


def _errors() -> AbstractContextManager[None]:
    return s3_errors(NAME, lambda code: Permanent("staging.missing") if code in MISSING_OBJECT else None)
