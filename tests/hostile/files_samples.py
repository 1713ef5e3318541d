"""Real files, one or more of each format: what is cut, and what is changed at random."""

import bz2
import functools
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from tests.engines import samples as made
from tests.engines.formats.written import outlook

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
LIBREOFFICE: Final = Path(__file__).parents[1] / "engines/formats/files"
"""What LibreOffice wrote."""
_TAKEN: Final = (
    "Geschäftsbericht 2025.pdf",
    "betriebsvereinbarung-mobiles-arbeiten.docx",
    "price-list-2026.xlsx",
    "product-roadmap-2026.pptx",
    "travel-policy.html",
    "mail/supplier-seal-batches.eml",
    "supplier-audit-velmora.zip",
    "service/incident-report-2025-031.md",
    "service/on-call-handbook.txt",
)
_TEXT: Final = "Gr\u00f6\u00dfe und Menge stehen in der Liste. The seals of batch 7 are to be replaced. "
_FONT: Final = '{"id": 1, "name": "Dichtung", "tags": ["a", "b"], "price": 12.5, "parts": [{"id": 2}, {"id": 3}]}'

SIGNATURES: Final[dict[str, bytes]] = {
    "a.pdf": b"%PDF-1.7\n",
    "a.zip": b"PK\x03\x04",
    "empty.zip": b"PK\x05\x06",
    "a.rtf": b"{\\rtf1",
    "a.msg": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "a.png": b"\x89PNG\r\n\x1a\n",
    "a.jpg": b"\xff\xd8\xff\xe0",
    "a.gif": b"GIF89a",
    "little.tiff": b"II*\0",
    "big.tiff": b"MM\0*",
    "bigtiff.tiff": b"II+\0\x08\0\0\0",
    "a.bmp": b"BM",
    "a.webp": b"RIFF\0\0\1\0WEBPVP8 ",
    "lossless.webp": b"RIFF\0\0\1\0WEBPVP8L",
    "extended.webp": b"RIFF\0\0\1\0WEBPVP8X",
    "a.gz": b"\x1f\x8b\x08\0",
    "a.bz2": b"BZh9",
    "block.bz2": b"BZh91AY&SY",
    "a.xz": b"\xfd7zXZ\0",
    "a.7z": b"7z\xbc\xaf\x27\x1c",
    "a.rar": b"Rar!\x1a\x07\x01\0",
    "a.tar": bytes(257) + b"ustar\x0000",
    "a.xml": b"<?xml version='1.0'?>",
    "a.html": b"<!DOCTYPE html>",
    "a.eml": b"From: a@b.example\nDate: Fri, 02 Jan 2026 03:04:05 +0000\n\n",
    "utf-16.txt": b"\xff\xfe",
    "utf-16-be.txt": b"\xfe\xff",
    "utf-32.txt": b"\xff\xfe\0\0",
    "utf-8.txt": b"\xef\xbb\xbf",
    "utf-7.txt": b"+/v8",
    "a.json": b"{",
    "a.ps": b"%!PS-Adobe-3.0\n",
    "a.elf": b"\x7fELF\x02\x01\x01",
    "a.exe": b"MZ",
    "a.mp4": b"\0\0\0\x18ftypmp42",
    "a.heic": b"\0\0\0\x18ftypheic",
    "a.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a.zst": b"\x28\xb5\x2f\xfd",
    "a.wasm": b"\0asm\1\0\0\0",
    "a.class": b"\xca\xfe\xba\xbe",
    "a.sqlite": b"SQLite format 3\0",
}


@functools.cache
def samples() -> dict[str, bytes]:
    """By name. The same bytes on any machine but for the pictures, which Pillow's release decides."""
    taken = {Path(name).name: (EXAMPLES / name).read_bytes() for name in _TAKEN}
    written = {path.name: path.read_bytes() for path in sorted(LIBREOFFICE.iterdir())}
    page = made.pdf([[_TEXT[:60]] * 3, []], pictured=[2])
    single = {"scan-and-text.pdf": page, "mail.msg": outlook()}
    return taken | written | _pictures() | _texts() | _compressed() | single


def _pictures() -> dict[str, bytes]:
    sheet = Image.new("RGB", (320, 120), "white")
    draw = ImageDraw.Draw(sheet)
    for line in range(5):
        draw.text((10, 10 + 20 * line), "Dichtung VS-55, 12.50 EUR", fill="black")
    noise = random.Random(1)
    for _ in range(300):
        sheet.putpixel((noise.randrange(320), noise.randrange(120)), (90, 90, 90))
    found = {}
    for format_, name in {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "GIF": "gif"}.items():
        out = io.BytesIO()
        sheet.save(out, format_)
        found[f"scan.{name}"] = out.getvalue()
    out = io.BytesIO()
    sheet.save(out, "TIFF", save_all=True, append_images=[sheet.rotate(90, expand=True)], compression="tiff_lzw")
    return found | {"scan.tiff": out.getvalue()}


def deflated(files: Mapping[str, bytes]) -> bytes:
    """A ZIP whose members are packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def epub(body: str, *, before: str = "") -> bytes:
    """A book of one chapter."""
    container = (
        '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="a.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>T</dc:title><dc:identifier id="i">1'
        '</dc:identifier><dc:language>de</dc:language></metadata><manifest><item id="a" href="a.xhtml" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    chapter = f'<?xml version="1.0"?>{before}<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    parts = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "a.opf": package}
    return deflated({name: part.encode() for name, part in {**parts, "a.xhtml": chapter}.items()})


def _texts() -> dict[str, bytes]:
    return {
        "list.csv": b"id;name;price\n" + b"1;Dichtung;12,50\n" * 40,
        "list.json": (f"[{', '.join([_FONT] * 10)}]").encode(),
        "list.xml": (
            "<?xml version='1.0'?><list>" + f"<item id='1'><name>{_TEXT}</name></item>" * 10 + "</list>"
        ).encode(),
        "utf-16.txt": (_TEXT * 10).encode("utf-16"),
        "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>Dichtung</text></svg>',
    }


def _compressed() -> dict[str, bytes]:
    files = {"a.txt": _TEXT.encode() * 20, "deep/b.csv": b"1;2\n" * 50}
    return {
        "files.tar": made.tarred(files),
        "files.tar.gz": gzip.compress(made.tarred(files), mtime=0),
        "files.tar.xz": lzma.compress(made.tarred(files)),
        "note.txt.gz": gzip.compress(_TEXT.encode() * 20, mtime=0),
        "note.txt.bz2": bz2.compress(_TEXT.encode() * 20),
    }
