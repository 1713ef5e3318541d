"""PDFs made for tests: by hand, where a test is about what PDF itself says, and by typst, where it is about layout."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """`drawn` is a content stream, in which /F1 is Helvetica, /F2 its bold, /F3 a font without a unicode map and /P a
    gray picture."""

    drawn: str
    box: tuple[float, float, float, float] = (0, 0, 595, 842)
    rotation: int = 0
    extra: str = ""


def made(pages: Sequence[Page], *, picture: tuple[int, int] = (32, 32)) -> bytes:
    objects: list[bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (8 + 2 * number) for number in range(len(pages))), len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        _font_of_shapes(),
        _stream(b"0 0 500 500 re f", b"/Type /Glyph"),
        _picture(*picture),
    ]
    for number, page in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{' '.join(map(str, page.box))}] /Rotate {page.rotation} "
            f"/Contents {9 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R /F2 4 0 R /F3 5 0 R >> "
            f"/XObject << /P 7 0 R >> >> {page.extra} >>".encode()
        )
        objects.append(_stream(page.drawn.encode("cp1252"), b""))
    return _file(objects)


def text(line: str, x: float = 72, y: float = 700, *, size: float = 11, font: str = "F1", before: str = "") -> str:
    escaped = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"q {before} BT /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET Q\n"


def lines(texts: Sequence[str], x: float = 72, y: float = 700, *, pitch: float = 13.5, size: float = 11) -> str:
    return "".join(text(line, x, y - pitch * number, size=size) for number, line in enumerate(texts))


PICTURE = "q 595 0 0 842 0 0 cm /P Do Q\n"
"""The whole page."""


def typeset(source: str) -> bytes:
    import typst

    return bytes(typst.compile(source.encode()))


def _font_of_shapes() -> bytes:
    """A Type 3 font whose glyphs have names that mean nothing."""
    codes = range(33, 127)
    names = " ".join(f"/g{code}" for code in codes)
    shapes = " ".join(f"/g{code} 6 0 R" for code in codes)
    widths = " ".join(["600"] * len(codes))
    return (
        f"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 600 600] /FontMatrix [0.001 0 0 0.001 0 0] "
        f"/CharProcs << {shapes} >> /Encoding << /Type /Encoding /Differences [33 {names}] >> "
        f"/FirstChar 33 /LastChar 126 /Widths [{widths}] /Resources << >> >>"
    ).encode()


def _picture(width: int, height: int) -> bytes:
    pixels = zlib.compress(bytes(width) * height)
    return _stream(
        pixels,
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode" % (width, height),
    )


def _stream(content: bytes, entries: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(content), content)


def _file(objects: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()
