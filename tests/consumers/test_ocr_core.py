from dataclasses import replace

import pytest

from consumers.ocr import core
from consumers.ocr.core import Batch, Drawn, Gathering, Picture, Spoiled
from engines.extraction import ExtractedHeading, ExtractedMark
from engines.extraction.reading import Piece, Reading
from engines.vision import Line, PageText
from infra.ledger import Counted
from schemas.errors import Permanent
from schemas.messages import RecognisedPage
from schemas.messages.pages import PageHeading, PageMark
from tests.consumers.scans import picture
from tests.fakes import document


def found(text: str, confidence: float = 0.9, *, rotation: int = 0) -> PageText:
    lines = (Line(text, (100, 50, 300, 70), confidence),) if text else ()
    return PageText(lines, width=400, height=200, rotation=rotation)


def page(number: int, text: str = "text", **fields: object) -> RecognisedPage:
    return RecognisedPage.model_validate({"number": number, "text": text, **fields})


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_takes_so_many_pictures_and_any_number_of_ends() -> None:
    batch = Batch()
    for number in range(3):
        assert batch.takes(Picture(0, picture(number)), most=3)
        batch.add(Picture(0, picture(number)))
    assert not batch.takes(Picture(0, picture(4)), most=3)
    for end in (Drawn(0, Reading([])), Spoiled(1, Permanent("document.broken", kind="x"))):
        assert batch.takes(end, most=3)
        batch.add(end)
    assert ([one.image.number for one in batch.pictures], len(batch.ends)) == ([0, 1, 2], 2)


def test_a_batch_holds_so_many_bytes_unless_one_picture_alone_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "MAX_BATCH_BYTES", 60)
    small, large = Picture(0, picture(width=4, height=2)), Picture(0, picture(width=40, height=2))
    batch = Batch()
    batch.add(small)
    assert batch.size == 24
    assert batch.takes(small, most=9)
    batch.add(small)
    assert not batch.takes(small, most=9), "72 bytes"
    assert not batch.takes(large, most=9)
    assert Batch().takes(large, most=9)


# -- pages ------------------------------------------------------------------------------------------------------------


def test_a_recognised_page_has_its_lines_in_shares_of_the_page() -> None:
    lines = (
        Line("Die Pumpe läuft.", (0, 0, 400, 20), 0.8, paragraph=0),
        Line("Alles in Ordnung.", (100, 50, 300, 250), 0.9, paragraph=1),
    )
    made = core.recognised_page(3, PageText(lines, width=400, height=200, rotation=90), min_confidence=0.5)
    assert (made.number, made.rotation, made.marks) == (3, 90, ())
    assert [made.text[line.start : line.end] for line in made.lines] == [line.text for line in lines]
    assert [line.box for line in made.lines] == [(0, 0, 10_000, 1000), (2500, 2500, 7500, 10_000)]
    assert [line.confidence for line in made.lines] == [0.8, 0.9]
    assert made.confidence == pytest.approx((0.8 * 16 + 0.9 * 17) / 33)


@pytest.mark.parametrize(
    ("given", "doubtful"),
    [
        (found("read", 0.59), True),
        (found("read", 0.6), False),
        (found("", 0.0), False),
        (replace(found("read", 0.9), is_whole=False), True),
    ],
    ids=["below", "at the threshold", "nothing there", "some left out"],
)
def test_a_page_read_with_too_little_confidence_is_marked_from_end_to_end(given: PageText, doubtful: bool) -> None:
    made = core.recognised_page(1, given, min_confidence=0.6)
    assert made.marks == ((PageMark(kind="doubtful", start=0, end=4),) if doubtful else ())
    assert made.confidence == given.confidence


def test_a_page_with_text_of_its_own_keeps_it() -> None:
    piece = Piece(
        "Titel\n\nweiß auf weiß",
        headings=(ExtractedHeading(1, 0, 5),),
        page=2,
        marks=(ExtractedMark("hidden", 7, 20),),
    )
    assert core.own_page(piece) == page(
        2,
        piece.text,
        headings=(PageHeading(level=1, start=0, end=5),),
        marks=(PageMark(kind="hidden", start=7, end=20),),
    )


# -- documents --------------------------------------------------------------------------------------------------------


def test_pages_come_back_to_their_documents_in_order() -> None:
    gathering = Gathering(min_confidence=0.5)
    gathering.take([Picture(0, picture(4)), Picture(1, picture(1))], [found("four"), found("other")])
    gathering.take([Picture(0, picture(2))], [found("two", 0.1)])
    own = Reading([Piece("one", page=1), Piece("three", page=3)])
    pages = gathering.whole(Drawn(0, own))
    assert [(one.number, one.text) for one in pages] == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    assert [one.confidence for one in pages] == [None, pytest.approx(0.1), None, pytest.approx(0.9)]
    assert core.counts(pages) == {Counted.RECOGNISED: 2, Counted.DOUBTFUL: 1}
    assert [one.text for one in gathering.whole(Drawn(1, Reading([])))] == ["other"]


def test_a_sentence_goes_on_over_pages_but_not_over_a_picture() -> None:
    gathering = Gathering(min_confidence=0.5)
    gathering.take([Picture(0, picture(3))], [found("three")])
    own = [Piece(f"page {number}", page=number, runs_on=True) for number in (1, 2, 4)]
    pages = gathering.whole(Drawn(0, Reading(own)))
    assert [(page.number, page.runs_on) for page in pages] == [(1, True), (2, False), (3, False), (4, True)]


def test_a_document_without_a_word_on_any_page_is_refused() -> None:
    gathering = Gathering(min_confidence=0.5)
    gathering.take([Picture(0, picture(1)), Picture(0, picture(2))], [found(""), found("")])
    with pytest.raises(Permanent) as error:
        gathering.whole(Drawn(0, Reading([Piece(" \n", page=3)])))
    assert error.value.code == "document.no-text"


def test_a_text_for_each_picture_or_none_at_all() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Gathering(min_confidence=0.5).take([Picture(0, picture(1)), Picture(0, picture(2))], [found("one")])


def test_the_message_says_what_the_document_says_of_itself() -> None:
    made = core.recognised(document(), Reading([], title="T" * 5000, date="2026-01-31"), [page(1)])
    assert (made.document, made.date, made.pages, made.object) == (document(), "2026-01-31", (page(1),), None)
    assert made.title == "T" * core.MAX_TITLE_CHARACTERS


def test_pages_are_large_by_their_text_or_by_their_lines() -> None:
    line = {"start": 0, "end": 4, "box": (0, 0, 1, 1), "confidence": 1.0}
    assert not core.is_large([page(1, "ä" * 1000), page(2, lines=(line,) * 100)])
    assert core.is_large([page(number, "ä" * 1000) for number in range(1, 300)])
    assert core.is_large([page(number, lines=(line,) * 100) for number in range(1, 60)])
