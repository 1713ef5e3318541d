"""Files made by hand, so that a test shows what is in them."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence

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


def docx(body: str) -> bytes:
    """A Word file of this WordprocessingML body; see `heading` and `paragraph`."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr></w:style>'
        for level in (1, 2, 3)
    )
    return zipped(
        {
            "[Content_Types].xml": (
                b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                b'<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
                b'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>'
                b'<Override PartName="/word/styles.xml" '
                b'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/></Types>'
            ),
            "_rels/.rels": (
                b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
                b'relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
                b'relationships/officeDocument" Target="word/document.xml"/></Relationships>'
            ),
            "word/_rels/document.xml.rels": (
                b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
                b'relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
                b'relationships/styles" Target="styles.xml"/></Relationships>'
            ),
            "word/styles.xml": f'<?xml version="1.0"?><w:styles xmlns:w="{word}">{styles}</w:styles>'.encode(),
            "word/document.xml": (
                f'<?xml version="1.0" encoding="UTF-8"?>'
                f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>'
            ).encode(),
        }
    )


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
