"""Every file of the corpus: what it is called, how it is made, and what it says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.engines.formats import flat, written
from tests.engines.formats.truth import MANUAL, PRICES, SLIDES, Truth

FILES: Final = Path(__file__).parent / "files"
PRINTED: Final = Path(__file__).parent / "printed"


@dataclass(frozen=True)
class Sample:
    format: str
    maker: str
    name: str
    """What the file is called; its type must not be told by it."""
    make: Callable[[], bytes]
    truth: Truth


def _office(format_: str, name: str, truth: Truth) -> Sample:
    return Sample(format_, "LibreOffice", name, (FILES / name).read_bytes, truth)


_TITLED: Final = Truth(sentences=MANUAL.sentences, headings=MANUAL.headings, tables=MANUAL.tables, title=MANUAL.title)
_MARKED: Final = Truth(
    sentences=MANUAL.sentences, headings=MANUAL.headings, items=MANUAL.items, tables=MANUAL.tables, title=MANUAL.title
)

_PRINTED: Final = replace(MANUAL, hidden=MANUAL.hidden[:2], pages=(MANUAL.title or "", MANUAL.headings[-1][1]))
"""What is not printed is in no PDF."""
_ON_PAPER: Final = replace(_PRINTED, date=None)
"""LibreOffice writes the day on which it was printed."""

SAMPLES: Final[Sequence[Sample]] = (
    Sample("PDF", "LibreOffice", "manual.pdf", (PRINTED / "manual.pdf").read_bytes, _ON_PAPER),
    Sample("PDF", "typst, two columns", "typeset.pdf", written.typeset, _PRINTED),
    Sample("DOCX", "code, as Word", "word.docx", written.word, MANUAL),
    _office("DOCX", "manual.docx", MANUAL),
    _office("ODT", "manual.odt", MANUAL),
    Sample("ODT, flat", "code", "manual.fodt", flat.manual, MANUAL),
    _office("RTF", "manual.rtf", MANUAL),
    Sample("HTML", "code", "manual.html", written.page, MANUAL),
    _office("HTML", "manual.html", MANUAL),
    Sample("EPUB", "code", "manual.epub", written.book, MANUAL),
    _office("EPUB", "manual.epub", MANUAL),
    _office("XLSX", "prices.xlsx", PRICES),
    _office("ODS", "prices.ods", PRICES),
    _office("PPTX", "slides.pptx", SLIDES),
    _office("ODP", "slides.odp", SLIDES),
    Sample("Markdown", "code", "manual.md", written.markdown, _MARKED),
    Sample("XML, a text", "code", "manual.xml", written.article, _TITLED),
    Sample("XML, data", "code", "stock.xml", written.data_xml, written.STOCK_XML),
    Sample("JSON", "code", "stock.json", written.data_json, written.STOCK),
    Sample("CSV", "code", "prices.csv", written.values, written.VALUES),
    Sample("EML", "code", "mail.eml", written.mail, written.MAIL),
    Sample("MSG", "code", "mail.msg", written.outlook, written.OUTLOOK),
    *(
        Sample("Plain text", encoding, f"{encoding}.txt", partial(written.plain, encoding), written.PLAIN)
        for encoding in ("utf-8", "utf-16", "utf-32", "utf-16-le", "cp1252", "iso8859-15", "mac-roman", "cp850")
    ),
)
