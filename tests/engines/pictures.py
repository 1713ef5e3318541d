"""Pictures of pages whose text is known: typeset with the fonts that typst carries, drawn, turned, spoilt."""

from functools import cache

import numpy as np
from PIL import Image

from engines.extraction import PageImage

GERMAN = (
    "Die Wärmepumpe läuft im Grundlastbetrieb ungefähr 8000 Stunden jährlich. Vor jeder Prüfung muss der Netzschalter "
    "größtmöglich gesichert sein, sonst droht Überhitzung. Öffnen darf das Gehäuse nur, wer unterwiesen ist."
)
ENGLISH = (
    "The machine may be started only by people who have read this page. Every valve is opened slowly, one after the "
    "other, and the pressure is noted before the pump is switched on. Call the hotline if anything looks wrong."
)
TABLE = (("Kennzahl", "2025", "2024"), ("Umsatz", "86,4", "78,9"), ("Gewinn", "6,9", "5,8"), ("Personal", "412", "388"))


@cache
def page(
    text: str = GERMAN, *, columns: int = 1, width: int = 110, height: int = 70, dpi: int = 200, number: int = 1
) -> PageImage:
    """A page of this many millimetres: paragraphs of typst's markup in Libertinus Serif, 11 points."""
    import pypdfium2
    import typst

    justified = "true" if columns > 1 else "false"
    pdf = typst.compile(
        f"""
#set page(width: {width}mm, height: {height}mm, margin: 8mm, columns: {columns})
#set text(font: "Libertinus Serif", size: 11pt, lang: "de", hyphenate: {justified})
#set par(justify: {justified})
{text}
""".encode()
    )
    with pypdfium2.PdfDocument(bytes(pdf)) as document:
        return picture(document[0].render(scale=dpi / 72).to_pil().convert("RGB"), dpi=dpi, number=number)


def picture(image: Image.Image, *, dpi: int = 200, number: int = 1) -> PageImage:
    return PageImage(number, image.width, image.height, image.tobytes(), dpi)


def image(given: PageImage) -> Image.Image:
    return Image.frombytes("RGB", (given.width, given.height), given.pixels)


def turned(given: PageImage, degrees: int) -> PageImage:
    """Turned clockwise by quarters."""
    return picture(image(given).rotate(-degrees, expand=True), dpi=given.dpi, number=given.number)


def skewed(given: PageImage, degrees: float) -> PageImage:
    """Turned clockwise, its size kept."""
    tilted = image(given).rotate(-degrees, Image.Resampling.BICUBIC, fillcolor="white")
    return picture(tilted, dpi=given.dpi, number=given.number)


def noisy(given: PageImage, deviation: float) -> PageImage:
    """With grain, the same on every run."""
    pixels = np.frombuffer(given.pixels, np.uint8).reshape(given.height, given.width, 3)
    grain = np.random.default_rng(7).normal(0, deviation, (given.height, given.width, 1))
    return picture(Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)), dpi=given.dpi)


def blank(width: int = 400, height: int = 300, colour: str = "white") -> PageImage:
    return picture(Image.new("RGB", (width, height), colour))


def table() -> str:
    """TABLE in typst's markup."""
    cells = ", ".join(f"[{cell}]" for row in TABLE for cell in row)
    return f"#table(columns: 3, stroke: 0.5pt, inset: 6pt, {cells})"
