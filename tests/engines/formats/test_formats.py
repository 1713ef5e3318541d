"""Each format gives back what the corpus's documents say; docs/formats.md shows how much."""

from collections.abc import Mapping
from typing import Final

import pytest

from engines.extraction import Extracted, extract, probe
from engines.extraction.reading import clean
from tests.engines.formats.corpus import SAMPLES, Sample
from tests.engines.formats.page import main
from tests.engines.formats.scores import SCORES

LOST: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    ("EPUB", "LibreOffice"): {"words": 0.95, "headings": 0, "lists": 0, "header": 0},  # it writes none of these
    ("HTML", "LibreOffice"): {"words": 0.98},  # a page's number, which it writes as text
}
"""The least that is expected where it is not everything."""


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


def test_the_page_of_formats_is_current() -> None:
    assert main(["--check"]) == 0


def test_the_type_is_told_by_content() -> None:
    for sample in SAMPLES:
        data = sample.make()
        if sample.format not in ("Markdown", "CSV"):
            assert probe(data, "no-suffix") == probe(data, sample.name), sample.name
            assert probe(data, "lying.md").media_type in (probe(data, sample.name).media_type, "text/markdown")
