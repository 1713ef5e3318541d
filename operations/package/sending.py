"""Copies a package to where it is handed over: a folder, as of a stick or a share, or an S3 bucket."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from builders.oci.aside import aside, put_in_place
from infra.s3 import CLIENT_OPTIONS, MISSING, open_client, read_url, s3_errors, write_object
from operations.package.signing import SIGNATURE, files_of
from schemas.errors import CradleError

NAME: Final = "The bucket in --to"
PIECE_BYTES: Final = 1024 * 1024


async def send(package: Path, to: str, *, called: str) -> str:
    """Copies the folder `package` to the folder or `s3://bucket/prefix?endpoint=...&region=...` `to`, as `called`.

    Returns where it is now. A folder appears whole or not at all; in a bucket the signature comes last.
    Raises CradleError `package.target`; of a bucket also Retryable `dependency.*`.
    """
    if to.startswith("s3://"):
        return await _upload(package, to, called)
    return await asyncio.to_thread(_copy, package, to, called)


def _copy(package: Path, to: str, called: str) -> str:
    place = Path(to).expanduser().absolute() / called
    try:
        with aside(place) as scratch:
            copy = scratch / "package"
            for name, file in files_of(package).items():
                _copy_file(file, copy / name)
            put_in_place(copy, place)
    except OSError as error:
        raise CradleError("package.target", what=error.strerror or "it cannot be written") from None
    return str(place)


def _copy_file(file: Path, to: Path) -> None:
    """With its mode, where the file system keeps one: that of most sticks does not, and says so."""
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(file, to)
    with suppress(PermissionError):
        shutil.copymode(file, to)


async def _upload(package: Path, to: str, called: str) -> str:
    try:
        at = read_url(to, CLIENT_OPTIONS)
    except ValueError:
        raise CradleError(
            "package.target", what="a bucket is s3://bucket/prefix?endpoint=http://host:port&region=..."
        ) from None
    files = files_of(package)
    files[SIGNATURE] = files.pop(SIGNATURE)
    async with open_client(**at.options) as client:
        for name, path in files.items():
            target = {"Bucket": at.bucket, "Key": f"{at.prefix}{called}/{name}"}
            await write_object(client, target, _read(path), _errors)
    return f"s3://{at.bucket}/{at.prefix}{called}"


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


def _errors() -> AbstractContextManager[None]:
    return s3_errors(NAME, _refused)


def _refused(code: str) -> CradleError | None:
    return CradleError("package.target", what="there is no such bucket") if code in MISSING else None
