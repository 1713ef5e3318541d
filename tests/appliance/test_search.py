from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.format import DATABASE, VECTORS
from appliance.layer import PageSpan
from appliance.search import Library, open_layers
from tests.builders.corpus import Book, book, in_order, library
from tests.builders.test_data_layer import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "data"
    write(folder / "000", library())
    return folder


@pytest.fixture
def data(folder: Path):  # type: ignore[no-untyped-def]
    with open_layers(folder) as opened:
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
def test_words_find_their_passage(data: Library, question: str, document: str, text: str) -> None:
    best = data.search(question, limit=1)[0]
    assert (best.document, best.text, best.page) == (document, text, 1)


def test_a_vector_finds_its_passage_and_beats_chance_words(data: Library) -> None:
    wanted = library()[1]
    found = data.search("zzz", wanted.vectors[1] * 7, limit=2)
    assert found[0].text == wanted.texts[1]


def test_what_both_find_comes_first(data: Library) -> None:
    wanted = library()[1]
    best, *others = data.search("contract", wanted.vectors[0])
    assert best.text == wanted.texts[0]
    assert best.score == pytest.approx(2 / 61)
    assert all(other.score < best.score for other in others)


def test_spans_give_back_the_text_past_a_nul(data: Library) -> None:
    texts = {one.document.path: one.text for one in library()}
    for passage in data.search("pump seal contract Urlaub", library()[2].vectors[1], limit=10):
        assert texts[passage.document][passage.start : passage.end] == passage.text
        assert passage.headings[0] == "Titel"


def test_a_document_is_read_once_however_many_of_its_passages_are_found(
    data: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    text = data._text
    monkeypatch.setattr(data, "_text", lambda number: read.append(number) or text(number))
    found = data.search("pump seal contract Urlaub", library()[2].vectors[1], limit=10)
    assert len(found) > len(set(read)) == len(read)


def test_nothing_asked_finds_nothing(data: Library) -> None:
    assert data.search("?") == []


def test_a_vector_of_another_dimension_is_refused(data: Library) -> None:
    with pytest.raises(ValueError, match="shape"):
        data.search("contract", np.ones(3, np.float32))


def test_vectors_that_are_not_normalised_rank_by_angle(tmp_path: Path) -> None:
    one = book("p", "near\nfar")
    one.vectors[0] = np.eye(8, dtype=np.float32)[0] * 0.1
    one.vectors[1] = np.eye(8, dtype=np.float32)[0] * 50 + np.eye(8, dtype=np.float32)[1] * 100
    write(tmp_path / "000", in_order([one]))
    with open_layers(tmp_path) as data:
        assert data.search("zzz", np.eye(8, dtype=np.float32)[0], limit=1)[0].text == "near"


def _cut(folder: Path, name: str, size: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:size])


@pytest.mark.parametrize(("name", "size"), [(VECTORS, 100), (VECTORS, 10), (DATABASE, 5000), (DATABASE, 0)], ids=str)
def test_a_damaged_layer_is_refused(tmp_path: Path, name: str, size: int) -> None:
    write(tmp_path / "000", library())
    _cut(tmp_path / "000", name, size)
    with pytest.raises(ValueError):
        open_layers(tmp_path)


def test_a_missing_layer_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_layers(tmp_path)


def test_a_layer_missing_below_another_is_told(tmp_path: Path) -> None:
    write(tmp_path / "000", library())
    write(tmp_path / "002", library()[:1], number=2)
    with pytest.raises(ValueError, match="missing"):
        open_layers(tmp_path)


def test_layers_of_different_dimensions_are_refused(tmp_path: Path) -> None:
    one = library()[0]
    write(tmp_path / "000", library())
    write(tmp_path / "001", [Book(one.document, one.text, one.chunks, one.vectors[:, :4])], number=1)
    with pytest.raises(ValueError, match="dimensions"):
        open_layers(tmp_path)


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ('contract "given in writing"', ["Notice is given in writing."]),
        ("„beträgt 30 Tage“ Urlaub", ["Der Urlaubsanspruch beträgt 30 Tage."]),
        ('"in given writing" notice', []),
        ('"notice" "twelve"', []),
        ('"?" notice', ["Notice is given in writing."]),
    ],
)
def test_a_quoted_part_stands_in_every_answer(data: Library, question: str, texts: list[str]) -> None:
    assert [one.text for one in data.search(question, library()[1].vectors[0] if texts == [] else None)] == texts


def test_a_passage_says_where_it_is_from(data: Library) -> None:
    wanted = library()[1]
    best = data.search("notice in writing", limit=1)[0]
    assert (best.ordinal, best.sha256, best.title, best.language, best.date) == (
        1,
        wanted.document.sha256,
        "a/contract.txt",
        "de",
        None,
    )
    assert best.headings == ("Titel", "§ 1")


def test_documents_are_listed_in_order_of_their_paths(data: Library) -> None:
    assert [one.path for one in data.documents()] == [one.document.path for one in library()]
    assert [one.path for one in data.documents(after="Führung/Ürlaub.md", limit=1)] == ["a/contract.txt"]
    assert data.documents(after="z.csv") == data.documents(language="en") == []


def test_a_document_has_its_text_pages_and_passages(data: Library) -> None:
    wanted = library()[2]
    document = data.document("z.csv")
    assert document is not None
    assert (document.text, document.pages, document.size) == (wanted.text, (PageSpan(1, 0, len(wanted.text)),), 42)
    passages = data.passages("z.csv")
    assert [(one.ordinal, one.text, one.score) for one in passages] == [
        (0, wanted.texts[0], 0),
        (1, wanted.texts[1], 0),
    ]


def test_what_is_not_there_is_none(data: Library) -> None:
    assert data.document("z") is None
    assert data.passages("z") == []


DATED = {"old/a.txt": "2024-12-31", "old/b.txt": "2025-01-01", "new.txt": "2026-03-02", "undated.txt": None}


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("dated")
    books = [replace(book(path, "pump seal"), date=date) for path, date in DATED.items()]
    write(folder / "000", in_order(books))
    with open_layers(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ({"since": "2025-01-01"}, {"old/b.txt", "new.txt"}),
        ({"until": "2025-01-01"}, {"old/a.txt", "old/b.txt"}),
        ({"since": "2025-01-01", "until": "2025-12-31"}, {"old/b.txt"}),
        ({"document": "old/"}, {"old/a.txt", "old/b.txt"}),
        ({"document": "old"}, set()),
        ({"document": "new.txt"}, {"new.txt"}),
        ({"language": "de", "document": "undated.txt"}, {"undated.txt"}),
        ({"language": "en"}, set()),
    ],
    ids=str,
)
@pytest.mark.parametrize("by_vector", [False, True], ids=["words", "vector"])
def test_filters_choose_documents(dated: Library, filters: dict[str, str], paths: set[str], by_vector: bool) -> None:
    question, vector = ("zzz", book("x", "pump seal").vectors[0]) if by_vector else ("pump", None)
    assert {one.document for one in dated.search(question, vector, **filters)} == paths  # type: ignore[arg-type]


def test_a_filter_comes_before_the_ranking(dated: Library) -> None:
    """It does not choose among the few best: with a limit of 1 the one that passes is still found."""
    assert dated.search("pump", limit=1)[0].document == "new.txt"
    assert dated.search("pump", limit=1, document="undated.txt")[0].document == "undated.txt"


def test_a_small_question_tells_whether_it_is_ready(dated: Library) -> None:
    dated.ready()
    dated.warm()
