import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.format import APPLICATION_ID, DATABASE, VECTORS
from appliance.search import map_vectors
from builders.data_layer import Contents, DataLayerWriter, Passages
from builders.scratch import Scratch
from tests.builders.corpus import ABOUT, Book, book, copy, in_order, library, marked

PINNED_DATABASE = "1f0f107f5ae5f67a8eb342e3bfa4ad37f068afcaf59312872af76eb044b3b30e"
PINNED_VECTORS = "8407a37c79a987d0837867648da5646c8a2b9164d8cad6fb0148a19c7671a216"


def write(
    folder: Path,
    books: list[Book],
    rows: int = 100,
    *,
    number: int = 0,
    removed: Iterable[str] = (),
    fold: bool = False,
) -> Contents:
    """Leaves the two files in the new folder. Books of the same bytes become one under several names."""
    folder.mkdir(parents=True)
    first: dict[str, str] = {}
    with Scratch(folder) as scratch, DataLayerWriter(scratch, number=number, fold=fold) as writer:
        for path in removed:
            writer.hide(path)
        for one in books:
            if (same := first.setdefault(one.document.sha256, one.document.path)) != one.document.path:
                writer.add_name(one.document, same)
                continue
            baked = one.baked(rows)
            for passages in baked.passages:
                writer.add(baked.document, baked.title, passages)
            writer.close_document(baked.document, baked.title, baked.whole())
        contents = writer.finish(ABOUT)
        for name, file in writer.files.items():
            (folder / name).write_bytes(file.open().read())
    return contents


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_bytes_are_those_of_every_other_machine(tmp_path: Path) -> None:
    """A change here changes every image's digest: raise VERSION or a stage's version with it, or undo it."""
    write(tmp_path / "data", library())
    assert digests(tmp_path / "data") == {DATABASE: PINNED_DATABASE, VECTORS: PINNED_VECTORS}


@pytest.mark.parametrize(
    "surroundings",
    [{"TZ": "Pacific/Auckland", "LC_ALL": "C"}, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "7"}],
)
def test_neither_time_zone_locale_umask_nor_folder_shows(tmp_path: Path, surroundings: dict[str, str]) -> None:
    folder = tmp_path / "somewhere else" / "data"
    program = (
        "import os, sys; from pathlib import Path; os.umask(0o077)\n"
        "from tests.builders.test_data_layer import write; from tests.builders.corpus import library\n"
        "write(Path(sys.argv[1]), library())"
    )
    environment = {**os.environ, "PYTHONUTF8": "1", **surroundings}
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=environment)
    assert digests(folder) == {DATABASE: PINNED_DATABASE, VECTORS: PINNED_VECTORS}


@given(rows=st.integers(1, 5), lines=st.integers(1, 12))
def test_how_passages_are_grouped_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, rows: int, lines: int
) -> None:
    books = in_order([book("p", "\n".join(f"Zeile {i}" for i in range(lines))), *library()])
    folder = tmp_path_factory.mktemp("layers")
    assert write(folder / "one", books, rows) == write(folder / "other", books)
    assert digests(folder / "one") == digests(folder / "other")


def test_any_sqlite_reads_it(tmp_path: Path) -> None:
    books = library()
    contents = write(tmp_path / "data", books)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        documents = database.execute("SELECT path, sha256, text, title FROM documents ORDER BY document").fetchall()
        chunks = database.execute(
            'SELECT text, start, "end", page, headings FROM chunks JOIN documents USING (document) ORDER BY chunk'
        ).fetchall()
        found = database.execute("SELECT rowid FROM passages WHERE passages MATCH 'urlaubsanspruch'").fetchall()
    assert documents == [(one.document.path, one.document.sha256, one.text, one.document.path) for one in books]
    assert [text[start:end] for text, start, end, *_ in chunks] == [text for one in books for text in one.texts]
    assert {(page, headings[:9]) for *_, page, headings in chunks} == {(1, '["Titel",')}
    assert found == [(1,)]
    assert (contents.documents, contents.chunks, contents.dimension) == (3, 7, 8)
    vectors = map_vectors(tmp_path / "data" / VECTORS)
    np.testing.assert_array_equal(vectors, np.concatenate([one.vectors for one in books]))


def test_only_the_two_files_remain(tmp_path: Path) -> None:
    write(tmp_path / "data", library())
    assert {path.name for path in (tmp_path / "data").iterdir()} == {DATABASE, VECTORS}


def test_a_broken_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="order"):
        write(tmp_path / "data", library()[::-1])


def test_a_document_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each once"):
        write(tmp_path / "data", [library()[0]] * 2)


def test_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    one, other, *_ = library()
    with DataLayerWriter(Scratch(tmp_path)) as writer:
        writer.add(one.document, None, Passages(one.chunks, one.texts, one.vectors))
        writer.close_document(one.document, None, one.baked().whole())
        with pytest.raises(ValueError, match="8"):
            writer.add(other.document, None, Passages(other.chunks, other.texts, other.vectors[:, :4]))


def test_a_document_without_passages_is_refused(tmp_path: Path) -> None:
    one = library()[0]
    with DataLayerWriter(Scratch(tmp_path)) as writer, pytest.raises(ValueError, match="passage"):
        writer.close_document(one.document, None, one.baked().whole())


def test_the_writing_sqlite_is_the_pinned_one() -> None:
    assert apsw.apsw_version() == "3.54.1.0"


def test_the_words_are_the_indexs_own(tmp_path: Path) -> None:
    """Long and odd ones too: the index cuts a word at 32 KiB, within a character if need be."""
    books = in_order([book("p", "a a A pump\npump titel\n" + "語" * 12_000), *library()])
    write(tmp_path / "data", books)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        written = {
            (word, int(chunk)): (int(text), int(context))
            for word, chunks, in_text, in_context in database.execute("SELECT * FROM words")
            for chunk, text, context in zip(
                np.frombuffer(chunks, "<u4"),
                np.frombuffer(in_text, "<u2"),
                np.frombuffer(in_context, "<u2"),
                strict=True,
            )
        }
        database.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, passages, instance)")
        expected: dict[tuple[bytes, int], tuple[int, int]] = {}
        for word, chunk, column in database.execute("SELECT CAST(term AS BLOB), doc, col FROM temp.vocabulary"):
            text, context = expected.get((word, chunk), (0, 0))
            expected[word, chunk] = (text + (column == "text"), context + (column == "context"))
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%vocab%'")}
    assert written == expected
    assert expected[b"a", _chunk_of(books, "a a A pump")] == (3, 0)
    assert max(len(word) for word, _ in written) == 32_768
    assert tables == set()


def _chunk_of(books: list[Book], text: str) -> int:
    return [line for one in books for line in one.texts].index(text)


def test_another_name_has_a_row_without_text_or_chunks(tmp_path: Path) -> None:
    books = in_order([copy("b.txt", "Zeile"), copy("a.txt", "Zeile"), book("c.txt", "Anderes")])
    contents = write(tmp_path / "data", books)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        rows = database.execute(
            "SELECT path, text, pages, same_as, title, language, count(chunk) FROM documents"
            " LEFT JOIN chunks USING (document) GROUP BY document ORDER BY document"
        ).fetchall()
    assert rows == [
        ("a.txt", "Zeile", "[[1,0,5]]", None, "Kopie", "de", 1),
        ("b.txt", "", "[]", 0, "Kopie", "de", 0),
        ("c.txt", "Anderes", "[[1,0,7]]", None, "c.txt", "de", 1),
    ]
    assert (contents.documents, contents.duplicates, contents.chunks) == (3, 1, 2)


def test_a_name_comes_in_its_turn_and_of_a_document_that_is_there(tmp_path: Path) -> None:
    one = copy("b.txt", "Zeile")
    with DataLayerWriter(Scratch(tmp_path)) as writer:
        writer.add(one.document, None, Passages(one.chunks, one.texts, one.vectors))
        writer.close_document(one.document, None, one.baked().whole())
        with pytest.raises(ValueError, match="order"):
            writer.add_name(copy("a.txt", "Zeile").document, "b.txt")
        with pytest.raises(ValueError, match="before it"):
            writer.add_name(copy("c.txt", "Anderes").document, "b.txt")


def test_marks_and_folds_are_counted(tmp_path: Path) -> None:
    text = " ".join(f"wort{letter}" for letter in "abcdefghijklm")
    books = [marked(book("a.txt", f"{text}\n{text}"), {0: ("hidden",)}), book("b.txt", text)]
    contents = write(tmp_path / "data", books, fold=True)
    assert (contents.folded, contents.marks) == (1, {"hidden": 1})
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        assert database.execute("SELECT chunk, marks, folded FROM chunks").fetchall() == [
            (0, '["hidden"]', None),
            (1, "[]", None),
            (2, "[]", 1),
        ]


def test_a_documents_date_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "data", [replace(library()[0], date="2026-01-31")])
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        assert database.execute("SELECT date FROM documents").fetchall() == [("2026-01-31",)]


def hidden(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        return [path for (path,) in database.execute("SELECT path FROM hidden ORDER BY path")]


def test_an_update_hides_what_it_brings_and_what_is_removed(tmp_path: Path) -> None:
    write(tmp_path / "data", library()[:1], number=1, removed=["b/", "a.txt", "b/"])
    assert hidden(tmp_path / "data") == ["Führung/Ürlaub.md", "a.txt", "b/"]


def test_an_update_may_only_hide(tmp_path: Path) -> None:
    contents = write(tmp_path / "data", [], number=3, removed=["a.txt"])
    assert (contents.documents, contents.chunks, contents.dimension) == (0, 0, 0)
    assert hidden(tmp_path / "data") == ["a.txt"]
    assert map_vectors(tmp_path / "data" / VECTORS).shape == (0, 0)


def test_in_which_order_paths_were_removed_does_not_show(tmp_path: Path) -> None:
    paths = [f"folder/{i}.txt" for i in range(500)]
    write(tmp_path / "one", [], number=1, removed=paths)
    write(tmp_path / "other", [], number=1, removed=paths[::-1])
    assert digests(tmp_path / "one") == digests(tmp_path / "other")


def test_the_first_layer_hides_nothing(tmp_path: Path) -> None:
    with DataLayerWriter(Scratch(tmp_path)) as writer, pytest.raises(ValueError, match="update"):
        writer.hide("a.txt")
