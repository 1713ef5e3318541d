"""An archive in a folder: an object is a file of its name, below `versions/`.

An object is written aside, in `versions/.unfinished/`, synced, and linked to its name. A link is never made over a file
that is there: of two writers of one name one wins, the other is told, and no reader sees a half of either.

Files are 0400. The folders that hold them are 0500 but for the moment of a link, so that who runs Cradle cannot remove
or rename a version by mistake. This stops mistakes, not intent: root and who owns the files can change the modes. The
immutable attribute of some file systems would say no more than that, since only root may set it, and root may take it
away again. An archive that refuses its own operator is S3 with object lock.
"""

import asyncio
import fcntl
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from infra.archive import NAME
from infra.archive.names import ROOT, check_name, check_prefix
from infra.disks import disk_error
from infra.paths import file_path, sync_folder
from schemas.errors import CradleError, Permanent, Retryable

PIECE_BYTES: Final = 1024 * 1024
UNFINISHED: Final = ".unfinished"
"""The folder of what is being written. No customer is called so."""
_OPEN_FOLDER: Final = 0o700
_CLOSED_FOLDER: Final = 0o500
_CLOSED_FILE: Final = 0o400


class FileArchive:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions = root / ROOT

    async def add(self, name: str, data: AsyncIterable[bytes]) -> int:
        final = self._path(name)
        with self._errors(name):
            await asyncio.to_thread(_refuse_second, final)
            file, aside = await asyncio.to_thread(_create_aside, self._versions, self._root)
        size = 0
        try:
            try:
                async for piece in data:
                    with self._errors(name):
                        size += await asyncio.to_thread(file.write, piece)
                with self._errors(name):
                    await asyncio.to_thread(_to_disk, file)
                    await asyncio.to_thread(_put_in_place, aside, final)
            finally:
                aside.unlink(missing_ok=True)
        finally:
            with suppress(OSError):  # closing fails as well on a full disk, and would hide what failed
                file.close()
        return size

    async def read(self, name: str) -> AsyncIterator[bytes]:
        path = self._path(name)
        with self._errors(name):
            file = await asyncio.to_thread(path.open, "rb")
        with file:
            while True:
                with self._errors(name):
                    piece = await asyncio.to_thread(file.read, PIECE_BYTES)
                if not piece:
                    return
                yield piece

    async def list(self, prefix: str) -> AsyncIterator[str]:
        check_prefix(prefix)
        with self._errors(prefix):
            names = await asyncio.to_thread(lambda: [*_names(self._root, self._versions)])
        for name in names:
            if name.startswith(prefix):
                yield name

    async def ping(self) -> None:
        with self._errors(""):
            await asyncio.to_thread(os.listdir, self._root)

    async def protection(self) -> str:
        return "read-only files"

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise Permanent("archive.exists", name=name) from None
        except (FileNotFoundError, IsADirectoryError) as error:
            if not self._root.is_dir():
                raise Retryable("dependency.away", name=NAME) from error
            raise Permanent("archive.missing", name=name) from None
        except OSError as error:
            raise disk_error(error, NAME) from error


@asynccontextmanager
async def open_files(url: str) -> AsyncIterator[FileArchive]:
    """`file:///folder`; the folder is made. Raises CradleError `settings.invalid`."""
    root = file_path(url)
    try:
        await asyncio.to_thread(root.mkdir, mode=_OPEN_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise CradleError("settings.invalid", what=f"the archive's folder cannot be made ({error.strerror})") from None
    yield FileArchive(root)


def _refuse_second(final: Path) -> None:
    """Before gigabytes are written that could not be put in place. The link decides."""
    if os.path.lexists(final):
        raise FileExistsError


def _create_aside(versions: Path, root: Path) -> tuple[BinaryIO, Path]:
    """A new file (0600), locked for as long as it is open. What killed writers left is removed."""
    if not root.is_dir():  # a disk that went away: nothing is written where it was mounted
        raise FileNotFoundError
    if not versions.is_dir():
        versions.mkdir(mode=_OPEN_FOLDER, exist_ok=True)
        sync_folder(root)
    folder = versions / UNFINISHED
    if not folder.is_dir():
        with _opened(versions):
            folder.mkdir(mode=_OPEN_FOLDER, exist_ok=True)
    _sweep(folder)
    while True:
        path = folder / secrets.token_hex(16)
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else another writer took it for a dead one's, before it was locked
            return file, path
        file.close()


def _sweep(folder: Path) -> None:
    """The system lets go of a dead process's lock, so what can be locked is nobody's any more."""
    for left in folder.iterdir():
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fchmod(file.fileno(), _CLOSED_FILE)
    os.fsync(file.fileno())


def _put_in_place(aside: Path, final: Path) -> None:
    """Raises FileExistsError where an object of that name is there."""
    folder = final.parent
    if not folder.is_dir():
        with _opened(folder.parent):
            folder.mkdir(mode=_OPEN_FOLDER, exist_ok=True)
            sync_folder(folder.parent)
    with _opened(folder):
        os.link(aside, final)
        sync_folder(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[None]:
    """The folder is writable within, for one writer at a time."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.fchmod(handle, _OPEN_FOLDER)
        try:
            yield
        finally:
            os.fchmod(handle, _CLOSED_FOLDER)
    finally:
        os.close(handle)


def _names(root: Path, versions: Path) -> list[str]:
    """Every file below `versions`, whoever put it there, but what is unfinished; in the order of their bytes."""
    unfinished = versions / UNFINISHED
    found = (path for path in versions.rglob("*") if not path.is_dir() or path.is_symlink())
    names = (os.fsencode(path.relative_to(root)) for path in found if unfinished not in path.parents)
    return [os.fsdecode(name) for name in sorted(names)]
