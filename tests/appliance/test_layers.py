"""A library of several layers answers as one full bake of the documents that are left."""

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.asking import Reader
from appliance.format import DATABASE
from appliance.ranking import CONTEXT_WEIGHT
from appliance.search import Library, Passage, open_layers
from tests.builders.corpus import Book, book, copy, in_order
from tests.builders.test_data_layer import write

PATHS = ("a.txt", "a.zip", "a.zip!/x", "a.zip!/in.zip!/y", "a.zipper", "b/a.txt", "b/c/d.txt", "bb.txt", "é.txt")
WORDS = ("pump", "seal", "Pumpe", "pumping", "valve", "the", "of", "VS-60", "Ürlaub")


COPIED = ("pump seal\nvalve", "the seal of\nthe pump")


@dataclass(frozen=True)
class Step:
    """One layer: documents that it brings, and paths that it removes."""

    books: tuple[Book, ...]
    removed: tuple[str, ...] = ()


def survivors(steps: Sequence[Step]) -> list[Book]:
    """Told by the words of the format, not by the code that is tested."""
    left: dict[tuple[str, str], Book] = {}
    for step in steps:
        gone = [*step.removed, *(one.document.path for one in step.books)]
        left = {
            key: one
            for key, one in left.items()
            if not any(
                key[0] == path or key[0].startswith(path + "!/") or (path.endswith("/") and key[0].startswith(path))
                for path in gone
            )
        }
        left |= {(one.document.path, one.document.sha256): one for one in step.books}
    return in_order(list(left.values()))


def layered(folder: Path, steps: Sequence[Step]) -> Path:
    for number, step in enumerate(steps):
        write(folder / f"{number:03d}", in_order(step.books), number=number, removed=step.removed)
    return folder


def whole(folder: Path, steps: Sequence[Step]) -> Path:
    write(folder / "000", survivors(steps))
    return folder


lines = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
texts = st.lists(lines, min_size=1, max_size=4).map("\n".join)
dates = st.sampled_from([None, "2024-02-29", "2025-01-01", "2026-03-02"])


@st.composite
def books(draw: st.DrawFn, least: int = 0) -> tuple[Book, ...]:
    paths = draw(st.lists(st.sampled_from(PATHS), min_size=least, max_size=5, unique=True))
    one = st.one_of(
        st.tuples(texts, dates).map(lambda drawn: lambda path: replace(book(path, drawn[0]), date=drawn[1])),
        st.sampled_from(COPIED).map(lambda text: lambda path: copy(path, text)),
    )
    return tuple(draw(one)(path) for path in paths)


bases = st.builds(Step, books(least=1))
updates = st.builds(
    Step, books(), st.lists(st.sampled_from([*PATHS, "b/", "b/c/", "a.zip!/", "none"]), max_size=2).map(tuple)
)
histories = st.tuples(bases, st.lists(updates, max_size=4)).map(lambda drawn: [drawn[0], *drawn[1]])
questions = st.lists(st.sampled_from([*WORDS, "pu", '"pump seal"', "zzz", "?"]), max_size=4).map(" ".join)
vectors = st.one_of(
    st.none(),
    lines.map(lambda line: book("q", line).vectors[0]),  # often the very vector of a passage, so that scores tie
    st.integers(0, 9).map(lambda seed: np.random.default_rng(seed).standard_normal(8).astype(np.float32)),
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "document": st.sampled_from([*PATHS, "b/", "a.zip!/"]),
        "since": st.sampled_from(["2024-02-29", "2025-06-01"]),
        "until": st.sampled_from(["2024-12-31", "2026-03-02"]),
        "language": st.sampled_from(["de", "en"]),
    },
)
asked = st.lists(st.tuples(questions, vectors, filters, st.integers(1, 12)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(steps=histories, asked=asked)
def test_layers_answer_as_one_full_bake(
    steps: list[Step], asked: list[tuple[str, Any, dict[str, Any], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as home:
        folder = Path(home)
        with (
            open_layers(layered(folder / "layered", steps)) as several,
            open_layers(whole(folder / "whole", steps)) as one,
        ):
            for question, vector, chosen, limit in asked:
                found = several.search(question, vector, limit=limit, **chosen)
                assert found == one.search(question, vector, limit=limit, **chosen)
                assert scores(several, question) == scores(one, question)
            assert several.documents() == one.documents()
            for path in PATHS:
                assert several.document(path) == one.document(path)
                assert several.passages(path) == one.passages(path)
            counted = ("documents", "duplicates", "chunks", "folded", "marks")
            assert [several.about[name] for name in counted] == [one.about[name] for name in counted]


def scores(library: Library, question: str) -> dict[tuple[str, str, int], float]:
    """BM25 of every live passage that holds a word of the question: finer than the ranks that search returns."""
    terms = library._reader.read(question).terms
    found = library._words.scores(map(library._postings, terms))
    passages = library._passages([(int(i), 0.0) for i in np.flatnonzero(library._live & (found > 0))])
    held = found[library._live & (found > 0)].tolist()
    return {(one.document, one.sha256, one.ordinal): score for one, score in zip(passages, held, strict=True)}


# -- that it is not so by chance: what is simpler would differ


BASE = Step((book("a.txt", "pump seal\npump valve\npump\nvalve seal of the pump"), book("b/a.txt", "pump\npump of")))


def names(passages: Sequence[Passage]) -> list[tuple[str, int]]:
    return [(one.document, one.ordinal) for one in passages]


def test_each_layer_ranked_on_its_own_and_merged_by_score_would_differ(tmp_path: Path) -> None:
    """`pump` is frequent in the base and rare in the update, `seal` the other way round: each weighs them its way."""
    base = Step((book("a.txt", "pump\npump\npump\nseal"), book("b/a.txt", "pump of")))
    steps = [base, Step((book("bb.txt", "seal\nseal\npump\nseal"),), removed=("b/",))]
    layered(tmp_path / "layered", steps)
    with open_layers(whole(tmp_path / "whole", steps)) as one:
        expected = names(one.search("pump seal", limit=8))
    merged: dict[tuple[str, int], float] = {}
    gone = {"b/a.txt"}
    for number in range(2):
        alone = tmp_path / f"alone {number}"
        alone.mkdir()
        (alone / "000").symlink_to(tmp_path / "layered" / f"{number:03d}")
        with open_layers(alone) as layer:
            merged |= {
                (path, ordinal): score
                for (path, _, ordinal), score in scores(layer, "pump seal").items()
                if path not in gone
            }
    separately = sorted(merged, key=lambda key: (-merged[key], key[0].encode(), key[1]))
    assert set(separately) == set(expected)
    assert separately != expected
    with open_layers(tmp_path / "layered") as several:
        assert names(several.search("pump seal", limit=8)) == expected


def test_an_update_that_only_removes_is_a_layer(tmp_path: Path) -> None:
    layered(tmp_path, [BASE, Step((), removed=("b/",))])
    with open_layers(tmp_path) as library:
        assert {one.path for one in library.documents()} == {"a.txt"}
        assert {one.document for one in library.search("pump", BASE.books[1].vectors[0], limit=20)} == {"a.txt"}
        assert [(one["documents"], one["hides"]) for one in library.about["layers"]] == [(2, 0), (0, 1)]
        assert library.about["documents"] == 1


def test_everything_may_be_removed(tmp_path: Path) -> None:
    layered(tmp_path, [BASE, Step((), removed=("a.txt", "b/"))])
    with open_layers(tmp_path) as library:
        assert library.search("pump", BASE.books[1].vectors[0]) == []
        assert library.documents() == []
        library.ready()


def test_ten_layers_answer_as_one(tmp_path: Path) -> None:
    steps = [BASE, *(Step((book("a.txt", f"pump {i}\nseal"), book(f"{i}.txt", "pump valve"))) for i in range(10))]
    with (
        open_layers(layered(tmp_path / "layered", steps)) as several,
        open_layers(whole(tmp_path / "whole", steps)) as one,
    ):
        assert several.search("pump seal 9", limit=20) == one.search("pump seal 9", limit=20)


# -- and against SQLite's own


CORPUS = [
    book(f"{i}.txt", "\n".join(" ".join(WORDS[(i * j + k) % 9] for k in range(j % 5 + 1)) for j in range(7)))
    for i in range(20)
]


@settings(deadline=None)
@given(question=st.lists(st.sampled_from([*WORDS, "pump", "valv", "60", "Titel"]), min_size=1, max_size=5))
def test_one_layer_scores_as_sqlite_does(question: list[str], native: Mapping[str, Any]) -> None:
    asked = native["reader"].read(" ".join(question))
    query = " OR ".join(f'"{term.word.decode()}"{"*" if term.beginning else ""}' for term in asked.terms)
    rows = native["database"].execute(
        "SELECT path, sha256, ordinal, -bm25(passages, 1.0, ?) FROM passages JOIN chunks ON chunk = passages.rowid"
        " JOIN documents USING (document) WHERE passages MATCH ? ORDER BY bm25(passages, 1.0, ?), chunk",
        (CONTEXT_WEIGHT, query, CONTEXT_WEIGHT),
    )
    expected = {(path, sha256, ordinal): score for path, sha256, ordinal, score in rows}
    found = scores(native["library"], " ".join(question))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)
    best = native["library"].search(" ".join(question), limit=10)
    ranked = [(one.document, one.sha256, one.ordinal) for one in best]
    assert [expected[key] for key in ranked] == pytest.approx(list(expected.values())[:10], rel=1e-9, abs=1e-15)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("native")
    write(folder / "000", in_order(CORPUS))
    with (
        open_layers(folder) as library,
        closing(sqlite3.connect(folder / "000" / DATABASE)) as database,
        closing(Reader()) as reader,
    ):
        yield {"library": library, "database": database, "reader": reader}


def test_words_are_counted_as_the_index_counts_them(native: Mapping[str, Any]) -> None:
    """FTS5 keeps each row's length itself, as two varints; these are below 128 and so one byte each."""
    rows = (
        native["database"]
        .execute("SELECT words, sz FROM chunks JOIN passages_docsize ON id = chunk ORDER BY chunk")
        .fetchall()
    )
    assert rows
    assert all(words == sum(sizes) for words, sizes in rows)
