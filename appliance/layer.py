"""One data layer, opened: its tables and its vectors, as they lie in the files."""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.format import DATABASE, HEADER_BYTES, VECTORS, VERSION, read_header

_MAPPED_BYTES: Final = 1 << 31
"""Of the database, SQLite's most: a frequent word's postings lie on many pages, each else read by a call of its own."""
_DOCUMENT: Final = """
SELECT path, sha256, media_type, size, title, language, date, text, pages FROM documents WHERE document = ?
"""
_CHUNK: Final = 'SELECT ordinal, start, "end", page, headings, marks FROM chunks WHERE chunk = ?'
MOST_ALSO: Final = 20
"""Names that are told beside a document's own: an empty form may have thousands."""


class Entry(NamedTuple):
    """What the catalogue knows of a document without reading its row."""

    path: str
    sha256: str
    media_type: str
    language: str | None
    date: str | None
    same_as: int | None
    """Another name has no chunks of its own; the document in its layer that has them."""


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document without its text, under one of its names."""

    path: str
    sha256: str
    media_type: str
    size: int
    title: str | None
    language: str | None
    date: str | None
    also: tuple[str, ...] = ()
    """Other names of the same bytes, by their bytes: MOST_ALSO at most."""
    names: int = 1
    """How many it has in all, this one included."""


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Counts code points of the document's text."""

    number: int
    start: int
    end: int
    confidence: float | None = None
    """Of a page that was recognised, from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText(DocumentInfo):
    text: str
    pages: tuple[PageSpan, ...]


class ChunkRow(NamedTuple):
    ordinal: int
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]
    marks: tuple[str, ...]


class Layer:
    """`close()` it. Its documents and chunks have the numbers of the file, from 0."""

    def __init__(self, database: sqlite3.Connection, vectors: NDArray[np.float32]) -> None:
        """`vectors`: float32 (chunks, dimension), row i for chunk i. Raises ValueError if the two do not belong."""
        self._database = database
        self.vectors = vectors
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise ValueError(f"this reader knows data layers of version {VERSION} only")
        self.about: dict[str, Any] = {n: json.loads(v) for n, v in database.execute("SELECT name, value FROM about")}
        self.entries = [
            Entry(*row)
            for row in database.execute(
                "SELECT path, sha256, media_type, language, date, same_as FROM documents ORDER BY path, sha256"
            )
        ]
        """By document number."""
        self.hidden = [path for (path,) in database.execute("SELECT path FROM hidden ORDER BY path")]
        chunks = database.execute("SELECT document, words, ifnull(folded, chunk) FROM chunks ORDER BY chunk").fetchall()
        table = np.array(chunks, np.int64).reshape(-1, 3)
        self.document_of = table[:, 0]
        """int64 (chunks,): rising."""
        self.lengths = table[:, 1]
        """int64 (chunks,), in words."""
        self.folded = table[:, 2]
        """int64 (chunks,): the chunk that each nearly repeats, or itself."""
        self.marked = [
            (chunk, tuple(json.loads(marks)))
            for chunk, marks in database.execute("SELECT chunk, marks FROM chunks WHERE marks <> '[]' ORDER BY chunk")
        ]
        """The chunks that have marks, with these."""
        if not self.about["chunks"] == len(vectors) == len(table):
            raise ValueError("there is not one vector for each chunk")

    def close(self) -> None:
        self._database.close()

    def postings(self, first: bytes, last: bytes) -> list[tuple[bytes, bytes, bytes]]:
        """Of each word from `first` to `last`, in order of their bytes: `chunks`, `in_text`, `in_context`."""
        query = "SELECT chunks, in_text, in_context FROM words WHERE word BETWEEN ? AND ?"
        return self._database.execute(query, (first, last)).fetchall()

    def matching(self, query: str) -> NDArray[np.int64]:
        """The chunks that an FTS5 query matches, ascending."""
        rows = self._database.execute("SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY rowid", (query,))
        return np.fromiter((chunk for (chunk,) in rows), np.int64)

    def chunk(self, number: int) -> ChunkRow:
        *row, headings, marks = self._row(_CHUNK, number)
        return ChunkRow._make([*row, tuple(json.loads(headings)), tuple(json.loads(marks))])

    def info(self, document: int) -> DocumentInfo:
        *row, _, _ = self._row(_DOCUMENT, document)
        return DocumentInfo(*row)

    def document(self, document: int) -> DocumentText:
        *row, text, pages = self._row(_DOCUMENT, document)
        return DocumentText(*row, text=text, pages=tuple(PageSpan(*page) for page in json.loads(pages)))

    def _row(self, query: str, number: int) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._database.execute(query, (number,)).fetchone()
        return row


def open_folder(folder: Path) -> Layer:
    """The data layer in a folder. Raises FileNotFoundError, or ValueError if it is not one or is damaged."""
    path = folder / DATABASE
    # immutable: neither locks nor journals are looked for, so a read-only file system will do
    uri = f"{path.resolve(strict=True).as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True, check_same_thread=False)
    database.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
    return open_parts(database, folder / VECTORS)


def open_parts(database: sqlite3.Connection, vectors: Path, *, offset: int = 0) -> Layer:
    """A data layer whose database is open already and whose vector file begins `offset` bytes into `vectors`.

    It closes the database, also where it raises ValueError or FileNotFoundError.
    """
    try:
        return Layer(database, map_vectors(vectors, offset=offset))
    except (sqlite3.DatabaseError, KeyError) as error:
        database.close()
        raise ValueError("the database is damaged or is not a data layer") from error
    except BaseException:
        database.close()
        raise


def map_vectors(path: Path, *, offset: int = 0) -> NDArray[np.float32]:
    """float32 (rows, dimension), read from disk only where it is touched. Raises ValueError: not a vector file."""
    with path.open("rb") as file:
        file.seek(offset)
        shape = read_header(file.read(HEADER_BYTES))
        if file.seek(0, 2) < offset + shape.file_bytes:
            raise ValueError("the vector file is cut off")
    if not shape.rows:
        return np.empty((0, shape.dimension), np.float32)
    return np.memmap(path, np.dtype("<f4"), "r", offset + HEADER_BYTES, (shape.rows, shape.dimension))
