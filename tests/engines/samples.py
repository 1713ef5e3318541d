"""Files made by hand, so that a test shows what is in them."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def pdf(
    pages: Sequence[Sequence[str]], *, pictured: Sequence[int] = (), encrypted: bool = False, info: bytes = b""
) -> bytes:
    """A PDF with these lines on its pages; the pages numbered in `pictured` (from 1) also show a picture.

    `info`: its information dictionary.
    """
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    picture = 4 + 2 * len(pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, lines in enumerate(pages):
        shown = b"".join(
            f"BT /F1 12 Tf 72 {720 - 20 * row} Td ({line}) Tj ET\n".encode("cp1252") for row, line in enumerate(lines)
        )
        if i + 1 in pictured:
            shown += b"q 200 0 0 200 72 400 cm /P Do Q\n"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> /XObject << /P {picture} 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown))
    pixels = zlib.compress(bytes(range(64)) * 16)
    objects.append(
        b"<< /Type /XObject /Subtype /Image /Width 32 /Height 32 /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(pixels), pixels)
    )
    if info:
        objects.append(info)
    if encrypted:  # a key that no empty password opens
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"11" * 32 + b"> /U <" + b"22" * 32 + b"> >>")
    return _assembled(objects, encrypted=encrypted, informed=bool(info))


def _assembled(objects: Sequence[bytes], *, encrypted: bool, informed: bool) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    lock = b"/Encrypt %d 0 R /ID [<00><00>] " % len(objects) if encrypted else b""
    lock += b"/Info %d 0 R " % (len(objects) - encrypted) if informed else b""
    out.write(b"trailer\n<< /Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, lock, table))
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], *, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def docx(body: str, *, parts: Mapping[str, str] = MappingProxyType({}), background: str = "") -> bytes:
    """A Word file of this WordprocessingML body; see `heading` and `paragraph`.

    `parts`: what stands in `numbering`, `footnotes`, `endnotes`, `header` (rId5) and `core`, and more `styles`.
    """
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr></w:style>'
        for level in (1, 2, 3)
    )
    made = {
        "styles": _word_part("styles", styles + parts.get("styles", "")),
        "document": _word_part("document", f'<w:background w:color="{background or "auto"}"/><w:body>{body}</w:body>'),
        **{
            name: _word_part("hdr" if name == "header" else name, parts[name])
            for name in ("numbering", "footnotes", "endnotes", "header")
            if name in parts
        },
    }
    places = {"styles": 1, "numbering": 2, "footnotes": 3, "endnotes": 4, "header": 5}
    files = {
        "[Content_Types].xml": (
            f'<?xml version="1.0"?><Types xmlns="{_PACKAGE}/content-types">'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
        ),
        "_rels/.rels": _relations(
            {"rId1": ("officeDocument", "word/document.xml"), "rId2": ("core-properties", "core.xml")}
        ),
        "word/_rels/document.xml.rels": _relations(
            {f"rId{places[name]}": (name, f"{name}.xml") for name in made if name in places}
        ),
        "core.xml": (
            f'<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
            f"{parts.get('core', '')}</cp:coreProperties>"
        ),
        **{f"word/{name}.xml": content for name, content in made.items()},
    }
    return zipped({name: content.encode() for name, content in files.items()})


def _word_part(name: str, content: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><w:{name} xmlns:w="{_WORD}" xmlns:r="{_OFFICE}" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
        'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">'
        f"{content}</w:{name}>"
    )


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    entries = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{_PACKAGE}/relationships">{entries}</Relationships>'


def heading(level: int, text: str) -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'


def paragraph(text: str) -> str:
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


MAIL = """\
From: Radka Zemanova <radka@velmora.example>
To: nele@brennlund.example
Subject: =?utf-8?q?Lieferplan_f=C3=BCr_VS-55?=
Date: Mon, 3 Nov 2025 09:12:00 +0100
Message-ID: <1@velmora.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="x"

--x
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

Der Plan liegt bei. Grüße

--x
Content-Type: text/csv; name="plan.csv"
Content-Disposition: attachment; filename="../b/plan.csv"
Content-Transfer-Encoding: base64

bG90LHBpZWNlcwpWUzU1LDEyMAo=
--x
Content-Type: text/csv; name="plan.csv"
Content-Disposition: attachment; filename="plan.csv"

a,b
--x--
""".encode()
