"""Each format gives back what the corpus's documents say; docs/formats.md shows how much."""

from collections.abc import Mapping
from typing import Final

import pytest

from engines.extraction import Extracted, extract, probe
from engines.extraction.reading import clean
from tests.engines.formats import contained, pictured
from tests.engines.formats.contained import CONTAINERS, Container
from tests.engines.formats.corpus import SAMPLES, Sample
from tests.engines.formats.page import main
from tests.engines.formats.pictured import PICTURES, Picture
from tests.engines.formats.scores import SCORES

LOST: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    ("EPUB", "LibreOffice"): {"words": 0.95, "headings": 0, "lists": 0, "header": 0},  # it writes none of these
    ("PDF", "LibreOffice"): {"words": 0.97, "header": 0},  # of a PDF what comes again on each page is left out
    ("PDF", "typst, two columns"): {"words": 0.97, "header": 0},
    ("HTML", "LibreOffice"): {"words": 0.98},  # a page's number, which it writes as text
}
"""The least that is expected where it is not everything."""


LOST_OF_PICTURES: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    ("JPEG", "colour"): {"exact to the pixel": 0},
    ("JPEG", "a photograph, on its side"): {"exact to the pixel": 0},
    ("WebP", "lossy"): {"exact to the pixel": 0},
    ("PDF", "a scan of 2 pages"): {"exact to the pixel": 0},  # they are JPEGs within
    ("GIF", "2 pictures in turn"): {"pages": 0.5},
}
LOST_OF_CONTAINERS: Final[Mapping[str, Mapping[str, float]]] = {
    "EML": {"bytes": 2 / 3},  # a mail within is written anew
    "MSG": {"bytes": 0.5},
}


def of(sample: Sample) -> Extracted:
    data = sample.make()
    return extract(data, probe(data, sample.name).media_type)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.format} {sample.maker}")
def test_all_that_a_format_holds_is_kept(sample: Sample) -> None:
    found = of(sample)
    least = LOST.get((sample.format, sample.maker), {})
    scores = {name: score(found, sample.truth) for name, score in SCORES.items()}
    short = {name: score for name, score in scores.items() if score is not None and score < least.get(name, 1)}
    assert not short, found.text
    assert found.text == clean(found.text)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.format} {sample.maker}")
def test_spans_point_into_the_text(sample: Sample) -> None:
    found = of(sample)
    for heading in found.headings:
        name = found.text[heading.start : heading.end]
        assert name == name.strip() != ""
    for mark in found.marks:
        assert 0 <= mark.start < mark.end <= len(found.text)
    ends = [mark.end for mark in found.marks]
    assert ends == sorted(ends)
    assert all(before.end <= after.start for before, after in zip(found.marks, found.marks[1:], strict=False))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: f"{picture.format} {picture.holds}")
def test_each_page_of_a_picture_reaches_recognition(picture: Picture) -> None:
    got = pictured.reaching(picture)
    least = LOST_OF_PICTURES.get((picture.format, picture.holds), {})
    scores = {name: score(got, picture) for name, score in pictured.SCORES.items()}
    assert not {name: score for name, score in scores.items() if score is not None and score < least.get(name, 1)}


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.format)
def test_each_file_within_becomes_a_document(container: Container) -> None:
    got = contained.documents(container)
    least = LOST_OF_CONTAINERS.get(container.format, {})
    scores = {name: score(got, container) for name, score in contained.SCORES.items()}
    assert not {name: score for name, score in scores.items() if score is not None and score < least.get(name, 1)}


def test_the_page_of_formats_is_current() -> None:
    assert main(["--check"]) == 0


def test_the_type_is_told_by_content() -> None:
    for sample in SAMPLES:
        data = sample.make()
        if sample.format not in ("Markdown", "CSV"):
            assert probe(data, "no-suffix") == probe(data, sample.name), sample.name
            assert probe(data, "lying.md").media_type in (probe(data, sample.name).media_type, "text/markdown")
