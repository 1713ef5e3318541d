"""What each reader makes of the corpus, scored against the text that it was made from."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from statistics import fmean
from typing import Final

from benchmarks.quality import corpus, readers
from benchmarks.quality.corpus import BOOK, LAYOUTS, SCANS, Layout, Scan, Source
from benchmarks.quality.scores import character_error_rate, reading_order_errors, table_cell_f1, tables_in, word_f1

PAGES: Final = {"en": (4, 12), "de": (1, 11)}
"""Of each language's text, from 0: one with a table, one with prose. The costly measurements take these alone."""
OFFICE: Final = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "odt": "application/vnd.oasis.opendocument.text",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
}


@dataclass(frozen=True, slots=True)
class Score:
    """Of one document."""

    characters: float
    """Character error rate."""
    words: float
    """Word F1."""
    cells: float | None
    """Table cell F1; None where the document has no table."""
    order: float
    """Reading order errors (`scores.reading_order_errors`)."""
    seconds: float
    """Of processor time."""


@dataclass(frozen=True, slots=True)
class Line:
    """Of the table: a reader over a kind of document, the mean over its documents."""

    reader: str
    language: str
    kind: str
    scores: tuple[Score, ...]
    bar: float | None = None
    """Word F1 that it has to reach."""

    def mean(self, of: str) -> float | None:
        values = [value for score in self.scores if (value := getattr(score, of)) is not None]
        return fmean(values) if values else None

    @property
    def met(self) -> bool:
        return self.bar is None or (self.mean("words") or 0) >= self.bar


def sheets(language: str, layout: Layout, numbers: Sequence[int] | None = None) -> list[Source]:
    """What fills one page of that layout, each: the sources of those numbers, or PAGES."""
    pages = corpus.sources(language)
    chosen = PAGES[language] if numbers is None else numbers
    if layout.columns == 1:
        return [pages[number] for number in chosen]
    return [pages[number].followed_by(pages[number + 1]) for number in chosen]


def score(source: Source, found: str, seconds: float) -> Score:
    return Score(
        characters=character_error_rate(source.text, found),
        words=word_f1(source.text, found),
        cells=table_cell_f1(source.tables, tables_in(found)) if source.tables else None,
        order=reading_order_errors(source.text, found),
        seconds=seconds,
    )


# -- the three tables -------------------------------------------------------------------------------------------------


def of_engines(names: tuple[str, ...] = readers.ENGINES) -> Iterator[Line]:
    """Every engine on the same pictures."""
    for name in names:
        engine = readers.engine(name)
        for language in corpus.FILES:
            for scan in SCANS:
                scores = []
                for layout in LAYOUTS:
                    for source in sheets(language, layout):
                        page = corpus.drawn(corpus.typeset([source], layout), scan)
                        start = _spent()
                        found = readers.recognised(engine, page)
                        scores.append(score(source, found, _spent() - start))
                yield Line(name, language, scan.name, tuple(scores), _bar(language, scan))


def _bar(language: str, scan: Scan) -> float:
    if scan.dpi < 300:
        return 0.90
    return 0.97 if language == "en" else 0.95


def _spent() -> float:
    """Seconds of processor time, of this process and of the programs it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def of_pdfs() -> Iterator[Line]:
    """Every reader on the same PDFs, of typst and of LibreOffice."""
    made: dict[tuple[str, str], list[tuple[Source, bytes]]] = {}
    for language in corpus.FILES:
        for layout in LAYOUTS:
            every = range(0, len(corpus.sources(language)), layout.columns)
            made[language, f"typst, {layout.name}"] = [
                (source, corpus.typeset([source], layout)) for source in sheets(language, layout, every)
            ]
        whole = reduce(Source.followed_by, corpus.sources(language))
        made[language, f"typst, {BOOK.name}"] = [(whole, corpus.typeset([whole], BOOK))]
        if corpus.has_libreoffice():
            made[language, "LibreOffice"] = [
                (source, _converted(corpus.as_html(source), "pdf:writer_pdf_Export"))
                for source in sheets(language, LAYOUTS[0])
            ]
    for name, read in readers.OF_PDF.items():
        for (language, kind), documents in made.items():
            yield Line(name, language, kind, _scores(read, documents), 0.99 if name == "cradle" else None)


def of_formats() -> Iterator[Line]:
    """Our extraction on the same text in every format that can be made here."""
    for language in corpus.FILES:
        pages = sheets(language, LAYOUTS[0])
        plain = [(source, corpus.as_html(source)) for source in pages]
        yield Line("cradle", language, "html", _scores(readers.ours("text/html"), plain), 0.99)
        if not corpus.has_libreoffice():
            continue
        for suffix, media_type in OFFICE.items():
            documents = [(source, _converted(data, suffix)) for source, data in plain]
            yield Line("cradle", language, suffix, _scores(readers.ours(media_type), documents), 0.99)


def _converted(data: bytes, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return corpus.converted(data, suffix, Path(folder))


def _scores(read: readers.Reader, documents: list[tuple[Source, bytes]]) -> tuple[Score, ...]:
    found = []
    for source, data in documents:
        start = _spent()
        text = read(data)
        found.append(score(source, text, _spent() - start))
    return tuple(found)
