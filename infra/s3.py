"""S3 for the ports that use it: how a client is opened, and what its errors mean."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from schemas.errors import CradleError, Retryable

PIECE_BYTES: Final = 1024 * 1024
PART_BYTES: Final = 8 * 1024 * 1024
"""At most 10 000 parts an object (S3): 78 GiB."""
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 60
ATTEMPTS: Final = 3
"""botocore's own tries of one request; longer absences are the runtime's to wait out."""
FULL: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"})
"""What S3 servers answer that have no room; Amazon's always has."""
ABLE_AGAIN: Final = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"})
CLIENT_OPTIONS: Final = frozenset({"endpoint", "region"})
"""Of an `s3://` URL: what `open_client` takes."""
MISSING: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
MISSING_OBJECT: Final = MISSING - {"NoSuchBucket"}
"""A missing bucket is the operator's to mend; a missing object is gone. HEAD answers 404 for either."""

Errors = Callable[[], AbstractContextManager[None]]
"""Makes the context in which a request runs; it turns S3's errors into the port's."""


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """`s3://bucket/prefix?option=value`."""

    bucket: str
    prefix: str
    """Empty, or with '/' at its end."""
    options: Mapping[str, str]


def read_url(url: str, options: Collection[str]) -> BucketUrl:
    """Raises ValueError: it names no bucket, or an option that is not one of these."""
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not parts.netloc or not given.keys() <= set(options):
        raise ValueError("no bucket, or an unknown option")
    prefix = parts.path.strip("/")
    return BucketUrl(parts.netloc, f"{prefix}/" if prefix else "", given)


@asynccontextmanager
async def open_client(endpoint: str | None = None, region: str | None = None) -> AsyncIterator[Any]:
    """An aioboto3 S3 client. Credentials, and what is not given, come from the usual AWS variables and files.

    Opening needs no server to answer: the first call does.
    """
    import aioboto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        request_checksum_calculation="when_required",  # not every S3 server knows the newer default
        response_checksum_validation="when_required",
    )
    async with aioboto3.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config) as client:
        yield client


@contextmanager
def s3_errors(name: str, refused: Callable[[str], CradleError | None]) -> Iterator[None]:
    """Turns S3's errors into ours: `refused` is asked about the server's error code; all else is Retryable.

    A wrong credential or bucket is Retryable as well, `dependency.refused`: an operator mends it, and no message is to
    blame. Throttling and the server's own failures have been tried ATTEMPTS times by now.
    """
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        known = refused(code)
        if known is not None:
            raise known from None
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _retryable(name, code, status) from error
    except (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Retryable("dependency.away", name=name) from error


async def read_body(body: Any, errors: Errors) -> AsyncIterator[bytes]:
    """An object as it comes, in pieces of at most 1 MiB; each is read within `errors`."""
    async with body:
        while True:
            with errors():
                piece = await body.read(PIECE_BYTES)
            if not piece:
                return
            yield piece


async def write_object(
    client: Any,
    target: Mapping[str, str],
    data: AsyncIterable[bytes],
    errors: Errors,
    *,
    begin: Mapping[str, Any] = {},
    finish: Mapping[str, Any] = {},
    checked: bool = False,
) -> int:
    """Stores an object whole or not at all: small ones at once, larger ones in parts of PART_BYTES, one in memory.

    `target` is Bucket and Key. `begin` goes with the request that begins the object, `finish` with the one that
    completes it, which for a small object is the same. `checked` sends a checksum with every body.
    """
    parts = _parts(data)
    first = await anext(parts, b"")
    if len(first) < PART_BYTES:
        with errors():
            await client.put_object(**target, **begin, **finish, **_body(first, checked=checked))
        return len(first)
    with errors():
        created = await client.create_multipart_upload(**target, **begin)
    upload = {**target, "UploadId": created["UploadId"]}
    try:
        written = [await _write_part(client, upload, 1, _body(first, checked=checked), errors)]
        size = len(first)
        async for part in parts:
            body = _body(part, checked=checked)
            written.append(await _write_part(client, upload, len(written) + 1, body, errors))
            size += len(part)
        with errors():
            await client.complete_multipart_upload(**upload, **finish, MultipartUpload={"Parts": written})
    except BaseException:
        await asyncio.shield(abort_upload(client, upload, errors))
        raise
    return size


async def abort_upload(client: Any, upload: Mapping[str, str], errors: Errors) -> None:
    """Best effort, while something else already fails; `upload` is Bucket, Key and UploadId."""
    try:
        with errors():
            await client.abort_multipart_upload(**upload)
    except CradleError:
        return


async def find_pages(
    client: Any, method: str, wanted: Mapping[str, str], errors: Errors
) -> AsyncIterator[dict[str, Any]]:
    """What a listing method answers, page by page."""
    iterator = aiter(client.get_paginator(method).paginate(**wanted))
    while True:
        with errors():
            page = await anext(iterator, None)
        if page is None:
            return
        yield page


async def _write_part(
    client: Any, upload: Mapping[str, str], number: int, body: Mapping[str, Any], errors: Errors
) -> dict[str, Any]:
    with errors():
        response = await client.upload_part(**upload, PartNumber=number, **body)
    return {"PartNumber": number, "ETag": response["ETag"]}


def _body(content: bytes, *, checked: bool) -> dict[str, Any]:
    if not checked:
        return {"Body": content}
    digest = hashlib.md5(content, usedforsecurity=False).digest()  # the one checksum that every S3 server knows
    return {"Body": content, "ContentMD5": base64.b64encode(digest).decode()}


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


def _retryable(name: str, code: str, status: int) -> Retryable:
    if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
        return Retryable("dependency.full", name=name)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in ABLE_AGAIN:
        return Retryable("dependency.away", name=name)
    return Retryable("dependency.refused", name=name, kind=code if code.isalnum() else str(status))
