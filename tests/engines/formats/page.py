"""docs/formats.md: made by reading the corpus. `python -m tests.engines.formats [--check]`."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from engines.extraction import Extracted, extract, kinds, probe
from engines.extraction.dates import first_day
from engines.extraction.reading import Reading, compose
from engines.extraction.text import markdown
from schemas.errors import Permanent
from tests.engines.formats import contained, pictured
from tests.engines.formats.contained import Container
from tests.engines.formats.corpus import SAMPLES, Sample
from tests.engines.formats.pictured import Picture
from tests.engines.formats.scores import SCORES

PAGE: Final = Path(__file__).parents[3] / "docs" / "formats.md"
HEAD: Final = """\
# Formats

<!-- Written by `python -m tests.engines.formats` from reading the corpus in tests/engines/formats. -->

A file's type is told by its content. Its name decides only between formats that are all plain text (`.md`, `.csv`,
`.html`). Each is read in a sandbox (docs/sandbox.md); macros, scripts and links are never followed, external entities
never fetched, formulas never worked out.

Headings keep their level, lists their numbers and depth, tables their rows and columns as Markdown. A footnote
follows the paragraph that calls for it as `[1]`; a PDF's follows its page, as `[^1]`. A page's header and footer stand
once, before and after the text; a PDF's are left out. Columns are read one after the other, and words that were cut at
a line's end are whole. What a reader of the document does not see (white on white, type under two points, hidden text,
rows, sheets and slides, what lies off the page) is kept and marked `hidden` in its chunk. The language is told of each
document by its first 20,000 characters.

## What is kept

Files whose content is known are read and scored. `all` is 1.00 of it; a dash means that the format, or this file, has
no such thing. Words, cells and list lines are scored as F1; sentences are whole and in order; `hidden` also counts what
only looks hidden and must not be marked.

"""
PICTURES: Final = """
### Pictures

Of pictures, and of a PDF's pages without text of their own, what is kept is text by recognition, with boxes and
confidence (docs/scans.md); docs/quality.md shows how much of it is right. Shown here is how whole each page reaches
recognition: `whole and upright` is as light and dark as it was, but for what nobody sees.

"""
CONTAINERS: Final = """
### Archives and mail

Each file within is a document of its own, called `archive.zip!/folder/file`; what was merely compressed is called as it
was before. Archives nest up to 8 deep; docs/ingest.md has the other limits. `bytes` is F1 of files by their content:
folders, links and pictures that are part of a mail's text are no documents, and must not come. A mail within a mail is
written anew, so its bytes are others. `types` are those told of the files by their content.

"""
BESIDE: Final = """
## Beside kreuzberg

The same files through kreuzberg 4.10.4 alone, as Markdown. It marks nothing hidden, and it still tells the languages.

"""
LOST: Final = """
## What is lost

| format | lost |
| --- | --- |
| all | pictures within documents, their alternative text, and what is written in them; typefaces and colours; links' \
targets |
| PDF | headers, footers and page numbers that come again; what was hidden before it was printed; entries in forms; \
comments; attached files. Text that something drawn later covers is not called hidden. What is a heading, a list or \
a table is told by how it looks |
| pictures | pixels beyond 26 million a page, by making it smaller; all but the first of an animation; \
what recognition does not read. More than 60 million pixels a page, or 2,000 pages, are refused |
| archives | links, devices, empty folders; hidden files (`.` or `_` first); owners, rights and times; `..` in \
a name, and of two files of one name the second is called `2-name`. Members with a password, damaged or larger than \
96 MiB are dead letters, and their neighbours are kept |
| Word, OpenDocument text, RTF | comments; deleted text that is tracked; pages, which are made only \
when it is shown; all but the last result of a field |
| Excel, OpenDocument spreadsheet | comments; formulas, whose results are kept; colours by rule; thousands are not \
parted, days are written as 2026-01-31 |
| PowerPoint, OpenDocument presentation | animation; comments; where a shape without a place of its own lies. \
White text over a picture or another shape is not called hidden |
| HTML | navigation, forms, frames and what scripts would add; styles in files of their own. Selectors of more \
than one element are not followed |
| EPUB | its contents page; page numbers. LibreOffice writes neither headings nor lists into it |
| mail (EML, MSG) | header lines other than subject, sender, receivers and day; pictures shown in the text. \
A mail within is written anew: in EML with other line ends, in MSG, which has no file of it, from its parts |
| MSG | what only the RTF body has, where there is another |
| JSON, XML data | nothing but the order of unlike things; names become labels, a list of things alike a table |
| plain text | what an encoding without a mark does not tell: it is guessed, and Windows-1252 where nothing speaks for \
another |

## What is refused

By name, with a reason that a person understands (`document.type`, `document.encrypted`): """


def page() -> str:
    beside = [sample for sample in SAMPLES if sample.format in _READ_BY_KREUZBERG]
    return "".join(
        (
            HEAD,
            _table(("format", "made by", *SCORES), [_line(sample, _ours) for sample in SAMPLES]),
            PICTURES,
            _table(("format", "holds", *pictured.SCORES), map(_picture, pictured.PICTURES)),
            CONTAINERS,
            _table(("format", "holds", *contained.SCORES), map(_container, contained.CONTAINERS)),
            BESIDE,
            _table(("format", "made by", *SCORES), [_line(sample, _kreuzberg) for sample in beside]),
            LOST + ", ".join(_refused()) + ".\n",
        )
    )


def main(arguments: Sequence[str]) -> int:
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != wanted:
        print("docs/formats.md is not current: run `python -m tests.engines.formats`.", file=sys.stderr)
        return 1
    return 0


def _refused() -> list[str]:
    from engines.extraction import CONTAINERS, READERS

    taken = {*READERS, *CONTAINERS, *_PICTURES, "application/octet-stream"}
    return [words.removeprefix("a ").removeprefix("an ") for kind, words in kinds.WORDS.items() if kind not in taken]


# -- a table ----------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def _line(sample: Sample, read: Callable[[Sample], Extracted]) -> Sequence[str]:
    found = read(sample)
    return [sample.format, sample.maker, *(_shown(score(found, sample.truth)) for score in SCORES.values())]


def _picture(picture: Picture) -> Sequence[str]:
    got = pictured.reaching(picture)
    return [picture.format, picture.holds, *(_shown(score(got, picture)) for score in pictured.SCORES.values())]


def _container(container: Container) -> Sequence[str]:
    got = contained.documents(container)
    return [container.format, container.holds, *(_shown(score(got, container)) for score in contained.SCORES.values())]


def _shown(score: float | None) -> str:
    return "-" if score is None else "all" if score == 1 else "none" if score == 0 else f"{score:.2f}"


# -- readers ----------------------------------------------------------------------------------------------------------

_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/tiff", "image/bmp", "image/webp")
_READ_BY_KREUZBERG: Final = frozenset(
    ("PDF", "DOCX", "ODT", "RTF", "HTML", "EPUB", "XLSX", "ODS", "PPTX", "Markdown", "XML, a text", "XML, data", "JSON",
     "CSV", "EML", "MSG")
)  # fmt: skip


def _ours(sample: Sample) -> Extracted:
    data = sample.make()
    return extract(data, probe(data, sample.name).media_type)


def _kreuzberg(sample: Sample) -> Extracted:
    import kreuzberg

    data = sample.make()
    media_type = _NAMES_FOR_KREUZBERG.get(sample.format) or probe(data, sample.name).media_type
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="markdown",
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        content_filter=kreuzberg.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False
        ),
    )
    try:
        result: Any = kreuzberg.extract_bytes_sync(data, media_type, config=config)
        said = result.metadata
        day = first_day(said.get("modified_at"), said.get("created_at"))
        return compose(Reading([markdown(result.content)], title=said.get("title"), date=day))
    except (kreuzberg.KreuzbergError, Permanent):
        return Extracted("")


_NAMES_FOR_KREUZBERG: Final = {"MSG": "application/vnd.ms-outlook", "XML, a text": "application/xml"}
