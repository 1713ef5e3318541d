"""Results appear whole or not at all: a folder is written beside its place, synced, and renamed into it."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

REPLACED: Final = "replaced"
"""In a hidden folder: what stood in the place, until its successor does."""


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """A hidden new folder beside `place`, for what will stand there; `put_in_place` moves it. Otherwise it is removed.

    Folders that killed builds of the same place left behind are removed first; what stood there is put back, where one
    was killed before its successor did. The system lets go of a dead process's lock, so what can be locked is nobody's
    any more.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.name}."
    for left in place.parent.glob(f"{prefix}*"):
        with suppress(OSError), _locked(left):
            _put_back(left / REPLACED, place)
            shutil.rmtree(left)
    with ExitStack() as held:
        folder = _new_folder(prefix, place.parent, held)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def named_when_whole(folder: Path) -> Iterator[tuple[BinaryIO, Callable[[str], None]]]:
    """A new file in `folder` without a name, and the function that syncs it and gives it one.

    Whoever is killed before leaves nothing there, where the file system has O_TMPFILE, as Linux's usual ones do; on
    others the file is hidden until then. Of two files of one name the first remains.
    """
    try:
        descriptor, hidden = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT) or not folder.is_dir():
            raise
        descriptor, hidden = tempfile.mkstemp(dir=folder, prefix=".")
    with os.fdopen(descriptor, "wb") as file, ExitStack() as left:
        if hidden is not None:
            left.callback(Path(hidden).unlink)

        def give_name(name: str) -> None:
            file.flush()
            os.fsync(descriptor)
            with suppress(FileExistsError), _opened(folder) as entries:
                # through a folder's descriptor, since only so does os.link follow the link in /proc to the file
                os.link(hidden or f"/proc/self/fd/{descriptor}", name, dst_dir_fd=entries, follow_symlinks=True)

        yield cast(BinaryIO, file), give_name


def put_in_place(folder: Path, place: Path) -> None:
    """Syncs `folder` and renames it to `place`. What stood there is replaced, and removed once its successor stands; of
    two at once, the last remains."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    if not _renamed(folder, place):
        _replace(folder, place)
    sync(place.parent)


def _replace(folder: Path, place: Path) -> None:
    with ExitStack() as held:
        old = _new_folder(f".{place.name}.", place.parent, held)
        held.callback(shutil.rmtree, old, ignore_errors=True)
        while not _renamed(folder, place):
            shutil.rmtree(old / REPLACED, ignore_errors=True)  # of another that was put in place meanwhile
            with suppress(FileNotFoundError):
                place.rename(old / REPLACED)
        sync(place.parent)


def _put_back(replaced: Path, place: Path) -> None:
    with suppress(OSError):  # nothing was replaced, or something stands there again
        replaced.rename(place)


def _renamed(folder: Path, place: Path) -> bool:
    """False where a folder stands there already."""
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def sync(path: Path) -> None:
    """Returns once the file's bytes, or the folder's entries, are on disk."""
    with _opened(path) as handle:
        os.fsync(handle)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _new_folder(prefix: str, parent: Path, held: ExitStack) -> Path:
    """A new folder, locked until `held` closes. One that another build took for a leftover is given up for the next."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError), ExitStack() as lock:
            lock.enter_context(_locked(folder))
            if folder.exists():
                held.push(lock.pop_all())
                return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises BlockingIOError where another process holds it."""
    with _opened(folder) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
