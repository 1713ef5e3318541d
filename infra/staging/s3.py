"""Staging in an S3 bucket. Small objects are put at once, larger ones in parts of 8 MiB, one part in memory.

The bucket must not keep versions: deleting would leave what it deletes, sealed though it is.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from infra.s3 import MISSING, open_client, read_body, s3_errors
from infra.staging import NAME
from infra.staging.names import check_deletion, check_name, check_prefix
from schemas.errors import CradleError, Permanent, Retryable

PART_BYTES: Final = 8 * 1024 * 1024
"""At most 10 000 parts an object (S3): 78 GiB."""
MISSING_OBJECT: Final = MISSING - {"NoSuchBucket"}
"""A missing bucket is the operator's to mend; a missing object is gone. HEAD answers 404 for either."""


class S3Staging:
    """`client` is an aioboto3 S3 client; objects lie under `prefix`, which is empty or ends with '/'."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def write(self, name: str, data: AsyncIterable[bytes]) -> int:
        key = self._key(name)
        parts = _parts(data)
        first = await anext(parts, b"")
        if len(first) < PART_BYTES:
            with _errors():
                await self._client.put_object(Bucket=self._bucket, Key=key, Body=first)
            return len(first)
        return await self._write_in_parts(key, first, parts)

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
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        async for page in _pages(pages):
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

    async def _write_in_parts(self, key: str, first: bytes, rest: AsyncIterator[bytes]) -> int:
        target = {"Bucket": self._bucket, "Key": key}
        with _errors():
            target["UploadId"] = (await self._client.create_multipart_upload(**target))["UploadId"]
        try:
            written = [await self._write_part(target, 1, first)]
            size = len(first)
            async for part in rest:
                written.append(await self._write_part(target, len(written) + 1, part))
                size += len(part)
            with _errors():
                await self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": written})
        except BaseException:
            await asyncio.shield(self._abort(target))
            raise
        return size

    async def _write_part(self, target: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        with _errors():
            response = await self._client.upload_part(**target, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": response["ETag"]}

    async def _abort(self, target: dict[str, str]) -> None:
        """Best effort, while something else already fails: `delete` aborts what is left."""
        try:
            with _errors():
                await self._client.abort_multipart_upload(**target)
        except CradleError:
            return

    async def _abort_uploads(self, prefix: str) -> None:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        async for page in _pages(pages):
            for upload in page.get("Uploads", ()):
                await self._abort({"Bucket": self._bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]})

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
    bucket, prefix, options = _read_url(url)
    async with open_client(options.get("endpoint"), options.get("region")) as client:
        yield S3Staging(client, bucket, prefix)


def _read_url(url: str) -> tuple[str, str, dict[str, str]]:
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not parts.netloc or not options.keys() <= {"endpoint", "region"}:
        raise CradleError("settings.invalid", what="staging on S3 is s3://bucket/prefix?endpoint=...&region=...")
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else "", options


def _errors() -> AbstractContextManager[None]:
    return s3_errors(NAME, lambda code: Permanent("staging.missing") if code in MISSING_OBJECT else None)


async def _parts(data: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The bytes of `data` in parts of PART_BYTES, the last one shorter and never empty."""
    pending = bytearray()
    async for piece in data:
        pending += piece
        while len(pending) >= PART_BYTES:
            yield bytes(pending[:PART_BYTES])
            del pending[:PART_BYTES]
    if pending:
        yield bytes(pending)


async def _pages(pages: Any) -> AsyncIterator[dict[str, Any]]:
    iterator = aiter(pages)
    while True:
        with _errors():
            page = await anext(iterator, None)
        if page is None:
            return
        yield page
