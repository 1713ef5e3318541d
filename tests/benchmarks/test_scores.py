import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import scores

TEXT = "Die Wartung des Kessels ist Pflicht.\n\nSie kostet 1.186,00 Euro im Jahr."
TABLE = [["Part", "Price"], ["480-WK1", "1186"], ["480-WK2", ""]]
MARKDOWN = "Before\n\n| Part | Price |\n| --- | --- |\n| 480-WK1 | 1186 |\n| 480-WK2 |  |\n\nAfter"


def test_a_text_is_its_own_best_version() -> None:
    assert scores.character_error_rate(TEXT, TEXT) == 0
    assert scores.word_error_rate(TEXT, TEXT) == 0
    assert scores.word_f1(TEXT, TEXT) == 1
    assert scores.reading_order_errors(TEXT, TEXT) == 0
    assert scores.inversions(TEXT, TEXT) == 0
    assert scores.table_cell_f1([TABLE], [TABLE]) == 1


def test_markup_is_no_text() -> None:
    assert scores.words("# Kopf\n\n- eins\n\n| a | b\\|c |\n| --- | --- |") == ["Kopf", "eins", "a", "b", "c"]
    assert scores.words("4.1 - high") == ["4.1", "high"]
    assert scores.plain("ﬁn\n\n  al") == "fin al"


def test_what_is_wrong_is_counted() -> None:
    assert scores.character_error_rate("Kessel", "Kesse1") == pytest.approx(1 / 6)
    assert scores.word_f1("a b c d", "a b c x") == pytest.approx(0.75)
    assert scores.word_error_rate("a b c d", "b c d") == pytest.approx(1 / 4)


def test_an_empty_truth_has_its_scores() -> None:
    assert scores.character_error_rate("", "x") == 1
    assert scores.word_f1("", "") == 1
    assert scores.table_cell_f1([], []) == 1
    assert scores.table_cell_f1([], [TABLE]) == 0


def test_columns_read_across_are_errors_of_order() -> None:
    truth, across = "a b c d e f g h", "a b e f c d g h"
    assert scores.reading_order_errors(truth, across) == pytest.approx(3 / 7)
    assert scores.inversions(truth, across) == pytest.approx(4 / 28)
    assert scores.inversions("a b c d", "d c b a") == 1


def test_words_that_stand_twice_are_no_landmarks() -> None:
    assert scores.reading_order_errors("a b a c", "a a b c") == 0


def test_tables_are_found_in_a_text() -> None:
    assert scores.tables_in(MARKDOWN) == [TABLE]


def test_a_split_row_costs_its_own_cells_only() -> None:
    split = [["Part", "Price"], ["480-WK1", ""], ["", "1186"], ["480-WK2", ""]]
    assert 0.5 < scores.table_cell_f1([TABLE], [split]) < 1


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_edit_distance_is_levenshteins(truth: str, found: str) -> None:
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(truth, 1):
        above, row = row, [i]
        for j, given_one in enumerate(found, 1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (wanted != given_one)))
    assert scores.edit_distance(truth, found) == row[-1]
