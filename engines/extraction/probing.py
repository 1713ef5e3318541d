"""What a file is, told by its bytes. The name decides only between formats that are all plain text."""

import re
import tarfile
import zipfile
from io import BytesIO
from pathlib import PurePosixPath
from typing import Final

from engines.extraction import Probe, kreuzberg
from schemas.errors import Permanent

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_SIGNATURES: Final = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\0", "application/x-xz"),
)
_COMPRESSED: Final = {"application/gzip", "application/x-bzip2", "application/x-xz"}
_ZIP_FOLDERS: Final = {
    "word/document.xml": _OFFICE + "wordprocessingml.document",
    "xl/workbook.xml": _OFFICE + "spreadsheetml.sheet",
    "ppt/presentation.xml": _OFFICE + "presentationml.presentation",
}
_TEXT_SUFFIXES: Final = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".html": "text/html",
    ".htm": "text/html",
}
_HTML: Final = re.compile(rb"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_MAIL_HEADER: Final = re.compile(rb"^([A-Za-z][A-Za-z0-9-]*):", re.M)
_BINARY: Final = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_SNIFFED: Final = 64 * 1024
_USABLE_LETTERS: Final = 10
"""A page with fewer letters and digits has no text layer worth the name: a scanner's stamp, a page number."""


def probe(data: bytes, path: str) -> Probe:
    media_type = _by_signature(data) or _by_text(data, path)
    if media_type == "application/pdf":
        return Probe(media_type, _pdf_route(data))
    if media_type == "application/zip":
        return _zip_probe(data)
    if media_type in _COMPRESSED or media_type == "application/x-tar":
        return _tar_probe(data, media_type)
    if media_type == "application/x-ole-storage":
        encrypted = "EncryptedPackage".encode("utf-16-le") in data
        return Probe(media_type, "encrypted" if encrypted else "unsupported")
    return Probe(media_type, _route(media_type))


def _route(media_type: str) -> str:
    from engines.extraction import READERS

    if media_type.startswith("image/"):
        return "ocr"
    if media_type == "message/rfc822":
        return "mail"
    return "text" if media_type in READERS else "unsupported"


def _by_signature(data: bytes) -> str | None:
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data[8:12] == b"WEBP" and data.startswith(b"RIFF"):
        return "image/webp"
    if data[257:262] == b"ustar":
        return "application/x-tar"
    if b"%PDF-" in data[:1024]:  # some writers put bytes before the header; readers allow 1 KiB
        return "application/pdf"
    return None


def _by_text(data: bytes, path: str) -> str:
    head = data[:_SNIFFED]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, whose every second byte may be zero
        return _TEXT_SUFFIXES.get(PurePosixPath(path).suffix.lower(), "text/plain")
    if _BINARY.search(head):
        return "application/octet-stream"
    if _HTML.match(head):
        return "text/html"
    if _is_mail(head):
        return "message/rfc822"
    return _TEXT_SUFFIXES.get(PurePosixPath(path).suffix.lower(), "text/plain")


def _is_mail(head: bytes) -> bool:
    """A block of header fields up to a blank line, among them a sender and something only mail has."""
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    lines = block.splitlines()
    if not lines or not all(line[:1] in (b" ", b"\t") or _MAIL_HEADER.match(line) for line in lines):
        return False
    fields = {field.lower() for field in _MAIL_HEADER.findall(block)}
    return b"from" in fields and bool(fields & {b"message-id", b"mime-version", b"received", b"date"})


def _pdf_route(data: bytes) -> str:
    try:
        pages = kreuzberg.read(data, "application/pdf", output="plain").pages or []
        wordless = {page["page_number"] for page in pages if not _has_text(page["content"])}
        if not wordless:
            return "text"
        if len(wordless) == len(pages):
            return "ocr"  # nothing but pictures, or letters drawn as outlines
        pictured = {image["page_number"] for image in kreuzberg.read(data, "application/pdf", images=True).images or []}
    except Permanent as error:
        return "encrypted" if error.code == "document.encrypted" else "text"  # `extract` will say what is wrong
    return "ocr" if wordless & pictured else "text"


def _has_text(content: str) -> bool:
    return sum(character.isalnum() for character in content) >= _USABLE_LETTERS


def _zip_probe(data: bytes) -> Probe:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
            names = {info.filename for info in infos}
            if "mimetype" in names:  # OpenDocument and EPUB say what they are
                with archive.open("mimetype") as stream:  # which may be a bomb
                    declared = stream.read(200).decode("ascii", errors="replace").strip()
                return Probe(declared, _route(declared))
    except Exception:  # a broken archive is told by whoever opens it
        return Probe("application/zip", "archive")
    for name, media_type in _ZIP_FOLDERS.items():
        if name in names:
            return Probe(media_type, "text")
    encrypted = all(info.flag_bits & 1 for info in infos if not info.is_dir()) and bool(names)
    return Probe("application/zip", "encrypted" if encrypted else "archive")


def _tar_probe(data: bytes, media_type: str) -> Probe:
    try:
        with tarfile.open(fileobj=BytesIO(data), mode="r:*") as archive:
            archive.next()
    except Exception:  # a single file, compressed; or a broken one, as whoever opens it tells
        return Probe(media_type, "archive")
    return Probe("application/x-tar", "archive")
