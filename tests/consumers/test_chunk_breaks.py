import pytest

from consumers.chunk.breaks import Strength, find_breaks
from engines.extraction import Extracted, ExtractedHeading


def pieces(text: str, *headings: str) -> list[tuple[str, str]]:
    """What lies before each break, and how strong it is."""
    spans = tuple(ExtractedHeading(1, text.index(name), text.index(name) + len(name)) for name in headings)
    breaks = find_breaks(Extracted(text, headings=spans))
    starts = [0, *breaks.positions[:-1]]
    return [
        (text[start:end].strip(), strength.name)
        for start, end, strength in zip(starts, breaks.positions, breaks.strengths, strict=True)
    ]


def test_the_kinds_of_breaks() -> None:
    text = "Intro. More\nintro.\nThen\n- one\n- two\n\nA paragraph.\n\nTitle\n\nBody."
    assert pieces(text, "Title") == [
        ("Intro.", "SENTENCE"),
        ("More", "LINE_END"),
        ("intro.", "LINE"),
        ("Then", "LINE"),
        ("- one", "LINE"),
        ("- two", "PARAGRAPH"),
        ("A paragraph.", "HEADING"),
        ("Title\n\nBody.", "END"),
    ]


def test_headings_that_follow_each_other_stay_together() -> None:
    assert pieces("Before.\n\nOne\nTwo\nText.", "One", "Two") == [("Before.", "HEADING"), ("One\nTwo\nText.", "END")]


def test_table_rows_are_lines() -> None:
    assert [piece for piece, strength in pieces("| a |\n| --- |\n| 1 |") if strength != "END"] == ["| a |", "| --- |"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Er kam. Sie ging.", ["Er kam.", "Sie ging."]),
        ("Siehe z. B. Nr. 12 von Dr. Falkenau, ca. 3.5 km.", ["Siehe z. B. Nr. 12 von Dr. Falkenau, ca. 3.5 km."]),
        ("Das ist z.B. Bonn. Dort ist es gut.", ["Das ist z.B. Bonn.", "Dort ist es gut."]),
        (
            "Am 3. Februar begann es. Im Jahr 2025. Dann nicht.",
            ["Am 3. Februar begann es.", "Im Jahr 2025.", "Dann nicht."],
        ),
        ("Mr. J. Smith of Acme Inc. Berlin called.", ["Mr. J. Smith of Acme Inc. Berlin called."]),
        ("Really? Yes! \u201eJa.\u201c \u201eNein.\u201c", ["Really?", "Yes!", "\u201eJa.\u201c", "\u201eNein.\u201c"]),
        ("He paid 3.50 euros. 12 people came.", ["He paid 3.50 euros.", "12 people came."]),
        ("(See Fig. 12, p. 4) Next one.", ["(See Fig. 12, p. 4) Next one."]),
        ("\u4f60\u597d\u3002\u518d\u89c1\u3002", ["\u4f60\u597d\u3002", "\u518d\u89c1\u3002"]),
    ],
)
def test_sentences_in_english_and_german(text: str, sentences: list[str]) -> None:
    assert [piece for piece, _ in pieces(text)] == sentences


@pytest.mark.parametrize("unit", [".", ". ", "\n", "a.\n", '."', "\u201e", ".\n\n- ", " \n", "#", "\u3002"])
def test_a_megabyte_of_anything_takes_a_moment(unit: str) -> None:
    text = "x" + unit * (1_000_000 // len(unit)) + "x"
    breaks = find_breaks(Extracted(text))  # would take hours if it were quadratic
    assert breaks.positions[-1] == len(text)
    assert breaks.strengths[-1] is Strength.END
