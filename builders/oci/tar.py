"""Tar archives that depend on nothing but names and contents: entries sorted, no owner, no time, fixed modes.

The headers are written here and not by `tarfile`, whose bytes are its version's affair. They are POSIX ustar; a file
of 8 GiB or more has its size in a pax record before it, as POSIX 1003.1-2001 says.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Protocol

BLOCK: Final = 512
PIECE_BYTES: Final = 1024 * 1024
_USTAR_LIMIT: Final = 8**11
"""A size has 11 octal digits."""


class Readable(Protocol):
    """Bytes that lie somewhere."""

    @property
    def size(self) -> int: ...

    def open(self) -> BinaryIO:
        """A reader from the first byte on."""


Content = bytes | Path | Readable
"""A file's content: the bytes themselves, or what holds them."""


def write_tar(files: Mapping[str, Content], write: Callable[[bytes], object]) -> None:
    """Writes the archive of `files`, by name, with the folders above them, piece by piece through `write`.

    Names are relative, of printable ASCII, at most 100 characters. Raises ValueError for others.
    """
    folders = {f"{parent}/" for name in files for parent in map(str, Path(name).parents) if parent != "."}
    for name in sorted({*files, *folders}):
        if name in files:
            _write_file(name, files[name], write)
        else:
            write(_header(name, 0, mode=0o755, kind=b"5"))
    write(bytes(2 * BLOCK))


def _write_file(name: str, content: Content, write: Callable[[bytes], object]) -> None:
    size = _size(content)
    if size >= _USTAR_LIMIT:
        record = _pax_record("size", str(size))
        write(_header("pax", len(record), mode=0o644, kind=b"x") + record + _padding(len(record)))
    write(_header(name, size if size < _USTAR_LIMIT else 0, mode=0o644, kind=b"0"))
    with _open(content) as source:
        written = 0
        while piece := source.read(PIECE_BYTES):
            write(piece)
            written += len(piece)
    if written != size:
        raise ValueError("a file changed while it was archived")
    write(_padding(size))


def _size(content: Content) -> int:
    if isinstance(content, bytes):
        return len(content)
    return content.stat().st_size if isinstance(content, Path) else content.size


def _open(content: Content) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    return content.open("rb") if isinstance(content, Path) else content.open()


def _header(name: str, size: int, *, mode: int, kind: bytes) -> bytes:
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= 100):
        raise ValueError("an archived name is up to 100 printable ASCII characters")
    fields = (
        name.encode().ljust(100, b"\0"),
        f"{mode:07o}\0".encode(),
        b"0000000\0" * 2,  # owner and group: root
        f"{size:011o}\0".encode(),
        b"00000000000\0",  # time: 1970-01-01
        b" " * 8,  # the checksum counts itself as blanks
        kind,
        bytes(100),
        b"ustar\000",
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def _pax_record(key: str, value: str) -> bytes:
    """`length key=value`, where the length counts its own digits too."""
    rest = f" {key}={value}\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return f"{length}{rest}".encode()


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
