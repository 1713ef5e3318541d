"""Pictures that are built to hurt: few bytes that say they are very many."""

import io
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from PIL import Image

from tests.hostile.files_kinds import Kind, Lure
from tests.hostile.files_streams import zlib_stream

WIDE: Final = 100_000
PNG: Final = b"\x89PNG\r\n\x1a\n"


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def png(width: int, height: int, packed: bytes, *, colour: int = 0, before: bytes = b"", bits: int = 8) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0))
    return PNG + head + before + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def _small(format_: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(out, format_)
    return out.getvalue()


def tiff(entries: Sequence[tuple[int, int, int, int]], rest: bytes = b"", *, next_: int = 0) -> bytes:
    """Of (tag, type, count, value); the directory begins at byte 8."""
    table = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + struct.pack("<L", next_) + rest


def _tiff_of(width: int, height: int, *, next_: int = 0, compression: int = 1) -> bytes:
    packed = zlib.compress(bytes(1 << 20))
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, len(packed)),
    ]
    return tiff(entries, next_=next_).ljust(200, b"\0") + packed


def huge(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """100,000 by 100,000 pixels, or as many as the format can say."""
    rows = zlib_stream(bytes(1 << 20), 256)
    for bits, colour in ((8, 0), (8, 2), (16, 6), (1, 0)):
        yield f"{bits}-{colour}.png", png(WIDE, WIDE, rows, colour=colour, bits=bits)
    yield "most.png", png(0x7FFFFFFF, 0x7FFFFFFF, rows)
    yield "wide.png", png(0x7FFFFFFF, 1, rows)
    yield "high.png", png(1, 0x7FFFFFFF, rows)
    jpeg = bytearray(_small("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    yield "most.jpg", bytes(jpeg)
    for compression in (1, 5, 8, 32773):
        yield f"{compression}.tiff", _tiff_of(WIDE, WIDE, compression=compression)
    bmp = bytearray(_small("BMP"))
    bmp[18:26] = struct.pack("<ll", WIDE, WIDE)
    yield "most.bmp", bytes(bmp)
    bmp[18:26] = struct.pack("<ll", -WIDE, -0x80000000)
    yield "negative.bmp", bytes(bmp)
    gif = bytearray(_small("GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    yield "most.gif", bytes(gif)
    webp = bytearray(_small("WEBP"))
    at = webp.index(b"\x9d\x01\x2a") + 3
    webp[at : at + 4] = b"\xff\x3f\xff\x3f"
    yield "most.webp", bytes(webp)


def bombs(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Pictures whose data is far more than they say, and what stands beside their pixels."""
    much = zlib_stream(bytes(1 << 20), 512)
    yield "more-than-it-says.png", png(100, 100, much)
    yield "text.png", png(8, 8, zlib.compress(bytes(72)), before=png_chunk(b"zTXt", b"a\0\0" + much))
    yield "profile.png", png(8, 8, zlib.compress(bytes(72)), before=png_chunk(b"iCCP", b"a\0\0" + much))
    yield (
        "many-chunks.png",
        PNG
        + png_chunk(b"IHDR", struct.pack(">LLBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + png_chunk(b"tEXt", b"a\0b") * 200_000
        + png_chunk(b"IEND", b""),
    )
    frames = [Image.new("L", (8, 8), number % 256) for number in range(600)]
    for format_ in ("GIF", "TIFF", "PNG"):
        out = io.BytesIO()
        frames[0].save(out, format_, save_all=True, append_images=frames[1:])
        yield f"600-frames.{format_.lower()}", out.getvalue()
    large = [Image.new("1", (9000, 9000), number % 2) for number in range(4)]
    out = io.BytesIO()
    large[0].save(out, "TIFF", save_all=True, append_images=large[1:], compression="group4")
    yield "large-pages.tiff", out.getvalue()
    out = io.BytesIO()
    Image.new("L", (12_000, 12_000)).save(out, "PNG", compress_level=1)
    yield "144-megapixels.png", out.getvalue()


def loops(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "itself.tiff", _tiff_of(8, 8, next_=8)
    yield "many-tags.tiff", tiff([(270, 2, 0xFFFFFFFF, 0)] * 60_000)
    yield "long-tag.tiff", tiff([(256, 4, 1, 8), (257, 4, 1, 8), (270, 2, 0x7FFFFFFF, 8)])
    yield "beyond.tiff", tiff([(256, 4, 1, 8), (257, 4, 1, 8), (273, 4, 1, 0xFFFFFFF0), (279, 4, 1, 0xFFFFFFF0)])
    jpeg = _small("JPEG")
    yield "many-segments.jpg", jpeg[:2] + b"\xff\xe1\x00\x08Exif\0\0" * 300_000 + jpeg[2:]
    yield "many-scans.jpg", _many_scans()
    yield "no-end.gif", _small("GIF")[:-1] + b"\x21\xfe\x01a\0" * 500_000
    webp = _small("WEBP")
    yield "long-chunk.webp", webp[:16] + b"\xff\xff\xff\x7f" + webp[20:]


def _many_scans() -> bytes:
    """A progressive JPEG that goes over the same pixels very often."""
    out = io.BytesIO()
    Image.new("L", (4000, 4000), 128).save(out, "JPEG", progressive=True, quality=5)
    data = out.getvalue()
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    scan = data[first:second]
    return data[:second] + scan * min(500, 8_000_000 // len(scan)) + b"\xff\xd9"


KINDS: Final[dict[str, Kind]] = {
    "pictures of 100,000 x 100,000": huge,
    "pictures that unpack to more": bombs,
    "pictures that lead in circles": loops,
}
