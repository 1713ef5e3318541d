"""Results appear whole or not at all: a folder is written beside its place, synced, and renamed into it."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """A hidden new folder beside `place`, for what will stand there; `put_in_place` moves it. Otherwise it is removed.

    Folders that killed builds of the same place left behind are removed first. The system lets go of a dead process's
    lock, so what can be locked is nobody's any more.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.name}."
    for left in place.parent.glob(f"{prefix}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left)
    with ExitStack() as held:
        folder = _new_folder(prefix, place.parent, held)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, place: Path) -> None:
    """Syncs `folder` and renames it to `place`. What stood there is replaced; of two at once, the last remains."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    while not _renamed(folder, place):
        with (
            suppress(FileNotFoundError),
            tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as old,
        ):
            place.rename(Path(old) / "replaced")
    sync(place.parent)


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
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
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
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
