"""S3 buckets as a source, by `s3://bucket/key` URIs: the key as it is, not percent-encoded, as the AWS tools write it.

Pages come in the order of the keys' bytes, so where keys are not NFC their paths come where their keys stand.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from infra.s3 import MISSING, open_client, read_body, s3_errors
from infra.sources import Entry, is_hidden
from schemas.errors import Permanent

REFUSED: Final = frozenset({"AccessDenied", "403", "InvalidObjectState", "InvalidRequest", "MethodNotAllowed"})
"""Not ours to read: no right to it, archived (Glacier), under a key of the customer's own (SSE-C), a delete marker."""
LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 (S3)."""


class S3Source:
    """`client` opens an aioboto3 S3 client, or returns the one it has opened."""

    def __init__(self, client: Callable[[], Awaitable[Any]]) -> None:
        self._client = client

    async def walk(self, root: str) -> AsyncIterator[Entry]:
        bucket, key = _split(root)
        size = await self._size(bucket, key)
        if size is not None:
            yield Entry(_readable(key.rpartition("/")[2]), root, size)
            return
        folder = key if not key or key.endswith("/") else f"{key}/"
        nothing = True
        async for found in self._listed(bucket, folder):
            nothing = False
            path = _readable(found["Key"].removeprefix(folder))
            if path and not found["Key"].endswith("/") and not is_hidden(path):
                yield Entry(path, f"s3://{bucket}/{found['Key']}", found["Size"])
        if nothing:
            raise Permanent("source.missing")

    async def read(self, uri: str) -> AsyncIterator[bytes]:
        bucket, key = _split(uri)
        if not 0 < len(key.encode()) <= LONGEST_KEY:
            raise Permanent("source.missing")
        with _errors():
            response = await (await self._client()).get_object(Bucket=bucket, Key=key)
        async for piece in read_body(response["Body"], _errors):
            yield piece

    def lies_under(self, uri: str, root: str) -> bool:
        """Keys know no '..', but stores over folders do: a key that holds one lies under nothing."""
        if not uri.startswith("s3://") or any(part in (".", "..") for part in uri.split("/")):
            return False
        return (uri + "/").startswith(root.removesuffix("/") + "/")

    async def _size(self, bucket: str, key: str) -> int | None:
        """Bytes of the object of exactly this key; None if there is none."""
        if not key or key.endswith("/"):
            return None
        try:
            with _errors():
                response = await (await self._client()).head_object(Bucket=bucket, Key=key)
        except Permanent as error:
            if error.code != "source.missing":
                raise
            return None
        size: int = response["ContentLength"]
        return size

    async def _listed(self, bucket: str, prefix: str) -> AsyncIterator[dict[str, Any]]:
        client = await self._client()
        pages = aiter(client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
        while True:
            with _errors():
                page = await anext(pages, None)
            if page is None:
                return
            for found in page.get("Contents", ()):
                yield found


@asynccontextmanager
async def open_s3(url: str) -> AsyncIterator[S3Source]:
    """The client opens on first use: loading it takes most of a second, and many processes never read from S3."""
    async with AsyncExitStack() as exits:
        opening = asyncio.Lock()
        opened: list[Any] = []

        async def client() -> Any:
            async with opening:
                if not opened:
                    opened.append(await exits.enter_async_context(open_client()))
            return opened[0]

        yield S3Source(client)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise Permanent("source.missing")
    return bucket, key


def _readable(key: str) -> str:
    """The key as a path in NFC: '//' is one '/'."""
    return unicodedata.normalize("NFC", "/".join(part for part in key.split("/") if part))


def _errors() -> AbstractContextManager[None]:
    return s3_errors("The source", _refused)


def _refused(code: str) -> Permanent | None:
    if code in MISSING:
        return Permanent("source.missing")
    return Permanent("source.unreadable") if code in REFUSED else None
