"""S3 for the ports that use it: how a client is opened, and what its errors mean."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final

from schemas.errors import CradleError, Retryable

PIECE_BYTES: Final = 1024 * 1024
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 60
ATTEMPTS: Final = 3
"""botocore's own tries of one request; longer absences are the runtime's to wait out."""
FULL: Final = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"})
"""What S3 servers answer that have no room; Amazon's always has."""
ABLE_AGAIN: Final = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"})
MISSING: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


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


async def read_body(body: Any, errors: Callable[[], AbstractContextManager[None]]) -> AsyncIterator[bytes]:
    """An object as it comes, in pieces of at most 1 MiB; each is read within `errors`."""
    async with body:
        while True:
            with errors():
                piece = await body.read(PIECE_BYTES)
            if not piece:
                return
            yield piece


def _retryable(name: str, code: str, status: int) -> Retryable:
    if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
        return Retryable("dependency.full", name=name)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in ABLE_AGAIN:
        return Retryable("dependency.away", name=name)
    return Retryable("dependency.refused", name=name, kind=code if code.isalnum() else str(status))
