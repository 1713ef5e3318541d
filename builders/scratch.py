"""Files of a bake in the making: without a name, and sealed under keys that only this process ever has.

A file is encrypted in units of 64 KiB (AES-256-XTS, IEEE 1619; the unit's number is the tweak), so SQLite may write
anywhere in it. Nothing is authenticated: a file lives no longer than the process that wrote it. A killed bake leaves
freed blocks of ciphertext, and no entry in any folder.
"""

import io
import os
import secrets
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import apsw
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

UNIT: Final = 64 * 1024
UNITS_HELD: Final = 64
"""In memory, of each file: 4 MiB. SQLite's pages are smaller than a unit, and neighbours are written together."""
_KEY_BYTES: Final = 64
"""Two AES-256 keys, as XTS takes them."""


class Scratch:
    """The files of one bake. Used in a `with`: what is in them is gone at its end."""

    def __init__(self, folder: Path) -> None:
        """`folder` lends its disk."""
        self._folder = folder
        self._files: dict[str, SealedFile] = {}
        self._vfs: _SealedFiles | None = None

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        if self._vfs is not None:
            self._vfs.unregister()
            self._vfs = None

    def file(self, name: str) -> "SealedFile":
        """The file of that name; a new one is empty. Raises OSError."""
        if name not in self._files:
            self._files[name] = SealedFile(_anonymous(self._folder))
        return self._files[name]

    def database(self, name: str) -> apsw.Connection:
        """A new database in the file of that name. Any further one that SQLite opens for it lies here as well."""
        if self._vfs is None:
            self._vfs = _SealedFiles(self)
        return apsw.Connection(name, vfs=self._vfs.vfs_name)


class SealedFile:
    """Bytes at any place, encrypted as they leave memory."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: of an empty file; closed with this."""
        self._descriptor = descriptor
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._held: OrderedDict[int, bytearray] = OrderedDict()
        self._changed: set[int] = set()
        self._on_disk = 0
        """Units that were ever written: from there on, there is nothing to be read."""
        self.size = 0

    def read(self, offset: int, size: int) -> bytes:
        """What there is of these bytes."""
        end = min(offset + size, self.size)
        pieces = []
        while offset < end:
            number, start = divmod(offset, UNIT)
            piece = self._unit(number)[start : start + end - offset]
            pieces.append(bytes(piece))
            offset += len(piece)
        return b"".join(pieces)

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            number, start = divmod(offset, UNIT)
            piece = view[: UNIT - start]
            unit = self._unit(number)
            unit[start : start + len(piece)] = piece
            self._changed.add(number)
            view, offset = view[len(piece) :], offset + len(piece)
            self.size = max(self.size, offset)

    def truncate(self, size: int) -> None:
        """Raises ValueError: a scratch file is not made longer so."""
        if size > self.size:
            raise ValueError("a file is only cut")
        self.write(
            size, bytes(min(self.size, -(-size // UNIT) * UNIT) - size)
        )  # what follows in its unit is zero again
        self.size = size
        last = -(-size // UNIT)
        for number in [number for number in self._held if number >= last]:
            del self._held[number]
            self._changed.discard(number)
        self._on_disk = min(self._on_disk, last)

    def open(self) -> BinaryIO:
        """A reader from the first byte on."""
        return cast(BinaryIO, io.BufferedReader(_Reader(self), UNIT))

    def close(self) -> None:
        """Its bytes are gone. Twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._key = -1, b""
        self._held.clear()

    def _unit(self, number: int) -> bytearray:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        while len(self._held) >= UNITS_HELD:
            self._let_go()
        unit = bytearray(UNIT)
        if number < self._on_disk:
            unit[:] = self._cipher(number).decryptor().update(os.pread(self._descriptor, UNIT, number * UNIT))
        self._held[number] = unit
        return unit

    def _let_go(self) -> None:
        """Of the unit that was used longest ago."""
        number, unit = next(iter(self._held.items()))
        if number in self._changed:
            for hole in range(self._on_disk, number):  # a hole would read as something else than zeros
                self._put(hole, bytes(UNIT))
            self._put(number, unit)
            self._on_disk = max(self._on_disk, number + 1)
            self._changed.discard(number)
        del self._held[number]

    def _put(self, number: int, unit: bytes | bytearray) -> None:
        sealed = memoryview(self._cipher(number).encryptor().update(unit))
        offset = number * UNIT
        while sealed:
            written = os.pwrite(self._descriptor, sealed, offset)
            sealed, offset = sealed[written:], offset + written

    def _cipher(self, number: int) -> Cipher[modes.XTS]:
        return Cipher(algorithms.AES(self._key), modes.XTS(number.to_bytes(16, "little")))


def _anonymous(folder: Path) -> int:
    """A descriptor of a new file in `folder` that has no name, or not for longer than a moment."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        return os.dup(file.fileno())


class _Reader(io.RawIOBase):
    def __init__(self, file: SealedFile) -> None:
        self._file = file
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._file.size}[whence]
        self._offset = start + offset
        return self._offset

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


class _SealedFiles(apsw.VFS):
    """What SQLite takes for a file system: the files of one Scratch. Randomness and time are the machine's."""

    def __init__(self, scratch: Scratch) -> None:
        self.vfs_name = f"scratch-{id(scratch)}"
        self._scratch = scratch
        super().__init__(self.vfs_name, base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_DatabaseFile":  # type: ignore[override]
        flags[1] = flags[0]
        named = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        return _DatabaseFile(self._scratch.file(named))

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:
        """There is no journal to be found."""
        return False

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Nothing is kept."""


class _DatabaseFile:
    """One file as SQLite sees it. SQLite has it for itself and nothing survives: locks and syncs are no work."""

    def __init__(self, file: SealedFile) -> None:
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:
        return self._file.read(offset, amount)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._file.write(offset, data)

    def xTruncate(self, size: int) -> None:
        self._file.truncate(size)

    def xFileSize(self) -> int:
        return self._file.size

    def xSync(self, flags: int) -> None:
        pass

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        pass
