import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.format import DATABASE, VECTORS
from appliance.search import DataLayer, open_folder, text_query
from tests.builders.corpus import book, in_order, library
from tests.builders.test_data_layer import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "data"
    write(folder, library())
    return folder


@pytest.fixture
def data(folder: Path):  # type: ignore[no-untyped-def]
    with open_folder(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    ("question", "document", "text"),
    [
        ("Wie viel Urlaub gibt es?", "Führung/Ürlaub.md", "Der Urlaubsanspruch beträgt 30 Tage."),
        ("Wann endet ein Vertrag?", "Führung/Ürlaub.md", "Verträge enden zum Monatsende."),
        ("When does the contract end?", "a/contract.txt", "The contract ends after twelve months."),
        ("price of VS-60", "z.csv", "😀 seal;VS-60;12 EUR"),
    ],
)
def test_words_find_their_passage(data: DataLayer, question: str, document: str, text: str) -> None:
    best = data.search(question, limit=1)[0]
    assert (best.document, best.text, best.page) == (document, text, 1)


def test_a_vector_finds_its_passage_and_beats_chance_words(data: DataLayer) -> None:
    wanted = library()[1]
    found = data.search("zzz", wanted.vectors[1] * 7, limit=2)
    assert found[0].text == wanted.texts[1]


def test_what_both_find_comes_first(data: DataLayer) -> None:
    wanted = library()[1]
    best, *others = data.search("contract", wanted.vectors[0])
    assert best.text == wanted.texts[0]
    assert best.score == pytest.approx(2 / 61)
    assert all(other.score < best.score for other in others)


def test_spans_give_back_the_text_past_a_nul(data: DataLayer) -> None:
    texts = {one.document.path: one.text for one in library()}
    for passage in data.search("pump seal contract Urlaub", library()[2].vectors[1], limit=10):
        assert texts[passage.document][passage.start : passage.end] == passage.text
        assert passage.headings[0] == "Titel"


@given(st.text())
def test_no_question_breaks_the_query(question: str) -> None:
    query = text_query(question)
    if query:
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
            database.execute("SELECT * FROM t WHERE t MATCH ?", (query,)).fetchall()


def test_a_query_asks_for_telling_words_and_their_beginnings() -> None:
    assert text_query("Wie viele Urlaubstage?") == '"urlaubstage" OR "urlaubsta"*'
    assert text_query('"OR" pump*') == '"pump" OR "pump"*'
    assert text_query("what is it") != ""
    assert text_query("?!") == ""


def test_nothing_asked_finds_nothing(data: DataLayer) -> None:
    assert data.search("?") == []


def test_a_vector_of_another_dimension_is_refused(data: DataLayer) -> None:
    with pytest.raises(ValueError, match="shape"):
        data.search("contract", np.ones(3, np.float32))


def test_vectors_that_are_not_normalised_rank_by_angle(tmp_path: Path) -> None:
    one = book("p", "near\nfar")
    one.vectors[0] = np.eye(8, dtype=np.float32)[0] * 0.1
    one.vectors[1] = np.eye(8, dtype=np.float32)[0] * 50 + np.eye(8, dtype=np.float32)[1] * 100
    write(tmp_path / "data", in_order([one]))
    with open_folder(tmp_path / "data") as data:
        assert data.search("zzz", np.eye(8, dtype=np.float32)[0], limit=1)[0].text == "near"


def _cut(folder: Path, name: str, size: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:size])


@pytest.mark.parametrize(("name", "size"), [(VECTORS, 100), (VECTORS, 10), (DATABASE, 5000), (DATABASE, 0)], ids=str)
def test_a_damaged_layer_is_refused(tmp_path: Path, name: str, size: int) -> None:
    write(tmp_path / "data", library())
    _cut(tmp_path / "data", name, size)
    with pytest.raises(ValueError):
        open_folder(tmp_path / "data")


def test_a_missing_layer_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_folder(tmp_path)
