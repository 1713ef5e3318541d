"""Folders of this machine as a source, by `file:///...` URIs.

Symbolic links are skipped, to files and to folders alike: what they point to enters where it lies itself. Names that
are no UTF-8 enter too: their odd bytes stand as `%FF` in the path, and the URI keeps the bytes exactly.
"""

import asyncio
import errno
import os
import stat
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from infra.paths import file_path, file_url
from infra.sources import Entry, is_hidden
from schemas.errors import CradleError, Permanent, Retryable

PIECE_BYTES: Final = 1024 * 1024
ENTRIES_AT_ONCE: Final = 256
"""How many entries one visit to the thread brings: enough that the visits cost nothing beside the walk."""
NO_FILE: Final = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.ENODEV})
"""What opening says of a name that no file can have, of links in a circle, of sockets and of absent devices."""


class FileSource:
    async def walk(self, root: str) -> AsyncIterator[Entry]:
        start = _path(root)
        with _errors():
            found = _below(start, "") if await asyncio.to_thread(start.is_dir) else _single(start)
            while entries := await asyncio.to_thread(lambda: list(islice(found, ENTRIES_AT_ONCE))):
                for entry in entries:
                    yield entry

    async def read(self, uri: str) -> AsyncIterator[bytes]:
        path = _path(uri)
        with _errors():
            file = await asyncio.to_thread(_open_regular, path)
        with file:
            while True:
                with _errors():
                    piece = await asyncio.to_thread(file.read, PIECE_BYTES)
                if not piece:
                    return
                yield piece

    def lies_under(self, uri: str, root: str) -> bool:
        try:
            resolved = file_path(uri).resolve()
            in_circle = resolved.is_symlink()  # Python before 3.13 raises for one
            return not in_circle and resolved.is_relative_to(file_path(root).resolve())
        except (CradleError, OSError, RuntimeError):  # no file URL, or links in a circle
            return False


@asynccontextmanager
async def open_files(url: str) -> AsyncIterator[FileSource]:
    yield FileSource()


def _path(uri: str) -> Path:
    """Raises Permanent `source.missing`: nothing lies at a URI that is none of ours."""
    try:
        return file_path(uri)
    except CradleError:
        raise Permanent("source.missing") from None


def _single(path: Path) -> Iterator[Entry]:
    """The file that the root itself names, whatever its name begins with."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise Permanent("source.missing")
    yield Entry(_readable(path.name), file_url(path), about.st_size)


def _below(folder: Path, at: str) -> Iterator[Entry]:
    """In the order of the paths' bytes, in which a folder's name goes on with '/'."""
    with os.scandir(folder) as found:
        shown = [entry for entry in found if not is_hidden(entry.name) and not entry.is_symlink()]
    paths = [(at + _readable(entry.name) + "/" * entry.is_dir(), entry) for entry in shown]
    for path, entry in sorted(paths, key=lambda pair: (pair[0].encode(), os.fsencode(pair[1].name))):
        if path.endswith("/"):
            yield from _below(Path(entry.path), path)
        elif entry.is_file():
            try:
                size = entry.stat().st_size
            except FileNotFoundError:  # removed during the walk
                continue
            yield Entry(path, file_url(Path(entry.path)), size)


def _readable(name: str) -> str:
    """The name in NFC; each byte that is no UTF-8, which Python holds as a surrogate, as `%` and two hex digits."""
    shown = "".join(f"%{ord(sign) - 0xDC00:02X}" if 0xDC80 <= ord(sign) <= 0xDCFF else sign for sign in name)
    return unicodedata.normalize("NFC", shown)


def _open_regular(path: Path) -> BinaryIO:
    """Does not block on a pipe that somebody put there."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Permanent("source.missing")
    return file


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Permanent("source.missing") from None
    except PermissionError:
        raise Permanent("source.unreadable") from None
    except OSError as error:
        if error.errno in NO_FILE:
            raise Permanent("source.missing") from None
        raise Retryable("dependency.away", name="The source") from error
