"""Keys in a folder (0700): `<job>.key` (0600) holds the 32 bytes, `<job>.destroyed` says that there was a key.

Its limits: whoever reads the folder, as its owner, as root or from a backup, reads the keys. Destroying overwrites
the bytes in place before it unlinks them, but an SSD, a journalling or copying file system, a snapshot or a backup
may keep an older copy. Where that matters, put the folder on a tmpfs: its keys then die with the machine's power, and
with them every job that is not finished.
"""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from infra.disks import disk_error
from infra.keys import QUARANTINE
from infra.paths import file_path, sync_folder
from schemas.errors import CradleError, Permanent
from schemas.sealing import KEY_BYTES

NAME: Final = "The key store"
Result = TypeVar("Result")
_JOB: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class FileKeys:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def create(self, job: UUID) -> bytes:
        return await self._in_thread(lambda: self._create(str(job)))

    async def fetch(self, key_id: str) -> bytes:
        if key_id == QUARANTINE:
            return await self._in_thread(lambda: self._create(QUARANTINE))
        if not _JOB.fullmatch(key_id):
            raise Permanent("key.unknown")
        return await self._in_thread(lambda: self._read(key_id))

    async def destroy(self, job: UUID) -> bool:
        return await self._in_thread(lambda: self._destroy(str(job)))

    async def ping(self) -> None:
        await self._in_thread(self._folder.stat)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise disk_error(error, NAME) from error

    def _create(self, key_id: str) -> bytes:
        """Whoever links its file first has made the key; everyone else reads that one."""
        try:
            return self._read(key_id)
        except Permanent as error:
            if error.code != "key.unknown":
                raise
        aside = self._folder / f".{key_id}.{secrets.token_hex(8)}"
        _write_new(aside, os.urandom(KEY_BYTES))
        try:
            self._key_file(key_id).hardlink_to(aside)
        except (FileExistsError, FileNotFoundError):  # somebody was first; or destroyed it, and took our file as well
            pass
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(self._folder)
        if self._tombstone(key_id).exists():  # destroyed while we made it
            self._destroy(key_id)
            raise Permanent("key.destroyed")
        return self._read(key_id)

    def _read(self, key_id: str) -> bytes:
        try:
            key = self._key_file(key_id).read_bytes()
        except FileNotFoundError:
            key = b""
        if self._tombstone(key_id).exists():  # asked last: `destroy` writes it first, then the bytes over the key
            raise Permanent("key.destroyed")
        if not key:
            self._folder.stat()  # a folder that is gone is a store that is away, not a key that is unknown
            raise Permanent("key.unknown")
        return key

    def _destroy(self, key_id: str) -> bool:
        self._write_tombstone(key_id)
        found = False
        for file in (self._key_file(key_id), *self._folder.glob(f".{key_id}.*")):  # and those a crash left aside
            found = _overwrite_and_unlink(file) or found
        sync_folder(self._folder)
        return found

    def _write_tombstone(self, key_id: str) -> None:
        try:
            _write_new(self._tombstone(key_id), b"")
        except FileExistsError:
            return
        sync_folder(self._folder)

    def _key_file(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.key"

    def _tombstone(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.destroyed"


@asynccontextmanager
async def open_files(url: str) -> AsyncIterator[FileKeys]:
    """`file:///folder`; the folder is made, and closed to others. Raises CradleError `settings.invalid`."""
    folder = file_path(url)
    try:
        await asyncio.to_thread(_make_private, folder)
    except OSError as error:
        raise CradleError("settings.invalid", what=f"the keys' folder cannot be used ({error.strerror})") from None
    yield FileKeys(folder)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _overwrite_and_unlink(path: Path) -> bool:
    """False if it is not there: somebody else was faster."""
    try:
        with path.open("r+b") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return False
    return True
