"""Staging in a folder: an object is a file of its name. Folders are 0700, files 0600.

An object is written aside, in the folder it will lie in, and renamed once it is on disk; a crash leaves at most such
an unfinished file, which `delete` removes with the objects of its prefix.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from infra.disks import disk_error
from infra.paths import file_path, sync_folder
from infra.staging import NAME
from infra.staging.names import check_deletion, check_name, check_prefix
from schemas.errors import CradleError, Permanent, Retryable

PIECE_BYTES: Final = 1024 * 1024
_UNFINISHED: Final = ".unfinished"
"""Ends the name of a file that is being written; such a file's name begins with '.', which no object's name does."""


class FileStaging:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, name: str, data: AsyncIterable[bytes]) -> int:
        final = self._path(name)
        aside = final.with_name(f".{final.name}.{secrets.token_hex(8)}{_UNFINISHED}")
        size = 0
        with self._errors():
            file = await asyncio.to_thread(_create, aside, self._root)
        try:
            with _closed_quietly(file):
                async for piece in data:
                    with self._errors():
                        size += await asyncio.to_thread(file.write, piece)
                with self._errors():
                    await asyncio.to_thread(_to_disk, file)
            with self._errors():
                await asyncio.to_thread(_put_in_place, aside, final)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return size

    async def read(self, name: str) -> AsyncIterator[bytes]:
        path = self._path(name)
        with self._errors():
            file = await asyncio.to_thread(path.open, "rb")
        with file:
            while True:
                with self._errors():
                    piece = await asyncio.to_thread(file.read, PIECE_BYTES)
                if not piece:
                    return
                yield piece

    async def exists(self, name: str) -> bool:
        path = self._path(name)
        with self._errors():
            return await asyncio.to_thread(path.is_file)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        check_prefix(prefix)
        with self._errors():
            names = await asyncio.to_thread(lambda: [*_names(self._root, "", prefix)])
        for name in names:
            yield name

    async def delete(self, prefix: str) -> int:
        check_deletion(prefix)
        with self._errors():
            return await asyncio.to_thread(_delete, self._root, "", prefix)

    async def ping(self) -> None:
        with self._errors():
            await asyncio.to_thread(os.listdir, self._root)

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """A disk that is full or away heals, and no message is to blame; an object that is not there stays so."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError) as error:
            if not self._root.is_dir():
                raise Retryable("dependency.away", name=NAME) from error
            raise Permanent("staging.missing") from None
        except NotADirectoryError:  # one name would have to be a file and a folder
            raise Permanent("staging.name") from None
        except OSError as error:
            raise disk_error(error, NAME) from error


@asynccontextmanager
async def open_files(url: str) -> AsyncIterator[FileStaging]:
    """`file:///folder`; the folder is made. Raises CradleError `settings.invalid`."""
    root = file_path(url)
    try:
        await asyncio.to_thread(root.mkdir, mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CradleError("settings.invalid", what=f"the staging folder cannot be made ({error.strerror})") from None
    yield FileStaging(root)


def _create(path: Path, root: Path) -> BinaryIO:
    """A new file (0600). Its folder is made, and made again if a `delete` removes it meanwhile."""
    while True:
        try:
            _make_folders(path.parent, root)
            return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
        except FileNotFoundError:
            if not root.is_dir():  # a disk that went away: nothing is written where it was mounted
                raise


def _make_folders(folder: Path, root: Path) -> None:
    """Makes the folders below the root, each 0700 (`parents=True` would give those between the default mode)."""
    for part in reversed((folder, *folder.parents)):
        if part.is_relative_to(root) and part != root:
            part.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _closed_quietly(file: BinaryIO) -> Iterator[None]:
    """Closes it. On a full disk closing fails as well, since it tries to write the rest, and would hide what failed."""
    try:
        yield
    finally:
        with suppress(OSError):
            file.close()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _put_in_place(aside: Path, final: Path) -> None:
    try:
        aside.rename(final)
    except FileNotFoundError:  # deleted while it was written
        raise OSError("the unfinished object is gone") from None
    sync_folder(final.parent)


def _entries(folder: Path, at: str) -> list[os.DirEntry[str]]:
    """In the order of the bytes of the names that begin with them: a folder's go on with '/'."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        if not at:  # the store itself is gone
            raise
        return []  # deleted meanwhile


def _reaches(folder_name: str, prefix: str) -> bool:
    """Whether names in this folder can begin with the prefix."""
    return folder_name.startswith(prefix) or prefix.startswith(folder_name)


def _names(folder: Path, at: str, prefix: str) -> Iterator[str]:
    for entry in _entries(folder, at):
        name = at + entry.name
        if entry.is_dir(follow_symlinks=False):
            if _reaches(name + "/", prefix):
                yield from _names(Path(entry), name + "/", prefix)
        elif not entry.name.endswith(_UNFINISHED) and name.startswith(prefix):
            yield name


def _delete(folder: Path, at: str, prefix: str) -> int:
    count = 0
    for entry in _entries(folder, at):
        if entry.is_dir(follow_symlinks=False):
            name = at + entry.name + "/"
            if _reaches(name, prefix):
                count += _delete(Path(entry), name, prefix)
                _remove_if_empty(Path(entry))
        elif entry.name.endswith(_UNFINISHED):
            if (at + entry.name[1:]).startswith(prefix):
                Path(entry).unlink(missing_ok=True)
        elif (at + entry.name).startswith(prefix):
            Path(entry).unlink(missing_ok=True)
            count += 1
    return count


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not empty, or another delete was faster
        return
