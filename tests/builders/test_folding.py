"""Which passages are folded, against a slow telling of the rule."""

import re
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.folding import ALIKE, LEAST_WORDS, Folding

WORDS = [f"wort{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]


def folded(texts: list[str], marks: dict[int, tuple[str, ...]] | None = None) -> dict[int, int]:
    folding = Folding()
    for number, text in enumerate(texts):
        folding.add(text, (marks or {}).get(number, ()))
    return dict(folding.folded(texts.__getitem__))


def passage(random: Random, words: int) -> list[str]:
    return [random.choice(WORDS) for _ in range(words)]


def similarity(one: str, other: str) -> float:
    first, second = ({tuple(words[i : i + 3]) for i in range(len(words) - 2)} for words in (one.split(), other.split()))
    return len(first & second) / len(first | second)


def test_the_same_words_are_folded_whatever_their_case_and_marks() -> None:
    text = "Alle Angaben ohne Gewähr, denn Irrtum bleibt stets vorbehalten."
    assert folded([text, "Etwas ganz anderes.", text.upper().replace(",", " :"), text]) == {2: 0, 3: 0}


@pytest.mark.parametrize(("words", "expected"), [(LEAST_WORDS - 1, {}), (LEAST_WORDS, {1: 0})])
def test_what_is_too_short_is_not_folded(words: int, expected: dict[int, int]) -> None:
    assert folded([" ".join(WORDS[:words])] * 2) == expected


def test_what_differs_in_a_number_is_no_repetition() -> None:
    text = " ".join(WORDS) + " kostet {} EUR"
    assert folded([text.format(100), text.format(200), text.format(100)]) == {2: 0}


def test_what_differs_in_its_marks_is_no_repetition() -> None:
    text = " ".join(WORDS)
    assert folded([text, text, text], {1: ("hidden",)}) == {2: 0}


def test_a_passage_is_folded_into_one_that_is_not_folded() -> None:
    words = WORDS[:100]
    second = [*words[:99], "anders"]
    third = ["neu", *words[1:99], "anders"]
    assert folded([" ".join(one) for one in (words, second, third)]) == {1: 0, 2: 0}


def test_nothing_and_nothing_alike() -> None:
    assert folded([]) == {}
    assert folded(["", "", "?"]) == {}


@pytest.mark.parametrize(("changed", "expected"), [(2, True), (8, False)])
def test_the_threshold_is_where_it_is_said_to_be(changed: int, expected: bool) -> None:
    """Of 150 words, each changed one breaks three runs."""
    random = Random(7)
    for _ in range(50):
        one = passage(random, 150)
        other = list(one)
        for place in range(10, 10 + 10 * changed, 10):
            other[place] = "anders"
        texts = [" ".join(one), " ".join(other)]
        assert (similarity(*texts) >= ALIKE) is expected
        assert folded(texts) == ({1: 0} if expected else {})


@st.composite
def shelves(draw: st.DrawFn) -> list[str]:
    random = Random(draw(st.integers(0, 10**6)))
    texts: list[list[str]] = []
    for _ in range(draw(st.integers(1, 12))):
        if texts and draw(st.booleans()):
            words = list(random.choice(texts))
            for _ in range(random.randrange(4)):
                words[random.randrange(len(words))] = random.choice(WORDS)
        else:
            words = passage(random, random.randrange(8, 60))
        texts.append(words)
    return [" ".join(words) for words in texts]


@settings(deadline=None)
@given(texts=shelves())
def test_what_is_folded_is_alike_and_into_what_is_not(texts: list[str]) -> None:
    found = folded(texts)
    for number, into in found.items():
        assert into < number
        assert into not in found
        assert similarity(texts[number], texts[into]) >= ALIKE
    assert folded(texts) == found


def test_hardly_a_pair_is_missed_and_time_does_not_explode() -> None:
    """2,000 passages, of which every second nearly repeats the one before it, and 500 times the same."""
    random = Random(3)
    texts = []
    for _ in range(750):
        words = passage(random, 120)
        nearly = list(words)
        nearly[60] = "anders"
        texts += [" ".join(words), " ".join(nearly)]
    texts += [texts[0]] * 500
    found = folded(texts)
    pairs = [one for one, other in pairwise(range(1500)) if one % 2 == 0 and found.get(other) == one]
    assert len(pairs) >= 745
    assert all(found[number] == 0 for number in range(1500, 2000))
    assert re.fullmatch(r"\w+", WORDS[0])
