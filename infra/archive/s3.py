"""An archive in an S3 bucket. An object is completed with If-None-Match, so that none is ever written over another.

Where the bucket has object lock, the store itself refuses to delete a version, our own credentials' owner included:
`lock_days` (and `lock_mode`) say for how long, else the bucket's default retention does. On a bucket that keeps several
versions of an object a plain deletion hides it behind a marker; removing the marker brings it back.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from infra.archive import NAME
from infra.archive.names import check_name, check_prefix
from infra.s3 import (
    CLIENT_OPTIONS,
    MISSING_OBJECT,
    find_pages,
    open_client,
    read_body,
    read_url,
    s3_errors,
    write_object,
)
from schemas.errors import CradleError, Permanent, Retryable

MODES: Final = ("GOVERNANCE", "COMPLIANCE")
"""How object lock keeps: from all but who may bypass it, or from everyone, the account's owner included."""
LOCK_OPTIONS: Final = frozenset({"lock_days", "lock_mode"})
MOST_DAYS: Final = 36500
_NO_LOCK: Final = "ObjectLockConfigurationNotFoundError"


@dataclass(frozen=True, slots=True)
class Lock:
    """What an object is written with."""

    days: int
    mode: str


class S3Archive:
    """`client` is an aioboto3 S3 client; objects lie under `prefix`, which is empty or ends with '/'."""

    def __init__(self, client: Any, bucket: str, prefix: str, lock: Lock | None) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._lock = lock

    async def add(self, name: str, data: AsyncIterable[bytes]) -> int:
        target = self._target(name)
        if await self._exists(name):  # before gigabytes are sent that would be refused at their end
            raise Permanent("archive.exists", name=name)
        try:
            return await write_object(
                self._client,
                target,
                data,
                partial(_errors, name),
                begin=self._retention(),
                finish={"IfNoneMatch": "*"},
                checked=True,  # S3 takes what is to be locked with a checksum only
            )
        except _Conflict:  # another request for the same name was under way
            if await self._exists(name):
                raise Permanent("archive.exists", name=name) from None
            raise

    async def read(self, name: str) -> AsyncIterator[bytes]:
        target = self._target(name)
        with _errors(name):
            response = await self._client.get_object(**target)
        async for piece in read_body(response["Body"], partial(_errors, name)):
            yield piece

    async def list(self, prefix: str) -> AsyncIterator[str]:
        wanted = {"Bucket": self._bucket, "Prefix": self._prefix + check_prefix(prefix)}
        async for page in find_pages(self._client, "list_objects_v2", wanted, partial(_errors, prefix)):
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(self._prefix)

    async def ping(self) -> None:
        with _errors(""):
            await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def protection(self) -> str:
        try:
            with s3_errors(NAME, lambda code: Permanent("archive.unlocked") if code == _NO_LOCK else None):
                response = await self._client.get_object_lock_configuration(Bucket=self._bucket)
        except Permanent:
            return ""
        if self._lock is not None:
            return f"object lock, {self._lock.mode.lower()}, {self._lock.days} days"
        default = response["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention")
        if not default:
            return ""
        length = f"{default['Years']} years" if default.get("Years") else f"{default['Days']} days"
        return f"object lock, {default['Mode'].lower()}, {length}"

    async def _exists(self, name: str) -> bool:
        try:
            with _errors(name):
                await self._client.head_object(**self._target(name))
        except Permanent:
            return False
        return True

    def _retention(self) -> dict[str, Any]:
        if self._lock is None:
            return {}
        until = datetime.now(UTC) + timedelta(days=self._lock.days)
        return {"ObjectLockMode": self._lock.mode, "ObjectLockRetainUntilDate": until}

    def _target(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_name(name)}


@asynccontextmanager
async def open_s3(url: str) -> AsyncIterator[S3Archive]:
    """`s3://bucket/prefix?endpoint=http://host:4050&region=...&lock_days=3650&lock_mode=compliance`.

    Raises CradleError `settings.invalid`.
    """
    try:
        at = read_url(url, CLIENT_OPTIONS | LOCK_OPTIONS)
    except ValueError:
        raise CradleError(
            "settings.invalid",
            what="an archive on S3 is s3://bucket/prefix?endpoint=...&region=...&lock_days=...&lock_mode=...",
        ) from None
    lock = _read_lock(at.options)
    async with open_client(at.options.get("endpoint"), at.options.get("region")) as client:
        yield S3Archive(client, at.bucket, at.prefix, lock)


def _read_lock(options: Mapping[str, str]) -> Lock | None:
    if not options.keys() & LOCK_OPTIONS:
        return None
    days, mode = options.get("lock_days", ""), options.get("lock_mode", MODES[0]).upper()
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= MOST_DAYS and mode in MODES):
        raise CradleError("settings.invalid", what=f"lock_days is 1 to {MOST_DAYS}, lock_mode governance or compliance")
    return Lock(int(days), mode)


class _Conflict(Retryable):
    """S3 works on another request for the same name."""

    def __init__(self) -> None:
        super().__init__("dependency.busy", name=NAME, kind="ConditionalRequestConflict")


def _errors(name: str) -> AbstractContextManager[None]:
    return s3_errors(NAME, partial(_refused, name))


def _refused(name: str, code: str) -> CradleError | None:
    if code == "PreconditionFailed":
        return Permanent("archive.exists", name=name)
    if code == "ConditionalRequestConflict":
        return _Conflict()
    if code in MISSING_OBJECT:
        return Permanent("archive.missing", name=name)
    return None
