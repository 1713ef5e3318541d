"""Documents whose text is known, because they are made from it: sources, typeset pages, and pictures of these.

A source is a page of the examples' own texts, English or German. typst typesets it, in a font, in one column or two,
with hyphenation; LibreOffice makes office formats and another PDF of it. A typeset page is drawn at a resolution and
then spoilt as a scanner would: turned, skewed, blurred, noisy, compressed. All of it is the same on every run.
"""

import html
import io
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from engines.extraction import PageImage

SOURCES: Final = Path(__file__).parents[2] / "examples" / "_source"
FILES: Final = {"en": "tk-480-technical-manual.md", "de": "geschaeftsbericht-2025.md"}
_PAGE: Final = "<!-- page -->"
_HEADING: Final = re.compile(r"(#{1,6}) (.+)")
SEED: Final = 20_260_131


# -- sources ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Grid


@dataclass(frozen=True, slots=True)
class Source:
    """A page of a text, as its author wrote it."""

    language: str
    blocks: tuple[Block, ...]

    def followed_by(self, other: "Source") -> "Source":
        return Source(self.language, self.blocks + other.blocks)

    @property
    def text(self) -> str:
        """In reading order, a line a block; a table's cells row by row."""
        return "\n".join(_words_of(block) for block in self.blocks)

    @property
    def tables(self) -> list[list[list[str]]]:
        return [[list(row) for row in block.rows] for block in self.blocks if isinstance(block, Grid)]


def _words_of(block: Block) -> str:
    return " ".join(" ".join(row) for row in block.rows) if isinstance(block, Grid) else block.text


def sources(language: str) -> list[Source]:
    """The pages of the language's text, in order."""
    whole = (SOURCES / FILES[language]).read_text("utf-8")
    return [Source(language, tuple(_blocks(page))) for page in whole.split(_PAGE)]


def _blocks(page: str) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in line.strip().strip("|").split("|")))
            continue
        if rows:
            yield Grid(tuple(rows))
            rows = []
        if heading := _HEADING.fullmatch(line):
            yield Heading(len(heading[1]), heading[2])
        elif line.strip():
            yield Paragraph(line.strip())


# -- typeset ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    font: str
    columns: int = 1
    points: float = 10.5
    justified: bool = False
    running: str = ""
    """A head that runs over every page, and the page's number at its foot. It is no part of the text."""


LAYOUTS: Final = (
    Layout("one column, serif", "Libertinus Serif"),
    Layout("one column, sans", "DejaVu Sans", points=9.5),
    Layout("two columns, hyphenated", "Liberation Serif", columns=2, points=9.5, justified=True),
)
"""Their fonts come with typst, or with Debian's fonts-dejavu and fonts-liberation."""
BOOK: Final = Layout(
    "whole text, two columns, running heads", "Libertinus Serif", columns=2, justified=True, running="Brennlund Thermik"
)


def typeset(pages: Sequence[Source], layout: Layout) -> bytes:
    """A PDF of these sources, each from a new page on."""
    import typst

    justify = "true" if layout.justified else "false"
    running = f', header: [{layout.running} #h(1fr) {pages[0].language}], numbering: "1 / 1"' if layout.running else ""
    head = f"""
#set page(paper: "a4", margin: 22mm, columns: {layout.columns}{running})
#set text(font: "{layout.font}", size: {layout.points}pt, lang: "{pages[0].language}", hyphenate: {justify})
#set par(justify: {justify}, leading: 0.62em)
#set table(stroke: 0.5pt, inset: 5pt)
"""
    body = "\n#pagebreak()\n".join("\n\n".join(_typst(block, layout) for block in page.blocks) for page in pages)
    return bytes(typst.compile((head + body).encode()))


def _typst(block: Block, layout: Layout) -> str:
    match block:
        case Heading(level, text):
            return f"#heading(level: {level})[{_escaped(text)}]"
        case Paragraph(text):
            return _escaped(text)
        case Grid(rows):
            cells = ",\n".join(f"[{_escaped(cell)}]" for row in rows for cell in row)
            columns = ", ".join(["auto"] * len(rows[0]))
            return f"#table(columns: ({columns}),\n{cells})"


def _escaped(text: str) -> str:
    """Each character stands for itself: no markup, no ligature of dashes, no smart quotes."""
    return f"#{_string(text)}"


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- office formats ---------------------------------------------------------------------------------------------------


def as_html(page: Source) -> bytes:
    return (
        f"<!doctype html><html lang='{page.language}'><head><meta charset='utf-8'><title>-</title></head><body>"
        + "\n".join(map(_html, page.blocks))
        + "</body></html>"
    ).encode()


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Grid(rows):
            lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
            return "<table border='1'>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def has_libreoffice() -> bool:
    return shutil.which("soffice") is not None


def converted(data: bytes, suffix: str, folder: Path, *, source: str = "html") -> bytes:
    """The document in another format, by LibreOffice, which works in `folder`."""
    given = folder / f"document.{source}"
    given.write_bytes(data)
    reader = ["--infilter=HTML (StarWriter)"] if source == "html" else []
    subprocess.run(
        ["soffice", "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}", *reader,
         "--convert-to", suffix, "--outdir", str(folder), str(given)],
        check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    return (folder / f"document.{suffix.partition(':')[0]}").read_bytes()


# -- pictures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scan:
    """How a page comes out of the scanner."""

    name: str
    dpi: int = 300
    skew: float = 0.0
    """Degrees, counterclockwise."""
    turn: int = 0
    """Degrees, counterclockwise: 0, 90, 180 or 270."""
    noise: float = 0.0
    """Standard deviation of the brightness, of 255."""
    blur: float = 0.0
    """Radius in pixels."""
    jpeg: int | None = None
    """Quality it is compressed with."""


SCANS: Final = (
    Scan("300 dpi"),
    Scan("300 dpi, skewed 1.3°", skew=1.3),
    Scan("300 dpi, on its side", turn=90),
    Scan("150 dpi, noise", dpi=150, noise=14, blur=0.4, jpeg=60),
)


def drawn(pdf: bytes, scan: Scan, *, page: int = 0) -> PageImage:
    """The picture that a scanner would make of the PDF's page (from 0)."""
    import pypdfium2

    with pypdfium2.PdfDocument(pdf) as document:
        picture = document[page].render(scale=scan.dpi / 72).to_pil().convert("RGB")
    return spoilt(picture, scan, number=page + 1)


def spoilt(picture: Image.Image, scan: Scan, *, number: int = 1) -> PageImage:
    if scan.skew:
        picture = picture.rotate(scan.skew, Image.Resampling.BICUBIC, fillcolor="white")
    if scan.turn:
        picture = picture.rotate(scan.turn, expand=True)
    if scan.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(scan.blur))
    if scan.noise:
        grain = np.random.default_rng(SEED).normal(0, scan.noise, (picture.height, picture.width, 1))
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    if scan.jpeg:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=scan.jpeg)
        picture = Image.open(file).convert("RGB")
    return PageImage(number, picture.width, picture.height, picture.tobytes(), scan.dpi)
