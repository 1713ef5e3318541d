import pytest

from engines.extraction import Probe, probe
from tests.engines import samples

OFFICE = "application/vnd.openxmlformats-officedocument."


@pytest.mark.parametrize(
    ("data", "path", "media_type", "route"),
    [
        (b"Guten Tag.\n", "brief.txt", "text/plain", "text"),
        (b"Guten Tag.\n", "brief", "text/plain", "text"),
        ("Gr\u00fc\u00dfe".encode("cp1252"), "alt.txt", "text/plain", "text"),
        ("Gr\u00fc\u00dfe".encode("utf-16"), "windows.txt", "text/plain", "text"),
        (b"# A\n\nb\n", "a.md", "text/markdown", "text"),
        (b"a,b\n1,2\n", "a.csv", "text/csv", "text"),
        (b"<!DOCTYPE html><html><body>x</body></html>", "no-suffix", "text/html", "text"),
        (b"<html>x</html>", "lying.md", "text/html", "text"),
        (samples.MAIL, "x.eml", "message/rfc822", "mail"),
        (samples.MAIL, "without-suffix", "message/rfc822", "mail"),
        (b"Note: this is no mail.\n\nFrom: here on.\n", "a.txt", "text/plain", "text"),
        (samples.docx(samples.paragraph("x")), "lying.zip", OFFICE + "wordprocessingml.document", "text"),
        (samples.zipped({"xl/workbook.xml": b""}), "a", OFFICE + "spreadsheetml.sheet", "text"),
        (samples.zipped({"ppt/presentation.xml": b""}), "a", OFFICE + "presentationml.presentation", "text"),
        (
            samples.zipped({"mimetype": b"application/vnd.oasis.opendocument.text"}),
            "a.odt",
            "application/vnd.oasis.opendocument.text",
            "text",
        ),
        (samples.zipped({"a.txt": b"x"}), "lying.docx", "application/zip", "archive"),
        (samples.tarred({"a.txt": b"x"}), "a.tar", "application/x-tar", "archive"),
        (samples.tarred({"a.txt": b"x"}, mode="w:gz"), "a.tgz", "application/x-tar", "archive"),
        (b"\x1f\x8b\x08\x00no tar", "a.gz", "application/gzip", "archive"),
        (b"\x89PNG\r\n\x1a\n....", "a.txt", "image/png", "ocr"),
        (b"\xff\xd8\xff\xe0", "a", "image/jpeg", "ocr"),
        (b"\x00\x01\x02\x03", "a.txt", "application/octet-stream", "unsupported"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "a.doc", "application/x-ole-storage", "unsupported"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "a.docx",
            "application/x-office-encrypted",
            "encrypted",
        ),
        (b"", "a.txt", "text/plain", "text"),
    ],
)
def test_names_a_type_by_content(data: bytes, path: str, media_type: str, route: str) -> None:
    assert probe(data, path) == Probe(media_type, route)


WORDS = ["A page with a proper text layer, long enough to count."]


@pytest.mark.parametrize(
    ("data", "route"),
    [
        (samples.pdf([WORDS, WORDS]), "text"),
        (samples.pdf([WORDS, WORDS], pictured=[1]), "text"),
        (samples.pdf([WORDS, []]), "text"),
        (samples.pdf([WORDS, []], pictured=[2]), "ocr"),
        (samples.pdf([WORDS, ["- 2 -"]], pictured=[2]), "ocr"),
        (samples.pdf([[]], pictured=[1]), "ocr"),
        (samples.pdf([WORDS], encrypted=True), "encrypted"),
        (b"%PDF-1.4 and then nothing", "text"),
    ],
    ids=["text", "text and picture", "a blank page", "a scan", "a scan with a number", "all scans", "locked", "broken"],
)
def test_routes_a_pdf_by_its_pages(data: bytes, route: str) -> None:
    assert probe(data, "a.pdf") == Probe("application/pdf", route)


def test_an_encrypted_zip_is_told_apart() -> None:
    data = bytearray(samples.zipped({"a.txt": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    assert probe(bytes(data), "a.zip").route == "encrypted"
