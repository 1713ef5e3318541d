"""How Florence-2's answer becomes lines; the contract over its real classes is in tests/contracts/test_vision.py."""

import numpy as np

from engines.vision.florence import Region, Token, _regions


def tokens(*names: str) -> list[Token]:
    return [Token(name, 0.5) for name in names]


def box(*places: int) -> list[Token]:
    return tokens(*(f"<loc_{place}>" for place in places))


def test_each_text_has_the_eight_places_that_follow_it() -> None:
    first, second = (10, 20, 110, 20, 110, 40, 10, 40), (10, 50, 110, 50, 110, 70, 10, 70)
    found = list(_regions([*tokens("Wä", "rme"), *box(*first), *tokens("pumpe"), *box(*second)]))
    assert found == [Region(("Wä", "rme"), first, 0.5), Region(("pumpe",), second, 0.5)]


def test_what_was_cut_off_or_has_no_text_is_no_line() -> None:
    places = (1, 2, 3, 4, 5, 6, 7, 8)
    cut = [*tokens("cut"), *box(1, 2, 3), *tokens("kept"), *box(*places), *box(*places), *tokens("tail")]
    assert [region.tokens for region in _regions(cut)] == [("kept",)]


def test_places_are_middles_of_thousandths() -> None:
    corners = Region(("x",), (0, 0, 999, 0, 999, 999, 0, 999), 1.0).corners(2000, 1000)
    assert np.allclose(corners, [(1, 0.5), (1999, 0.5), (1999, 999.5), (1, 999.5)])
