"""The same bytes under several names, and passages that nearly repeat others: listed, and found once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.layer import MOST_ALSO, PageSpan
from appliance.search import Library, Place, open_layers
from schemas.messages import PageSpan as MessagePageSpan
from tests.builders.corpus import Book, book, copy, in_order, marked
from tests.builders.test_data_layer import write

TEXT = "Die Pumpe ruht.\nDas Ventil ist offen."
LONG = "Dieses Handbuch darf ohne schriftliche Zustimmung des Herstellers weder kopiert noch weitergegeben werden"


def opened(folder: Path, *layers: Sequence[Book], removed: Sequence[str] = (), fold: bool = False) -> Library:
    """`removed`: by the last layer."""
    for number, books in enumerate(layers):
        gone = removed if number == len(layers) - 1 else ()
        write(folder / f"{number:03d}", in_order(list(books)), number=number, removed=gone, fold=fold)
    return open_layers(folder)


class TestNames:
    def test_both_names_are_listed_and_the_passage_is_found_once(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy("b.txt", TEXT), copy("a.txt", TEXT), book("c.txt", "Etwas anderes.")]) as library:
            assert [(one.path, one.also, one.names) for one in library.documents()] == [
                ("a.txt", ("b.txt",), 2),
                ("b.txt", ("a.txt",), 2),
                ("c.txt", (), 1),
            ]
            [found] = library.search("Pumpe", limit=5)
            assert (found.document, found.also, found.names, found.text) == ("a.txt", ("b.txt",), 2, "Die Pumpe ruht.")
            told = library.about
            assert (told["documents"], told["duplicates"], told["chunks"]) == (3, 1, 3)

    def test_a_document_is_read_under_any_of_its_names(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy("b.txt", TEXT), copy("a.txt", TEXT)]) as library:
            other = library.document("b.txt")
            assert other is not None
            assert (other.path, other.text, other.title, other.also) == ("b.txt", TEXT, "Kopie", ("a.txt",))
            assert [(one.document, one.ordinal) for one in library.passages("b.txt")] == [("b.txt", 0), ("b.txt", 1)]

    def test_a_filter_finds_it_by_the_name_that_it_admits(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy("x/b.txt", TEXT), copy("a.txt", TEXT)]) as library:
            [found] = library.search("Pumpe", document="x/")
            assert (found.document, found.also) == ("x/b.txt", ("a.txt",))
            assert library.search("Pumpe", document="y/") == []

    def test_it_is_found_while_any_name_is_left(self, tmp_path: Path) -> None:
        with opened(tmp_path / "1", [copy("b.txt", TEXT), copy("a.txt", TEXT)], [], removed=["a.txt"]) as library:
            [found] = library.search("Pumpe")
            assert (found.document, found.also, found.names) == ("b.txt", (), 1)
            assert library.document("a.txt") is None
            assert library.about["layers"][1]["hides"] == 1
        with opened(tmp_path / "2", [copy("b.txt", TEXT), copy("a.txt", TEXT)], [], removed=["a.txt", "b.txt"]) as none:
            assert none.search("Pumpe") == []
            assert none.about["chunks"] == 0

    def test_an_update_that_brings_the_same_bytes_gives_them_another_name(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy("b.txt", TEXT)], [copy("a.txt", TEXT)]) as library:
            [found] = library.search("Pumpe")
            assert (found.document, found.also) == ("a.txt", ("b.txt",))
            assert (library.about["chunks"], library.about["duplicates"]) == (2, 1)

    def test_a_renamed_document_has_its_new_name(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy("old.txt", TEXT)], [copy("new.txt", TEXT)], removed=["old.txt"]) as library:
            [found] = library.search("Pumpe")
            assert (found.document, found.also) == ("new.txt", ())

    def test_of_another_type_it_is_another_document(self, tmp_path: Path) -> None:
        one, other = copy("a.txt", TEXT), copy("b.md", TEXT)
        other = replace(other, document=other.document.model_copy(update={"media_type": "text/markdown"}))
        write(tmp_path / "000", [one])
        write(tmp_path / "001", [other], number=1)
        with open_layers(tmp_path) as library:
            assert [found.document for found in library.search("Pumpe")] == ["a.txt", "b.md"]

    def test_of_many_names_some_are_told_and_all_counted(self, tmp_path: Path) -> None:
        with opened(tmp_path, [copy(f"{number:03d}.txt", TEXT) for number in range(60)]) as library:
            [found] = library.search("Pumpe")
            assert (len(found.also), found.names) == (MOST_ALSO, 60)
            assert len(library.documents(limit=100)) == 60


class TestMarks:
    def test_they_are_told_with_the_passage_and_counted(self, tmp_path: Path) -> None:
        one = marked(book("a.txt", TEXT), {0: ("doubtful", "hidden"), 1: ("hidden",)})
        with opened(tmp_path, [one, book("b.txt", "Pumpe zwei")]) as library:
            [found] = library.search('"Pumpe ruht"')
            assert found.marks == ("doubtful", "hidden")
            assert [one.marks for one in library.passages("a.txt")] == [("doubtful", "hidden"), ("hidden",)]
            assert library.about["marks"] == {"doubtful": 1, "hidden": 2}

    def test_a_recognised_page_tells_its_confidence(self, tmp_path: Path) -> None:
        class Scan(Book):
            @property
            def pages(self) -> tuple[MessagePageSpan, ...]:
                whole = super().pages[0]
                own = MessagePageSpan(number=2, start=len(self.text), end=len(self.text))
                return whole.model_copy(update={"confidence": 0.75}), own

        one = book("a.txt", TEXT)
        with opened(tmp_path, [Scan(one.document, one.text, one.chunks, one.vectors)]) as library:
            document = library.document("a.txt")
            assert document is not None
            assert document.pages == (PageSpan(1, 0, len(TEXT), 0.75), PageSpan(2, len(TEXT), len(TEXT), None))


class TestFolds:
    SHELF = (
        book("a.txt", f"Pumpe A.\n{LONG}."),
        book("b.txt", f"Pumpe B.\n{LONG.upper()}!"),
        book("c.txt", f"{LONG}\nPumpe C."),
    )

    def test_a_repeated_passage_is_found_once_and_listed_with_what_it_repeats(self, tmp_path: Path) -> None:
        with opened(tmp_path, self.SHELF, fold=True) as library:
            [found] = library.search('"schriftliche Zustimmung"')
            assert (found.document, found.ordinal, found.folded, found.folded_into) == ("a.txt", 1, 2, None)
            [_, listed] = library.passages("b.txt")
            assert listed.folded_into == Place("a.txt", 1, 9, 10 + len(LONG), 1)
            assert (library.about["chunks"], library.about["folded"]) == (6, 2)

    def test_without_the_parameter_nothing_is_folded(self, tmp_path: Path) -> None:
        with opened(tmp_path, self.SHELF) as library:
            assert len(library.search('"schriftliche Zustimmung"')) == 3
            assert library.about["folded"] == 0

    def test_what_it_repeats_is_removed_and_the_next_one_is_found(self, tmp_path: Path) -> None:
        with opened(tmp_path, self.SHELF, [], removed=["a.txt"], fold=True) as library:
            [found] = library.search('"schriftliche Zustimmung"')
            assert (found.document, found.folded) == ("b.txt", 1)
            [listed, _] = library.passages("c.txt")
            assert listed.folded_into == Place("b.txt", 1, 9, 10 + len(LONG), 1)

    def test_scores_are_those_of_the_passages_that_are_searched(self, tmp_path: Path) -> None:
        rest = (book("a.txt", f"Pumpe A.\n{LONG}."), book("b.txt", "Pumpe B."), book("c.txt", "Pumpe C."))
        with opened(tmp_path / "1", self.SHELF, fold=True) as folded, opened(tmp_path / "2", rest) as alone:
            mine, others = folded.search("Pumpe Zustimmung B"), alone.search("Pumpe Zustimmung B")
            assert [(one.text, one.score) for one in mine] == [(one.text, one.score) for one in others]

    @pytest.mark.parametrize("removed", [["a.txt", "b.txt", "c.txt"], ["b.txt"]])
    def test_what_is_hidden_is_not_counted(self, tmp_path: Path, removed: list[str]) -> None:
        with opened(tmp_path, self.SHELF, [], removed=removed, fold=True) as library:
            assert library.about["folded"] == max(0, 2 - len(removed))
