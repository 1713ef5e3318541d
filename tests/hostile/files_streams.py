"""Very long streams out of few bytes, made in no time."""

import struct
import zlib
from typing import Final

MEBIBYTE: Final = 1 << 20


def deflated(piece: bytes, times: int) -> bytes:
    """A deflate stream of `piece`, so many times: it is packed once, up to where a decoder forgets what was before."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return once * times + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def zlib_stream(piece: bytes, times: int) -> bytes:
    """The same as PDF and PNG have it. Its checksum is right for zeros alone."""
    adler = (len(piece) * times % 65521) << 16 | 1
    return b"\x78\xda" + deflated(piece, times) + struct.pack(">L", adler)


def crc(piece: bytes, times: int) -> int:
    found = 0
    for _ in range(times):
        found = zlib.crc32(piece, found)
    return found
