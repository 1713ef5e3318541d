"""Members of ZIP and TAR archives and of single compressed files: one at a time, in memory, never on disk.

An archive that is broken itself, or holds too much, is refused whole. A member that alone cannot be read (locked, cut,
too large) is told in its place, and its neighbours come out as if it were not there. Links, devices and folders are no
documents; no link is followed.
"""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Final, Self

from engines.extraction import Member
from engines.extraction.limits import (
    MEBIBYTE,
    MOST_OF_ONE,
    Tally,
    too_large,
)
from engines.extraction.names import Names
from schemas.errors import Permanent

ZIP: Final = "application/zip"
TAR: Final = "application/x-tar"
MEMBER: Final = "a member of its archive"
"""What an error calls the type of a member that cannot be got out."""
_UTF8: Final = 0x08
"""In the higher byte of an entry's flags: its name is UTF-8."""
_PIECE: Final = 64 * 1024
_SMALL_PIECE: Final = 4096
"""For what `zipfile` unpacks without a bound: as many bytes of bzip2 make at most some 80 MiB."""
_MOST_DICTIONARY: Final = 128 * MEBIBYTE


# -- ZIP --------------------------------------------------------------------------------------------------------------


def zip_members(data: bytes) -> Iterator[Member]:
    """In the order of the archive's directory."""
    try:
        with _zip(data) as archive:
            infos = archive.infolist()
            _check(infos, len(data))
            names, tally = Names(), Tally(len(data))
            for info in infos:
                tally.member()
                if _is_file(info):
                    yield names.give(_zip_name(info)), _zip_content(archive, info, tally)
    except (Permanent, MemoryError):
        raise
    except Exception:  # zipfile lets more than its own errors through
        raise Permanent("document.broken", kind=ZIP) from None


def _zip(data: bytes) -> zipfile.ZipFile:
    tally = Tally(len(data))
    for _ in _directory(data):  # before an object is made for each
        tally.member()
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except UnicodeDecodeError:
        return zipfile.ZipFile(io.BytesIO(_with_any_names(data)))


def _directory(data: bytes) -> Iterator[int]:
    """Where each entry of the central directory begins (APPNOTE.TXT 4.3.12, 4.3.14, 4.3.16)."""
    end = data.rfind(b"PK\x05\x06")
    if end < 0 or len(data) < end + 22:
        return
    (size,) = struct.unpack_from("<L", data, end + 12)
    if end >= 76 and data.startswith(b"PK\x06\x07", end - 20):
        end -= 76
        (size,) = struct.unpack_from("<Q", data, end + 40)
    at = end - size
    while 0 <= at <= len(data) - 46 and data.startswith(b"PK\x01\x02", at):
        yield at
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))


def _with_any_names(data: bytes) -> bytes:
    """The archive, with no name said to be UTF-8 that is not: `zipfile` would refuse them all."""
    mended = bytearray(data)
    for at in _directory(data):
        (size,), (header,) = struct.unpack_from("<H", data, at + 28), struct.unpack_from("<L", data, at + 42)
        try:
            data[at + 46 : at + 46 + size].decode()
        except UnicodeDecodeError:
            mended[at + 9] &= ~_UTF8
            if data.startswith(b"PK\x03\x04", header):
                mended[header + 7] &= ~_UTF8
    return bytes(mended)


def _check(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Raises Permanent `document.costly` by what it says of itself, and `document.broken` where members share bytes, as
    only a bomb's do."""
    tally = Tally(size)
    for info in infos:
        tally.member()
        tally.read(info.file_size if info.file_size <= MOST_OF_ONE else 0)  # a larger one is told in its place
    places = sorted((info.header_offset, info.header_offset + 30 + info.compress_size) for info in infos)
    if any(begin < end for (_, end), (begin, _) in pairwise(places)):
        raise Permanent("document.broken", kind=ZIP)


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Neither a folder, also in Windows' writing, nor what Unix has beside files: links, pipes, devices."""
    if info.is_dir() or (info.filename.endswith("\\") and not info.file_size):
        return False
    return stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Many write UTF-8 without saying so. What is none is in code page 437, as the format has it."""
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, tally: Tally) -> bytes | Permanent:
    if info.flag_bits & 1:
        return Permanent("document.encrypted", kind="a member of a ZIP archive")
    if info.file_size > MOST_OF_ONE:
        return too_large()
    bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    try:
        with archive.open(info) as stream:
            return _whole(iter(lambda: stream.read(_PIECE if bounded else _SMALL_PIECE), b""), tally)
    except (Permanent, MemoryError):
        raise
    except Exception:  # zipfile lets its decompressors' errors through
        return Permanent("document.broken", kind=MEMBER)


# -- TAR --------------------------------------------------------------------------------------------------------------


def tar_members(data: bytes) -> Iterator[Member]:
    """Regular files, in the archive's order. Also reads what gzip, bzip2 and xz made smaller."""
    try:
        with _tar(data) as archive:  # once through, so that too many are refused before the first is handed over
            tally = Tally(len(data))
            for _ in archive:
                tally.member()
        with _tar(data) as archive:
            names, tally = Names(), Tally(len(data))
            for info in archive:
                if info.isreg():
                    yield names.give(info.name), _tar_content(archive, info, tally)
    except (Permanent, MemoryError):
        raise
    except Exception:  # tarfile lets its decompressors' errors through
        raise Permanent("document.broken", kind=TAR) from None


_NO_HEADER: Final = ("TruncatedHeaderError", "InvalidHeaderError", "EmptyHeaderError")


class _StrictHeader(tarfile.TarInfo):
    """A header that is broken, cut or not there is an error: `tarfile` would take it for the end mark, and whatever
    follows would be lost."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in _NO_HEADER:
                raise tarfile.ReadError(str(error)) from None
            raise


def _tar(data: bytes) -> tarfile.TarFile:
    pieces = _unpacked(data)
    if pieces is None:
        return tarfile.open(fileobj=io.BytesIO(data), mode="r:", tarinfo=_StrictHeader)
    return tarfile.open(fileobj=_Flowing(pieces, Tally(len(data))), mode="r|", tarinfo=_StrictHeader)


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo, tally: Tally) -> bytes | Permanent:
    if info.size > MOST_OF_ONE:
        return too_large()
    tally.read(info.size)  # of a sparse file, what it is unpacked
    stream = archive.extractfile(info)
    content = stream.read() if stream else b""
    return content if len(content) == info.size else Permanent("document.broken", kind=MEMBER)


# -- what is merely compressed ----------------------------------------------------------------------------------------


def only_member(data: bytes) -> Iterator[Member]:
    """What a single file was before it was compressed. It has no name of its own: whoever knows the file's path gives
    it one."""
    pieces = _unpacked(data)
    if pieces is None:
        raise Permanent("document.broken", kind="a compressed file")
    try:
        content = _whole(pieces, Tally(len(data)))
    except (Permanent, MemoryError):
        raise
    except Exception:  # as the decompressors have them
        raise Permanent("document.broken", kind="a compressed file") from None
    yield "", content


def _gzip(data: bytes) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        yield from iter(lambda: stream.read(_PIECE), b"")


def _bzip2(data: bytes) -> Iterator[bytes]:
    with bz2.BZ2File(io.BytesIO(data)) as stream:
        yield from iter(lambda: stream.read(_PIECE), b"")


def _xz(data: bytes) -> Iterator[bytes]:
    """Of one stream after the other. Python's own file object sets no bound to the dictionary, which may be 4 GiB."""
    while data:
        stream = lzma.LZMADecompressor(memlimit=_MOST_DICTIONARY)
        piece = stream.decompress(data, _PIECE)
        yield piece
        while not stream.eof:
            piece = stream.decompress(b"", _PIECE)
            if not piece and stream.needs_input:
                raise EOFError
            yield piece
        data = stream.unused_data.lstrip(b"\0")  # streams are padded


_COMPRESSIONS: Final[Mapping[bytes, Callable[[bytes], Iterator[bytes]]]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": _bzip2,
    b"\xfd7zXZ\0": _xz,
}


def _unpacked(data: bytes) -> Iterator[bytes] | None:
    """Its content in pieces, if it is compressed."""
    for signature, unpack in _COMPRESSIONS.items():
        if data.startswith(signature):
            return unpack(data)
    return None


def _whole(pieces: Iterator[bytes], tally: Tally) -> bytes | Permanent:
    content = io.BytesIO()  # which hands its bytes over without a copy
    for piece in pieces:
        tally.read(len(piece))
        content.write(piece)
        if content.tell() > MOST_OF_ONE:
            return too_large()
    return content.getvalue()


class _Flowing(io.RawIOBase):
    """Pieces as a file that is read from front to back."""

    def __init__(self, pieces: Iterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At least one byte, unless there is none left."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._tally.read(len(piece))
            self._left = memoryview(piece)
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)
