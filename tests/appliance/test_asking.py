from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.asking import Reader, Term


@pytest.fixture(scope="module")
def reader():  # type: ignore[no-untyped-def]
    with closing(Reader()) as opened:
        yield opened


def terms(reader: Reader, question: str) -> list[tuple[str, bool]]:
    return [(term.word.decode(), term.beginning) for term in reader.read(question).terms]


def test_telling_words_and_their_beginnings_are_looked_for(reader: Reader) -> None:
    assert terms(reader, "Wie viele Urlaubstage?") == [("urlaubstage", False), ("urlaubsta", True)]
    assert terms(reader, '"OR" pump* 12345') == [("pump", False), ("pump", True), ("12345", False)]
    assert terms(reader, "VS-60") == [("vs", False), ("60", False)]
    assert terms(reader, "?!") == []


def test_noise_alone_is_looked_for(reader: Reader) -> None:
    assert terms(reader, "what is it") == [("what", False), ("what", True), ("is", False), ("it", False)]


def test_words_are_folded_as_the_index_folds_them(reader: Reader) -> None:
    assert (
        terms(reader, "FÜR MÜLLER") == terms(reader, "fu\u0308r mu\u0308ller") == [("muller", False), ("muller", True)]
    )


@pytest.mark.parametrize(
    ("question", "verbatim"),
    [
        ('what is "notice period"', ('"notice period"',)),
        ("„Frist“ und “period”, »so«", ('"frist"', '"period"', '"so"')),
        ('a 5" pipe, 6" long', ()),
        ('"?" "', ()),
        ('"say OR NOT"', ('"say or not"',)),
        ('"pump" "Pump" "pump?"', ('"pump"',)),
    ],
)
def test_quoted_parts_are_asked_for_word_by_word(reader: Reader, question: str, verbatim: tuple[str, ...]) -> None:
    assert reader.read(question).verbatim == verbatim


@given(question=st.text())
def test_any_question_can_be_read(reader: Reader, question: str) -> None:
    asked = reader.read(question)
    assert len(set(asked.terms)) == len(asked.terms)
    for query in asked.verbatim:
        reader._database.execute("SELECT rowid FROM question WHERE question MATCH ?", (query,)).fetchall()


@given(question=st.text())
def test_a_word_read_again_is_the_same(reader: Reader, question: str) -> None:
    """So that a phrase of words that were read matches what the text they come from matches."""
    words = reader.words(question)
    assert reader.words(" ".join(words)) == words


def test_lone_surrogates_are_no_words(reader: Reader) -> None:
    assert reader.read("pump \ud800 seal").terms[0] == Term(b"pump", beginning=False)
