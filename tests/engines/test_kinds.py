"""Files that are refused are named in words that a person knows; and nothing is reached for."""

import io
import socket
import zipfile
from pathlib import Path

import pytest

from consumers.admit.core import check_route
from engines.extraction import extract, probe
from schemas.errors import Permanent
from tests.engines import samples
from tests.engines.formats.compound import compound

OPEN = "application/vnd.oasis.opendocument."
BIG = b"x" * 5000


def ole(stream: str) -> bytes:
    return compound({stream: BIG})


def locked_zip() -> bytes:
    data = bytearray(samples.zipped({"a.txt": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


LOCKED_ODT = samples.zipped(
    {
        "mimetype": (OPEN + "text").encode(),
        "META-INF/manifest.xml": b"<manifest><file-entry><encryption-data/></file-entry></manifest>",
        "content.xml": b"\x01\x02",
    }
)
LOCKED_EPUB = samples.zipped(
    {
        "mimetype": b"application/epub+zip",
        "META-INF/encryption.xml": b'<encryption><EncryptionMethod Algorithm="aes256"/></encryption>',
    }
)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (ole("WordDocument"), "document.type", "Word 97-2003"),
        (ole("Workbook"), "document.type", "Excel 97-2003"),
        (ole("PowerPoint Document"), "document.type", "PowerPoint 97-2003"),
        (ole("EncryptedPackage"), "document.encrypted", "Office document with a password"),
        (LOCKED_ODT, "document.encrypted", "OpenDocument text"),
        (LOCKED_EPUB, "document.encrypted", "EPUB book"),
        (locked_zip(), "document.encrypted", "ZIP archive"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "document.type", "7-Zip"),
        (b"Rar!\x1a\x07\x01\x00", "document.type", "RAR"),
        (samples.zipped({"xl/workbook.bin": b""}), "document.type", "binary Excel"),
        (samples.zipped({"Index/Document.iwa": b""}), "document.type", "Pages, Numbers or Keynote"),
        (b"\0\0\0\x20ftypisom", "document.type", "video"),
        (b"\0\0\0\x20ftypheic", "document.type", "HEIC"),
        (b"ID3\x04", "document.type", "sound"),
        (b"SQLite format 3\0", "document.type", "SQLite"),
        (b"-----BEGIN PGP MESSAGE-----\n", "document.encrypted", "PGP"),
        (b"age-encryption.org/v1\n", "document.encrypted", "age"),
        (b"%!PS-Adobe-3.0", "document.type", "PostScript"),
        (b"\x00\x01\x02\x03 nothing known", "document.type", "unknown"),
    ],
)
def test_a_refusal_names_the_type(data: bytes, code: str, words: str) -> None:
    with pytest.raises(Permanent) as refusal:
        check_route(probe(data, "a.docx"))
    assert refusal.value.code == code
    assert words in str(refusal.value)


def test_a_declared_type_is_not_repeated() -> None:
    found = probe(samples.zipped({"mimetype": b"secret words of the customer"}), "a")
    assert found.media_type == "application/zip"


@pytest.mark.parametrize(
    ("data", "path", "media_type"),
    [
        (b'{"a": 1}', "x", "application/json"),
        (b"[1, 2]", "x.txt", "application/json"),
        (b'{"a": 1}\n{"a": 2}\n', "x", "application/json"),
        (b"[1] a footnote", "x.txt", "text/plain"),
        (b"{not json}", "x.json", "text/plain"),
        (b"<?xml version='1.0'?><a/>", "x", "application/xml"),
        (b"<a><b>c</b></a>\n", "x", "application/xml"),
        (b"<a> is smaller than <b>", "x", "text/plain"),
        ("<?xml version='1.0' encoding='utf-16'?><a>ä</a>".encode("utf-16"), "x", "application/xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><text>a</text></svg>", "x", "image/svg+xml"),
        (b"<div>a</div>", "x", "text/html"),
        (b"a;b\n1;2\n3;4\n", "x", "text/csv"),
        (b"a\tb\n1\t2\n3\t4\n", "x", "text/csv"),
        (b"First, second.\nThird, fourth.\nFifth, sixth.\n", "x", "text/plain"),
        (b"BMW baut Autos, und das seit langem, in Bayern.", "x", "text/plain"),
        (b"MZ is no program here", "x", "text/plain"),
        (b"BZh is three letters", "x", "text/plain"),
        (b"{\\rtf1 a}", "x.doc", "application/rtf"),
    ],
)
def test_texts_are_told_apart(data: bytes, path: str, media_type: str) -> None:
    assert probe(data, path).media_type == media_type


# -- nothing is reached for -------------------------------------------------------------------------------------------

SECRET = "the secret of another file"


def entity(uri: str, root: str = "a") -> bytes:
    declared = f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY x SYSTEM "{uri}">]>'
    return f"{declared}<{root}><b>before &x; after</b></{root}>".encode()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments) or [])
    return asked


def test_an_external_entity_is_not_fetched(tmp_path: Path, no_network: list[object]) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    for uri in (secret.as_uri(), "http://127.0.0.1:9/x"):
        assert extract(entity(uri), "application/xml").text.split() == ["a:", "-", "b:", "before", "after"]
    assert not no_network


@pytest.mark.parametrize("kind", ["word", "sheet", "open"])
def test_nor_in_an_office_file(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    doctype = f'<!DOCTYPE x [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    if kind == "word":
        files = _files(samples.docx(samples.paragraph("a &x; b")))
        files["word/document.xml"] = files["word/document.xml"].replace(b"?><w:", f"?>{doctype}<w:".encode())
        found = extract(samples.zipped(files), samples.DOCX)
    elif kind == "sheet":
        from tests.engines.test_sheets import XLSX, rows, xlsx

        files = _files(xlsx(rows(["a &x; b", "c"])))
        files["xl/worksheets/0.xml"] = doctype.encode() + files["xl/worksheets/0.xml"]
        found = extract(samples.zipped(files), XLSX)
    else:
        from tests.engines.formats import flat

        data = flat.manual().replace(b"?><office:document ", f"?>{doctype}<office:document ".encode())
        found = extract(data.replace("Rückfragen".encode(), b"&x;"), OPEN + "text")
    assert SECRET not in found.text


LAUGHS = (
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY l0 'ha'>"
    + "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    + "]><a b='&l11;'>&l11;<c>text</c></a>"
).encode()


def test_laughs_stay_small() -> None:
    try:
        assert len(extract(LAUGHS, "application/xml").text) < 10_000
    except Permanent as error:
        assert error.code == "document.broken"


def test_an_entity_of_the_documents_own_is_put_in() -> None:
    data = b"<!DOCTYPE a [<!ENTITY co 'ACME'>]><a><b>of &co;</b></a>"
    assert extract(data, "application/xml").text.endswith("b: of ACME")


def test_svg_scripts_are_left_out() -> None:
    data = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script><text>Plan</text></svg>"
    assert extract(data, "image/svg+xml").text.endswith("text: Plan")


@pytest.mark.parametrize("name", ["word/document.xml", "xl/workbook.xml", "ppt/presentation.xml", "content.xml"])
def test_a_part_that_unpacks_to_too_much_is_costly(name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(name, "w") as part:
            for _ in range(65):
                part.write(bytes(1024 * 1024))
        if name == "content.xml":
            archive.writestr("mimetype", OPEN + "text")
    media_type = probe(out.getvalue(), "x").media_type
    with pytest.raises(Permanent) as refusal:
        extract(out.getvalue(), media_type)
    assert refusal.value.code == "document.costly"


DEEP = 100_000


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"<a>" * DEEP + b"x" + b"</a>" * DEEP, "application/xml"),
        (b"<div>" * DEEP + b"x", "text/html"),
        (b"<table><tr><td>" * 5000 + b"x", "text/html"),
        (b"<ul><li>" * 5000 + b"x", "text/html"),
        (b"<b><i>" * 5000 + b"x", "text/html"),
        (b"[" * DEEP + b"1" + b"]" * DEEP, "application/json"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "application/json"),
        (
            samples.docx("<w:sdt><w:sdtContent>" * 900 + samples.paragraph("x") + "</w:sdtContent></w:sdt>" * 900),
            samples.DOCX,
        ),
        (
            samples.docx("<w:tbl><w:tr><w:tc>" * 300 + samples.paragraph("x") + "</w:tc></w:tr></w:tbl>" * 300),
            samples.DOCX,
        ),
    ],
    ids=["xml", "div", "table", "list", "inline", "json list", "json", "controls", "tables"],
)
def test_depth_is_read_or_refused(data: bytes, media_type: str) -> None:
    try:
        extract(data, media_type)
    except Permanent as error:
        assert error.code in ("document.broken", "document.no-text", "document.costly")


def _files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
