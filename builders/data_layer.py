"""Writes the data layer (appliance.format): the same documents give the same bytes on any machine, on any day.

What could differ is pinned: SQLite itself (`apsw`, since it writes its version into the file), page size, the order of
every insertion, one transaction over all of them, the settings of the full-text index, and a final VACUUM, which
lays the file out anew from its content. Nothing in it is drawn, timed or taken from the machine.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.format import APPLICATION_ID, DATABASE, HEADER_BYTES, SCHEMA, VECTORS, VERSION, VectorShape
from builders.folding import Folding
from builders.leaves import admit_leaf, chunk_leaf, embed_leaf
from builders.scratch import UNIT, Scratch, SealedFile
from schemas.merkle import MerkleTree
from schemas.messages import Chunk, Document, PageSpan

_PRAGMAS: Final = f"""
PRAGMA page_size = {UNIT};
PRAGMA encoding = 'UTF-8';
PRAGMA auto_vacuum = NONE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
PRAGMA journal_mode = OFF;           -- a killed build is thrown away whole
PRAGMA synchronous = OFF;            -- and the image's blobs are synced, not this scratch file
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA temp_store = MEMORY;          -- nothing of a customer's in the machine's temporary folder
PRAGMA cache_size = -65536;          -- 64 MiB
"""
PAGE_BYTES: Final = 4096
"""Of the file in the image. While it is made its pages are scratch units: each is one piece of encryption."""
_INDEX_SETTINGS: Final = {"automerge": 0, "crisismerge": 1000, "hashsize": 16 * 1024 * 1024}
"""Words gather in 16 MiB of memory before they are written, and merge once, at the end."""
_MOST_COUNTED: Final = 2**16 - 1
_OCCURRENCES: Final = """
SELECT CAST(term AS BLOB), group_concat(doc * 2 + (col = 'context')) FROM temp.vocabulary GROUP BY term
"""
"""Of each word, in order of its bytes: where it occurs, by chunk. The index is walked; nothing is sorted."""
_ADD_NAME: Final = """
INSERT INTO documents
SELECT ?, ?, sha256, media_type, size, title, language, date, '', '[]', document
FROM documents
WHERE path = ? AND sha256 = ? AND same_as IS NULL
"""
_SPAN: Final = 'SELECT document, start, "end" FROM chunks WHERE chunk = ?'
_TEXTS_KEPT: Final = 2
"""Documents whose texts are at hand while their passages are compared: that in hand, and that of the others."""


@dataclass(frozen=True, slots=True)
class Passages:
    """A run of one document's chunks, in order."""

    chunks: Sequence[Chunk]
    texts: Sequence[str]
    """One a chunk: `document_text[start:end]`."""
    vectors: NDArray[np.float32]
    """float32 (chunks, dimension), one row a chunk."""


@dataclass(frozen=True, slots=True)
class DocumentText:
    """What is known of a document once all of its passages have been seen."""

    language: str | None
    text: str
    pages: Sequence[PageSpan]
    date: str | None = None
    """`2026-01-31`."""


@dataclass(frozen=True, slots=True)
class Contents:
    documents: int
    chunks: int
    dimension: int
    merkle: Mapping[str, str]
    """Root of each stage (`builders.leaves`), hex."""
    duplicates: int = 0
    """Of the documents: those that are another name of one."""
    folded: int = 0
    """Of the chunks: those that nearly repeat another."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """How many chunks have each mark."""


class DataLayerWriter:
    """Takes documents in their final order: by path's bytes, then SHA-256. Memory does not grow with their number.

    For each document `add` its passages, at least once, then `close_document`; or, for another name of one that is
    closed, `add_name`; at the end `finish`. Used in a `with`. An update that only hides has no document.
    """

    def __init__(self, scratch: Scratch, *, number: int = 0, fold: bool = False) -> None:
        """All that is written lies in `scratch`, sealed; so do the two files, from `finish` until it is closed.

        `number` is the layer's: above 0 it is an update, and hides in the layers below what it replaces or removes.
        `fold`: whether chunks that nearly repeat another are folded into it (`builders.folding`).
        """
        self._scratch = scratch
        self._update = number > 0
        self._vectors = scratch.file(VECTORS)
        self._database = scratch.database(f"{DATABASE}-in-the-making")
        self._database.execute(_PRAGMAS)
        self._database.execute("BEGIN")
        self._database.execute(SCHEMA)
        for name, value in _INDEX_SETTINGS.items():
            self._database.execute("INSERT INTO passages(passages, rank) VALUES (?, ?)", (name, value))
        self._trees = {stage: MerkleTree() for stage in ("admit", "chunk", "embed")}
        self._documents = self._chunks = self._dimension = self._duplicates = 0
        self._folding = Folding() if fold else None
        self._marks = Counter[str]()
        self._last: tuple[bytes, str] | None = None
        self._begun = False

    def __enter__(self) -> "DataLayerWriter":
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self._database.close(True)

    def add(self, document: Document, title: str | None, passages: Passages) -> None:
        """The document's next passages. Raises ValueError if a vector's dimension differs, or the order is wrong."""
        if not self._begun:
            self._begin(document)
        self._add_vectors(passages.vectors)
        for offset, (chunk, text) in enumerate(zip(passages.chunks, passages.texts, strict=True)):
            vector = passages.vectors[offset].astype("<f4", copy=False).tobytes()
            self._trees["chunk"].add(chunk_leaf(document, chunk, text))
            self._trees["embed"].add(embed_leaf(document, chunk, vector))
        first = self._chunks
        self._database.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, NULL)",  # words and likes: at the end
            (_chunk_row(first + i, self._documents, chunk) for i, chunk in enumerate(passages.chunks)),
        )
        self._database.executemany(
            "INSERT INTO passages(rowid, text, context) VALUES (?, ?, ?)",
            (
                (first + i, text, "\n".join(filter(None, (title, *chunk.headings))))
                for i, (chunk, text) in enumerate(zip(passages.chunks, passages.texts, strict=True))
            ),
        )
        self._chunks += len(passages.chunks)
        for chunk, text in zip(passages.chunks, passages.texts, strict=True):
            self._marks.update(chunk.marks)
            if self._folding is not None:
                self._folding.add(text, chunk.marks)

    def close_document(self, document: Document, title: str | None, whole: DocumentText) -> None:
        """Ends the document whose passages were added."""
        if not self._begun:
            raise ValueError("a document has at least one passage")
        self._database.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                self._documents,
                document.path,
                document.sha256,
                document.media_type,
                document.size,
                title,
                whole.language,
                whole.date,
                whole.text,
                _json([_page(page) for page in whole.pages]),
            ),
        )
        self._end(document)

    def add_name(self, document: Document, of: str) -> None:
        """Another name of the document that was closed as `of` and has the same bytes; it takes its turn in the order.

        Raises ValueError: there is none.
        """
        self._begin(document)
        self._database.execute(_ADD_NAME, (self._documents, document.path, of, document.sha256))
        if not self._database.changes():
            raise ValueError("a name is of a document before it")
        self._duplicates += 1
        self._end(document)

    def hide(self, path: str) -> None:
        """Hides a path in the layers below (appliance.format, `hidden`). Raises ValueError in a full bake."""
        if not self._update:
            raise ValueError("only an update hides paths")
        self._database.execute("INSERT OR IGNORE INTO hidden VALUES (?)", (path,))

    @property
    def files(self) -> dict[str, SealedFile]:
        """The two files of the format by name, once finished."""
        return {name: self._scratch.file(name) for name in (DATABASE, VECTORS)}

    def finish(self, about: Mapping[str, Any]) -> Contents:
        """Writes `about` and what was counted: the two files are whole."""
        merkle = {stage: tree.root() for stage, tree in self._trees.items()}
        folded, marks = self._fold(), dict(sorted(self._marks.items()))
        contents = Contents(self._documents, self._chunks, self._dimension, merkle, self._duplicates, folded, marks)
        self._write_about({**about, **_counted(contents)})
        self._database.execute("INSERT INTO passages(passages) VALUES ('optimize')")
        self._write_words()
        self._database.execute("COMMIT")
        self._database.execute(f"PRAGMA page_size = {PAGE_BYTES}; VACUUM INTO ?", (DATABASE,))
        self._database.close()
        self._vectors.write(0, VectorShape(self._chunks, self._dimension).header())
        return contents

    def _begin(self, document: Document) -> None:
        place = (document.path.encode(), document.sha256)
        if self._last is not None and place <= self._last:
            raise ValueError("documents come in order of path and SHA-256, each once")
        self._last, self._begun = place, True

    def _end(self, document: Document) -> None:
        if self._update:
            self.hide(document.path)
        self._trees["admit"].add(admit_leaf(document))
        self._documents += 1
        self._begun = False

    def _fold(self) -> int:
        """Notes which chunks nearly repeat which; returns how many."""
        if self._folding is None:
            return 0
        text_of = lru_cache(_TEXTS_KEPT)(self._text)

        def passage(number: int) -> str:
            [(document, start, end)] = self._database.execute(_SPAN, (number,))
            return text_of(document)[start:end]

        folded = self._folding.folded(passage)
        self._database.executemany(
            "UPDATE chunks SET folded = ? WHERE chunk = ?", ((into, one) for one, into in folded)
        )
        return len(folded)

    def _text(self, document: int) -> str:
        [(text,)] = self._database.execute("SELECT text FROM documents WHERE document = ?", (document,))
        return str(text)

    def _add_vectors(self, vectors: NDArray[np.float32]) -> None:
        if self._dimension == 0:
            self._dimension = vectors.shape[1]
            self._vectors.write(0, bytes(HEADER_BYTES))
        if vectors.shape[1] != self._dimension:
            raise ValueError(f"a vector has {vectors.shape[1]} dimensions, those before it {self._dimension}")
        self._vectors.write(self._vectors.size, vectors.astype("<f4", copy=False).tobytes())

    def _write_words(self) -> None:
        """The index by word, and how many words each chunk has: one walk over it, one word in memory at a time."""
        self._database.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, passages, instance)")
        lengths = np.zeros(self._chunks, np.int64)
        self._database.executemany("INSERT INTO words VALUES (?, ?, ?, ?)", self._postings(lengths))
        self._database.executemany(
            "UPDATE chunks SET words = ? WHERE chunk = ?",
            ((length, chunk) for chunk, length in enumerate(lengths.tolist())),
        )
        self._database.execute("DROP TABLE temp.vocabulary")

    def _postings(self, lengths: NDArray[np.int64]) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
        """The rows of `words`. What they count is added to `lengths`."""
        for word, codes in self._database.execute(_OCCURRENCES):
            occurrences = np.fromstring(codes, np.int64, sep=",")
            chunks, which = np.unique(occurrences >> 1, return_inverse=True)
            all_of = np.bincount(which)
            in_context = np.bincount(which, weights=occurrences & 1).astype(np.int64)
            lengths[chunks] += all_of
            counts = (_counts(all_of - in_context), _counts(in_context))
            yield word, chunks.astype("<u4").tobytes(), *counts

    def _write_about(self, about: Mapping[str, Any]) -> None:
        rows = [(name, _json(about[name])) for name in sorted(about)]
        self._database.executemany("INSERT INTO about VALUES (?, ?)", rows)


def _chunk_row(number: int, document: int, chunk: Chunk) -> tuple[int | str | None, ...]:
    headings, marks = _json(chunk.headings), _json(chunk.marks)
    return number, document, chunk.ordinal, chunk.start, chunk.end, chunk.page, headings, chunk.tokens, marks


def _page(page: PageSpan) -> list[float]:
    span: list[float] = [page.number, page.start, page.end]
    return span if page.confidence is None else [*span, page.confidence]


def _counts(numbers: NDArray[np.int64]) -> bytes:
    return np.minimum(numbers, _MOST_COUNTED).astype("<u2").tobytes()


def _counted(contents: Contents) -> dict[str, Any]:
    return {
        "documents": contents.documents,
        "duplicates": contents.duplicates,
        "chunks": contents.chunks,
        "folded": contents.folded,
        "marks": dict(contents.marks),
        "dimension": contents.dimension,
        "merkle": dict(contents.merkle),
    }


def _json(value: Mapping[str, Any] | Iterable[Any] | Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
