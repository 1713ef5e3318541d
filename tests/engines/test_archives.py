import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from engines.extraction import limits, members
from engines.extraction.names import MOST_BYTES, Names, safe_name
from schemas.errors import Permanent
from schemas.ids import clean_path
from tests.engines import samples

ZIP, TAR, MAIL = "application/zip", "application/x-tar", "message/rfc822"
FILES = {"b/\u00e4.txt": b"2", "a.txt": b"1", "b/a.txt": b"3"}


def told(data: bytes, media_type: str) -> dict[str, bytes | str]:
    """Content or code of each member; no path comes twice."""
    found = [*members(data, media_type)]
    paths = dict(found)
    assert len(paths) == len(found)
    return {path: what if isinstance(what, bytes) else what.code for path, what in found}


def code(data: bytes, media_type: str) -> str:
    with pytest.raises(Permanent) as refusal:
        [*members(data, media_type)]
    return refusal.value.code


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (samples.zipped({"b/": b"", **FILES}), ZIP),
        (samples.tarred(FILES), TAR),
        (samples.tarred({f"./{name}": content for name, content in FILES.items()}, mode="w:xz"), TAR),
        (samples.tarred(FILES, mode="w:gz"), TAR),
        (samples.tarred(FILES, mode="w:bz2"), TAR),
    ],
    ids=["zip", "tar", "tar.xz", "tar.gz", "tar.bz2"],
)
def test_members_come_in_the_archives_own_order(data: bytes, media_type: str) -> None:
    assert [*members(data, media_type)] == [*FILES.items()]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (gzip.compress(b"some") + gzip.compress(b"thing"), "application/gzip"),
        (bz2.compress(b"some") + bz2.compress(b"thing"), "application/x-bzip2"),
        (lzma.compress(b"some") + bytes(8) + lzma.compress(b"thing"), "application/x-xz"),
    ],
    ids=["gz", "bz2", "xz"],
)
def test_a_compressed_file_has_one_member_without_a_name(data: bytes, media_type: str) -> None:
    assert [*members(data, media_type)] == [("", b"something")]
    assert code(data[:-6], media_type) == "document.broken"
    assert code(data[:9] + b"\xff\xff\xff" + data[12:], media_type) == "document.broken"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zip_is_read(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a.txt", b"something " * 20_000)
    assert told(out.getvalue(), ZIP) == {"a.txt": b"something " * 20_000}


# -- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [ZIP, TAR])
def test_a_broken_archive_is_refused(media_type: str) -> None:
    assert code(samples.zipped(FILES)[:40], media_type) == "document.broken"


def test_a_tar_cut_between_two_members_is_broken() -> None:
    """Python would take it for whole, and two of the three would be lost."""
    assert code(samples.tarred(FILES)[: 2 * 512], TAR) == "document.broken"
    broken = bytearray(samples.tarred(FILES))
    broken[2 * 512 + 148] ^= 1  # the second header's checksum
    assert code(bytes(broken), TAR) == "document.broken"


def test_a_locked_or_damaged_member_is_told_beside_the_others() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("a.txt", "b.txt", "c.txt"):
            archive.writestr(name, f"text {name}")
    data = bytearray(out.getvalue().replace(b"text b", b"TEXT B"))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    assert told(bytes(data), ZIP) == {
        "a.txt": b"text a.txt",
        "b.txt": "document.broken",
        "c.txt": "document.encrypted",
    }


def test_links_devices_and_folders_are_no_documents() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"kind {kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert told(out.getvalue(), TAR) == {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("folder/", "")
        packed.writestr("a.txt", "text")
    assert told(out.getvalue(), ZIP) == {"a.txt": b"text"}


# -- what costs too much ----------------------------------------------------------------------------------------------


def bomb(size: int, *, says: int | None = None) -> bytes:
    """A ZIP with one member of `size` zeros, which says that it is `says`."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    content = zlib.crc32(bytes(says or size)) if says else 0
    sizes = struct.pack("<LLL", content, len(packed), says or size)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", 1, 0) + b"a"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
    entry += struct.pack("<HHHHHLL", 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    return local + packed + entry + end


def test_a_bomb_is_told_by_what_it_says_or_cut_where_it_lies() -> None:
    assert told(bomb(limits.MOST_OF_ONE + (1 << 20)), ZIP) == {"a": "document.costly"}
    assert told(bomb(64 << 20, says=10), ZIP) == {"a": bytes(10)}, "no more is read than it says"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_sparse_member_counts_as_what_it_would_become(mode: str) -> None:
    info = tarfile.TarInfo("a.txt")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
    info.pax_headers |= {"GNU.sparse.size": str(1 << 40), "GNU.sparse.name": "a.txt"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
        archive.addfile(tarfile.TarInfo("b.txt"))
    assert told(out.getvalue(), TAR) == {"a.txt": "document.costly", "b.txt": b""}


@pytest.mark.parametrize("make", [samples.zipped, samples.tarred], ids=["zip", "tar"])
def test_too_many_members_or_bytes_are_refused(
    make: Callable[[dict[str, bytes]], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    media_type = ZIP if make is samples.zipped else TAR
    monkeypatch.setattr("engines.extraction.limits.MOST_BYTES", 4)
    assert code(make({"a.txt": b"123", "b.txt": b"45"}), media_type) == "document.costly"
    monkeypatch.setattr("engines.extraction.limits.MOST_MEMBERS", 3)
    assert code(make({f"{number}.txt": b"" for number in range(4)}), media_type) == "document.costly"
    assert len(told(make({f"{number}.txt": b"" for number in range(3)}), media_type)) == 3


def test_members_are_not_very_much_larger_than_their_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.extraction.limits.ALWAYS_BYTES", 1000)
    packed = gzip.compress(bytes(100_000), mtime=0)
    assert code(packed, "application/gzip") == "document.costly"
    some = gzip.compress(bytes(1000 + 16 * 30), mtime=0)
    assert len(some) >= 30
    assert told(some, "application/gzip") == {"": bytes(1480)}
    assert limits.most_bytes(1 << 40) == limits.MOST_BYTES


def test_members_that_share_bytes_are_a_bombs() -> None:
    data = bytearray(samples.zipped({"a.txt": b"text", "b.txt": b"more"}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)  # begins where the first does
    assert code(bytes(data), ZIP) == "document.broken"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.txt", "a/b.txt"),
        ("..b/a..txt", "..b/a..txt"),
        ("../a.txt", "a.txt"),
        ("a/../../b", "a/b"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\a.txt", "a.txt"),
        ("C:\\b\\a.txt", "C:/b/a.txt"),
        ("./a//b", "a/b"),
        ("a\nb", "a\ufffdb"),
        ("a\u202efdp.exe", "a\ufffdfdp.exe"),
        ("a\0b", "a\ufffdb"),
        ("u\u0308", "\u00fc"),
        ("b\udcff", "b\u00ff"),
        ("b\ud800", "b?"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (" / ", "unnamed"),
    ],
)
def test_a_name_becomes_a_path_that_leads_nowhere_else(name: str, safe: str) -> None:
    assert safe_name(name) == clean_path(safe) == safe


def test_a_long_name_keeps_its_beginning_and_suffix() -> None:
    long, other = safe_name("\u00e4" * 4096 + ".txt"), safe_name("\u00e4" * 4097 + ".txt")
    assert long != other
    assert len(long.encode()) <= MOST_BYTES
    assert (long[:9], long[-4:]) == ("\u00e4" * 9, ".txt")


def test_a_name_is_given_once() -> None:
    names = Names()
    given = ["a/b.txt", "a/2-b.txt", "/a/b.txt", "a/b.txt", "a\\b.txt"]
    assert [names.give(name) for name in given] == ["a/b.txt", "a/2-b.txt", "a/3-b.txt", "a/4-b.txt", "a/5-b.txt"]
    for _ in range(10_000):  # and that quickly
        names.give("x" * 2000)
    assert len({names.give("x" * 2000) for _ in range(100)}) == 100


def test_a_zips_name_is_read_as_whoever_wrote_it_meant() -> None:
    def unflagged(name: bytes) -> bytes:
        return samples.zipped({"x" * len(name): b"1", "b": b"2"}).replace(b"x" * len(name), name)

    assert told(unflagged("\u00fc.txt".encode()), ZIP) == {"\u00fc.txt": b"1", "b": b"2"}
    assert told(unflagged("\u00fc.txt".encode("cp437")), ZIP) == {"\u00fc.txt": b"1", "b": b"2"}
    flagged = samples.zipped({"\u00fc.txt": b"1", "b": b"2"}).replace("\u00fc".encode(), b"\xfc\xff")
    assert sorted(map(repr, told(flagged, ZIP).values())) == ["b'1'", "b'2'"], "said to be UTF-8, and is not"


def test_a_tars_name_need_not_be_utf_8() -> None:
    data = samples.tarred({"\u00fc.txt": b"1", "b": b"2"})
    with tarfile.open(
        fileobj=(out := io.BytesIO()), mode="w", encoding="latin-1", format=tarfile.GNU_FORMAT
    ) as archive:
        archive.addfile(tarfile.TarInfo("\u00fc.txt"))
    assert told(data, TAR) == {"\u00fc.txt": b"1", "b": b"2"}
    assert told(out.getvalue(), TAR) == {"\u00fc.txt": b""}


# -- mail -------------------------------------------------------------------------------------------------------------


def test_attachments() -> None:
    assert [*members(samples.MAIL, MAIL)] == [("plan.csv", b"lot,pieces\nVS55,120\n"), ("2-plan.csv", b"a,b")]


def test_what_is_attached_is_found_wherever_it_lies() -> None:
    """Apple's Mail attaches within an alternative; others forward a mail, or send nothing but a file."""
    apple = EmailMessage()
    apple.set_content("<p>Here it is.</p>", subtype="html")
    apple.make_mixed()
    apple.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="a.pdf", disposition="inline")
    apple.add_attachment(b"GIF89a", maintype="image", subtype="gif", cid="<logo>", disposition="inline")
    forwarded = EmailMessage()
    forwarded["Subject"] = "The older one"
    forwarded.set_content("text")
    apple.add_attachment(forwarded)
    mail = EmailMessage()
    mail["From"], mail["To"] = "a@example.com", "b@example.com"
    mail.set_content("Here it is.")
    mail.make_alternative()
    mail.attach(apple)
    found = told(mail.as_bytes(), MAIL)
    assert found["a.pdf"] == b"%PDF-1.4"
    assert any(b"The older one" in content for content in found.values() if isinstance(content, bytes))
    assert not any(b"GIF89a" in content for content in found.values() if isinstance(content, bytes))
    bare = b"From: a@example.com\nMIME-Version: 1.0\nContent-Type: application/pdf; name=a.pdf\n\n%PDF-1.4\n"
    assert told(bare, MAIL) == {"a.pdf": b"%PDF-1.4\n"}


def test_a_mail_of_many_levels_is_refused_or_read() -> None:
    data = b"From: a@example.com\nMIME-Version: 1.0\n"
    for level in range(3000):
        data += b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (level, level)
    assert code(data + b"Content-Type: text/plain\n\ntext", MAIL) == "document.broken"
