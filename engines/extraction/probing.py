"""What a file is, told by its bytes. The name decides only between formats that are all plain text."""

import json
import re
import tarfile
import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import PurePosixPath
from typing import Final

from engines.extraction import Probe, signatures
from engines.extraction.encodings import decode, is_text
from engines.extraction.kinds import WORDS
from schemas.errors import Permanent

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_OPEN: Final = "application/vnd.oasis.opendocument."
_ARCHIVES: Final = frozenset({"application/gzip", "application/x-bzip2", "application/x-xz", "application/x-tar"})
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/tiff", "image/bmp", "image/webp"})
_ENCRYPTED: Final = frozenset({"application/x-office-encrypted", "application/pgp-encrypted", "application/age"})
_CONTAINING: Final = frozenset({"message/rfc822", "application/vnd.ms-outlook"})
_PARTS: Final = (
    ("word/document.xml", _OFFICE + "wordprocessingml.document"),
    ("xl/workbook.xml", _OFFICE + "spreadsheetml.sheet"),
    ("ppt/presentation.xml", _OFFICE + "presentationml.presentation"),
    ("xl/workbook.bin", "application/vnd.ms-excel.binary"),
    ("visio/document.xml", "application/vnd.visio"),
    ("Index/Document.iwa", "application/vnd.apple.iwork"),
    ("Index.zip", "application/vnd.apple.iwork"),
    ("AndroidManifest.xml", "application/vnd.android.package-archive"),
)
"""A part by which a ZIP is told to be more than an archive."""
_MAIN_PARTS: Final = (
    (re.compile(rb"(wordprocessingml\.(document|template)|word\.\w+)\.main\+xml", re.I), _PARTS[0][1]),
    (
        re.compile(rb"(spreadsheetml\.(sheet|template)|excel\.(sheet|template|addin)\.\w+)\.main\+xml", re.I),
        _PARTS[1][1],
    ),
    (
        re.compile(rb"(presentationml\.(presentation|slideshow|template)|powerpoint\.\w+\.\w+)\.main\+xml", re.I),
        _PARTS[2][1],
    ),
)
_CONTENT_TYPES: Final = "[Content_Types].xml"
_MOST_DECLARED: Final = 1024 * 1024
_SUFFIXES: Final = {
    ".md": "text/markdown", ".markdown": "text/markdown", ".csv": "text/csv", ".tsv": "text/csv",
    ".html": "text/html", ".htm": "text/html", ".xhtml": "text/html", ".jsonl": "application/json",
    ".ndjson": "application/json",
}  # fmt: skip
_TAGS: Final = (
    "html|head|body|meta|title|style|script|link|div|p|span|table|center|font|h[1-6]|ul|ol|article|section|main"
)
_BEFORE_ROOT: Final = r"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*|<\?[^>]*\?>\s*)*"
_HTML: Final = re.compile(rf"{_BEFORE_ROOT}<(?:!doctype\s+html|(?:{_TAGS})\b)", re.I | re.S)
_XML_ROOT: Final = re.compile(
    rf"{_BEFORE_ROOT}(?:<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>\s*)?(?:<!--.*?-->\s*)*<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)",
    re.S,
)
_MAIL_HEADER: Final = re.compile(rb"^([A-Za-z][A-Za-z0-9-]*):", re.M)
_SNIFFED: Final = 64 * 1024
_MOST_JSON: Final = 64 * 1024 * 1024
_TABLE_LINES: Final = 3
_LONGEST_CELL: Final = 80


def probe(data: bytes, path: str) -> Probe:
    media_type = signatures.told(data) or _by_text(data, path)
    if media_type == "application/x-ole-storage":
        media_type = signatures.of_streams(data)
    if media_type == "application/pdf":
        return Probe(media_type, _pdf_route(data))
    if media_type == "application/zip":
        return _of_zip(data)
    if media_type in _ARCHIVES:
        return _of_archive(data, media_type)
    return Probe(media_type, _route(media_type))


def _route(media_type: str) -> str:
    from engines.extraction import READERS

    if media_type in _PICTURES:
        return "ocr"
    if media_type in _CONTAINING:
        return "mail"
    if media_type in _ENCRYPTED:
        return "encrypted"
    return "text" if media_type in READERS else "unsupported"


# -- packed files -----------------------------------------------------------------------------------------------------


def _pdf_route(data: bytes) -> str:
    from engines.extraction.pdf import needs_recognition

    try:
        return "ocr" if needs_recognition(data) else "text"
    except Permanent as error:
        return "encrypted" if error.code == "document.encrypted" else "text"  # `extract` will say what is wrong


def _of_zip(data: bytes) -> Probe:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            media_type = _packed_type(archive)
            if media_type is None:
                return _of_plain_zip(archive)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # a broken archive is told by whoever opens it
        return Probe("application/zip", "archive")
    return Probe(media_type, "encrypted" if _is_locked(data, media_type) else _route(media_type))


def _packed_type(archive: zipfile.ZipFile) -> str | None:
    """What the package says it is, or is told by its parts; None for an archive of documents."""
    names = set(archive.namelist())
    if "mimetype" in names:  # OpenDocument and EPUB say what they are
        declared = _beginning(archive, "mimetype", 200).decode("ascii", errors="replace").strip()
        kind = re.sub(r"-(template|master|web)$", "", declared)
        if kind in WORDS and kind.startswith((_OPEN, "application/epub")):
            return kind
    for name, media_type in _PARTS:
        if name in names:
            return media_type
    if _CONTENT_TYPES in names:
        declared_types = _beginning(archive, _CONTENT_TYPES, _MOST_DECLARED)
        return next((media_type for main, media_type in _MAIN_PARTS if main.search(declared_types)), None)
    is_java = "META-INF/MANIFEST.MF" in names and any(name.endswith(".class") for name in names)
    return "application/java-archive" if is_java else None


def _beginning(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    with archive.open(name) as stream:
        return stream.read(size)


def _of_plain_zip(archive: zipfile.ZipFile) -> Probe:
    """Encrypted only if no member can be read."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    encrypted = bool(files) and all(info.flag_bits & 1 for info in files)
    return Probe("application/zip", "encrypted" if encrypted else "archive")


def _is_locked(data: bytes, media_type: str) -> bool:
    if media_type.startswith(_OPEN):
        from engines.extraction.opendocument import is_locked
    elif media_type == "application/epub+zip":
        from engines.extraction.epub import is_locked
    else:
        return False
    from engines.extraction.packages import Package

    try:
        return is_locked(Package(data, media_type))
    except Permanent as error:
        return error.code == "document.encrypted"


def _of_archive(data: bytes, media_type: str) -> Probe:
    """A TAR, compressed or not; else the one file that was compressed."""
    try:
        with tarfile.open(fileobj=BytesIO(data), mode="r:*") as archive:
            archive.next()
    except MemoryError:
        raise
    except Exception:  # too deep a recursion among them: `members` tells
        return Probe(media_type, "unsupported" if media_type == "application/x-tar" else "archive")
    return Probe("application/x-tar", "archive")


# -- texts ------------------------------------------------------------------------------------------------------------


def _by_text(data: bytes, path: str) -> str:
    if not is_text(data):
        return "application/octet-stream"
    suffix = _SUFFIXES.get(PurePosixPath(path).suffix.lower())
    if _is_mail(data[:_SNIFFED]):
        return "message/rfc822"
    text = decode(data[:_SNIFFED])
    if _HTML.match(text) and not text.lstrip().startswith("<?xml"):
        return "text/html"
    return _of_markup(text, data) or _of_json(text, data) or suffix or _of_lines(text)


def _of_markup(text: str, data: bytes) -> str | None:
    """XML, if it says so or its last tag closes its first."""
    if not text.lstrip().startswith("<"):
        return None
    root = _XML_ROOT.match(text)
    if root is None:
        return None
    if not text.lstrip().startswith("<?xml"):
        end = decode(data[-200:].rstrip()) if not data.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
        if not end.rstrip().endswith(f"</{root[1] or ''}{root[2]}>"):
            return None
    if root[2].lower() == "html":
        return "text/html"
    if root[2] == "document" and "urn:oasis:names:tc:opendocument" in text:
        found = re.search(r'mimetype="([\w./-]{1,80})"', text)
        return found[1] if found and found[1] in WORDS else _OPEN + "text"
    return "image/svg+xml" if root[2] == "svg" else "application/xml"


def _of_json(text: str, data: bytes) -> str | None:
    """One value, or an object a line."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")) or len(data) > _MOST_JSON:
        return None
    try:
        json.loads(decode(data))
    except (ValueError, RecursionError):
        return "application/json" if _are_objects(text.splitlines()[:2]) else None
    return "application/json"


def _are_objects(lines: Iterable[str]) -> bool:
    try:
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return False
    return len(values) == 2 and all(isinstance(value, dict) for value in values)


def _of_lines(text: str) -> str:
    """A table, if its first lines have the same number of the same delimiter; else plain text."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if len(lines) > _TABLE_LINES and len(text) == _SNIFFED:
        lines.pop()  # which may be cut
    for delimiter in ("\t", ";", ","):
        counts = {line.count(delimiter) for line in lines}
        if len(lines) >= _TABLE_LINES and len(counts) == 1 and min(counts) >= (2 if delimiter == "," else 1):
            longest = max(len(cell) for line in lines for cell in line.split(delimiter))
            if longest <= _LONGEST_CELL:
                return "text/csv"
    return "text/plain"


def _is_mail(head: bytes) -> bool:
    """A block of header fields up to a blank line, among them a sender and something only mail has."""
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    lines = block.splitlines()
    if not lines or not all(line[:1] in (b" ", b"\t") or _MAIL_HEADER.match(line) for line in lines):
        return False
    fields = {field.lower() for field in _MAIL_HEADER.findall(block)}
    return b"from" in fields and bool(fields & {b"message-id", b"mime-version", b"received", b"date"})
