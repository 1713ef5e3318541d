"""Archives and compressed files that are built to hurt."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from email.message import EmailMessage
from typing import Final

from tests.engines.samples import tarred, zipped
from tests.hostile import files_streams as streams
from tests.hostile.files_kinds import Kind, Lure
from tests.hostile.files_samples import deflated

MEBIBYTE: Final = 1 << 20
TEXT: Final = b"A proper text beside what is hostile, long enough to be one.\n"
_NAMES: Final = (
    "../../../../etc/passwd",
    "/etc/passwd",
    "a/../../b.txt",
    "..\\..\\windows\\a.txt",
    "C:\\windows\\a.txt",
    "a\nb.txt",
    "a\r\nX-Header: b.txt",
    "\u202etxt.exe",
    "\u200fa\u200e.txt",
    "\x1b[2Ja.txt",
    "a" * 255 + ".txt",
    "a/" * 2000 + "b.txt",
    "n" * 4096,
    "\u00e4" * 4096,
    "//server/share/a.txt",
    "con",
    "a.txt ",
    "a.txt.",
    " ",
    "{0}{1}%s%n.txt",
    "$(id).txt",
    "'; DROP TABLE documents; --.txt",
    "a!/b.txt",
    "a.txt",
    "a.txt",
)


def stored(entries: Iterable[tuple[bytes, int, bytes, int, int]], *, flags: int = 0) -> bytes:
    """A ZIP byte by byte: of each entry its name, method, packed bytes, stated size and CRC."""
    locals_, directory, at, count = io.BytesIO(), io.BytesIO(), 0, 0
    for name, method, packed, size, crc in entries:
        head = struct.pack("<HHHHHLLLH", 20, flags, method, 0, 33, crc, len(packed), size, len(name))
        locals_.write(b"PK\x03\x04" + head + b"\0\0" + name + packed)
        directory.write(b"PK\x01\x02" + struct.pack("<H", 20) + head + bytes(12) + struct.pack("<L", at) + name)
        at, count = locals_.tell(), count + 1
    size = directory.tell()
    end = struct.pack("<HHHHLLH", 0, 0, count & 0xFFFF, count & 0xFFFF, size, at, 0)
    return locals_.getvalue() + directory.getvalue() + b"PK\x05\x06" + end


def _zeros(size: int) -> bytes:
    """A deflate stream of so many zeros."""
    return streams.deflated(bytes(MEBIBYTE), size // MEBIBYTE)


def zip_bombs(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    gigabyte = _zeros(1024 * MEBIBYTE)
    yield "one.zip", stored([(b"a", 8, gigabyte, 1024 * MEBIBYTE, 0)])
    yield "says-4-GiB.zip", stored([(b"a", 8, gigabyte, 0xFFFFFFFE, 0)])
    yield "says-ten-bytes.zip", stored([(b"a.txt", 8, gigabyte, 10, zlib.crc32(bytes(10)))])
    yield "sixteen.zip", stored([(b"%d.txt" % n, 8, gigabyte, 95 * MEBIBYTE, 0) for n in range(16)])
    below = _zeros(95 * MEBIBYTE)
    crc = zlib.crc32(bytes(95 * MEBIBYTE))
    yield "just-below.zip", stored([(b"a", 8, below, 95 * MEBIBYTE, crc)])
    noise = chance.randbytes(4 * MEBIBYTE)
    padding = (b".hidden", 0, noise, len(noise), zlib.crc32(noise))
    yield "as-much-as-may-be.zip", stored([*[(b"%d" % n, 8, below, 95 * MEBIBYTE, crc) for n in range(2)], padding])
    beside = [(b"good.txt", 0, TEXT, len(TEXT), zlib.crc32(TEXT))]
    yield "beside-a-text.zip", stored([*beside, (b"a", 8, gigabyte, 1024 * MEBIBYTE, 0)])
    packed = bz2.compress(bytes(90 * MEBIBYTE))
    yield "bzip2.zip", stored([(b"a", 12, packed, 90 * MEBIBYTE, 0), *beside])
    yield "bzip2-lies.zip", stored([(b"a", 12, packed, 10, zlib.crc32(bytes(10))), *beside])


def overlapping(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Many entries of the directory over the same packed bytes."""
    packed = _zeros(64 * MEBIBYTE)
    one = bytearray(stored([(b"a", 8, packed, 64 * MEBIBYTE, 0)]))
    local, entry = one[: 31 + len(packed)], one[31 + len(packed) : -22]
    for count in (2, 1000, 60_000):
        end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, count, count, len(entry) * count, len(local), 0)
        yield f"{count}.zip", bytes(local + entry * count + end)
    # as by David Fifield: every entry's data begins with the next one's header, quoted by a stored block
    kernel, names = _zeros(16 * MEBIBYTE), [b"%d" % n for n in range(200)]
    out, places = b"", []
    packed = kernel
    for name in reversed(names):
        head = struct.pack("<HHHHHLLLH", 20, 0, 8, 0, 33, 0, len(packed), 16 * MEBIBYTE, len(name)) + b"\0\0" + name
        out = b"PK\x03\x04" + head + packed
        places.append((name, len(packed), len(out)))
        packed = b"\0" + struct.pack("<HH", len(out) & 0xFFFF, ~len(out) & 0xFFFF) + out
    directory = b""
    for name, size, length in places:
        head = struct.pack("<HHHHHLLLH", 20, 0, 8, 0, 33, 0, size, 16 * MEBIBYTE, len(name))
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + head + bytes(12)
        directory += struct.pack("<L", len(out) - length) + name
    end = struct.pack("<HHHHLLH", 0, 0, len(names), len(names), len(directory), len(out), 0)
    yield "quoted.zip", out + directory + b"PK\x05\x06" + end


def nested(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for depth in (9, 64, 1000):
        content = TEXT
        for level in range(depth):
            content = stored([(b"a.zip" if level else b"a.txt", 0, content, len(content), zlib.crc32(content))])
        yield f"{depth}-deep.zip", content
    content = TEXT
    for _ in range(40):
        content = gzip.compress(content, 1)
    yield "40-deep.txt.gz", content
    content = TEXT
    for level in range(4):  # 65,536 texts
        content = deflated({f"{n}.{'zip' if level else 'txt'}": content + (b"%d" % n) * (not level) for n in range(16)})
    yield "sixteen-each.zip", content
    content = deflated({"a": bytes(100 * MEBIBYTE)})
    for _ in range(2):
        content = deflated({f"{n}.zip": content for n in range(10)})
    yield "bombs-in-leaves.zip", content
    content = TEXT
    for level in range(8):
        content = (tarred if level % 2 else deflated)({"a": content})
    yield "mixed.tar", content
    mail = TEXT
    for _ in range(12):
        outer = EmailMessage()
        outer["From"], outer["Date"] = "a@example.com", "Fri, 02 Jan 2026 03:04:05 +0000"
        outer.set_content("See what is attached.")
        outer.add_attachment(mail, maintype="application", subtype="octet-stream", filename="a.eml")
        outer.set_boundary("x-x-x")
        mail = outer.as_bytes()
    yield "mails.eml", mail


def many_members(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "100000.zip", stored((b"%d.txt" % n, 0, b"", 0, 0) for n in range(100_000))
    yield "100000-of-a-name.zip", stored((b"a.txt", 0, b"x", 1, zlib.crc32(b"x")) for n in range(100_000))
    header = tarfile.TarInfo("a.txt").tobuf()
    yield "100000.tar", header * 100_000 + bytes(1024)
    yield "100000.tar.gz", gzip.compress(header * 100_000 + bytes(1024), 1)
    folders = tarfile.TarInfo("a/")
    folders.type = tarfile.DIRTYPE
    yield "100000-folders.tar", folders.tobuf() * 100_000 + bytes(1024)
    yield "10000-hidden.zip", stored((b".%d" % n, 0, b"", 0, 0) for n in range(10_000))
    head = b"From: a@b.example\nDate: Fri, 02 Jan 2026 03:04:05 +0000\nMIME-Version: 1.0\n"
    head += b"Content-Type: multipart/mixed; boundary=x\n\n"
    part = b"--x\nContent-Disposition: attachment; filename=a.txt\n\ntext\n"
    yield "100000.eml", head + part * 100_000 + b"--x--\n"


def single_files(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    piece = gzip.compress(bytes(64 * MEBIBYTE))
    yield "bomb.gz", piece * 64
    yield "bomb.bz2", bz2.compress(bytes(64 * MEBIBYTE)) * 64
    yield "bomb.xz", lzma.compress(bytes(64 * MEBIBYTE), preset=0) * 64
    yield "wide.xz", _wide_xz()
    tar = tarfile.TarInfo("a")
    tar.size = 8 << 30
    whole = tar.tobuf(tarfile.GNU_FORMAT)
    yield "bomb.tar.gz", gzip.compress(whole) + piece * 64
    yield "cut.gz", piece[: len(piece) // 2]


def _wide_xz() -> bytes:
    """A small file that asks for a dictionary of 3 GiB. Its header's checksum is right."""
    packed = bytearray(lzma.compress(TEXT, preset=0))
    header = 12
    size = (packed[header] + 1) * 4
    at = packed.index(b"\x21\x01", header) + 2  # the filter LZMA2, its one byte of properties
    packed[at] = 39
    packed[header + size - 4 : header + size] = struct.pack("<L", zlib.crc32(packed[header : header + size - 4]))
    return bytes(packed)


def tars(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    def made(kind: bytes, name: str, target: str) -> bytes:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info.tobuf()

    file = lure.file.removeprefix("file://")
    good = tarred({"good.txt": TEXT})[:1024]
    for name, kind in {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}.items():
        yield f"{name}-link.tar", made(kind, "a.txt", file) + good + bytes(1024)
    yield "through-a-link.tar", made(tarfile.SYMTYPE, "d", "/") + made(tarfile.REGTYPE, "d/tmp/x", "") + bytes(1024)
    yield "device.tar", made(tarfile.CHRTYPE, "zero", "") + made(tarfile.FIFOTYPE, "pipe", "") + good + bytes(1024)
    sparse = tarfile.TarInfo("a.txt")
    sparse.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(1 << 60),
        "GNU.sparse.name": "a.txt",
    }
    sparse.size = 1
    yield "sparse.tar", sparse.tobuf(tarfile.PAX_FORMAT) + b"x" + bytes(511) + good + bytes(1024)
    for length in (1 << 20, 1 << 33):
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, length
        yield f"pax-{length}.tar", header.tobuf(tarfile.GNU_FORMAT) + bytes(4096) + good
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 0
    yield "long-names.tar", long.tobuf(tarfile.GNU_FORMAT) * 20_000 + good
    yield "links.zip", _symbolic_zip(file)


def _symbolic_zip(target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("a.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, target)
        archive.writestr("good.txt", TEXT)
    return out.getvalue()


def names(lure: Lure, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Each with a good neighbour, which must come out."""
    for number, name in enumerate(_NAMES):
        content = {name: TEXT + b"%d" % number, "good.txt": TEXT}
        yield f"{number}.zip", zipped(content)
        yield f"{number}.tar", tarred(content)
        mail = EmailMessage()
        mail["From"], mail["Date"] = "a@example.com", "Fri, 02 Jan 2026 03:04:05 +0000"
        mail.set_content(TEXT.decode())
        safe = name.replace("\n", " ").replace("\r", " ")  # as a header it could not be written otherwise
        mail.add_attachment(TEXT, maintype="text", subtype="plain", filename=safe)
        mail.add_attachment(TEXT, maintype="text", subtype="plain", filename="good.txt")
        mail.set_boundary("x-x-x")
        yield f"{number}.eml", mail.as_bytes()
    all_names: Mapping[str, bytes] = {name: TEXT + b"%d" % number for number, name in enumerate(_NAMES)}
    yield "all.zip", zipped(all_names)
    yield "all.tar", tarred(all_names)
    crc = zlib.crc32(TEXT)
    for number in range(8):
        noise = chance.randbytes(chance.randrange(1, 300)).replace(b"\0", b"x")
        entries = [(noise, 0, TEXT, len(TEXT), crc), (b"good.txt", 0, TEXT, len(TEXT), crc)]
        yield f"not-UTF-8-{number}.zip", stored(entries)
        yield f"said-to-be-UTF-8-{number}.zip", stored(entries, flags=0x800)
        info = tarfile.TarInfo("x" * min(len(noise), 99))
        info.size = len(TEXT)
        head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        head[: min(len(noise), 99)] = noise[:99]
        head[148:156] = b"%06o\0 " % (sum(head[:148]) + sum(head[156:512]) + 8 * 32)
        yield f"not-UTF-8-{number}.tar", bytes(head) + TEXT + bytes(512 - len(TEXT)) + tarred({"good.txt": TEXT})
    for number, name in enumerate(("a\nb.txt", "\u202etxt.exe", "n" * 4096, "a\u0301" * 600 + ".txt")):
        yield name, TEXT + b"%d" % number  # the document itself is called so


KINDS: Final[dict[str, Kind]] = {
    "zip bombs": zip_bombs,
    "overlapping entries": overlapping,
    "archives in archives": nested,
    "100,000 members": many_members,
    "bombs of a single file": single_files,
    "links, devices, sparse files": tars,
    "names": names,
}
