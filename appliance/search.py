"""Search over a data layer: full text and vectors, each ranking on its own, fused by reciprocal rank.

Full text finds names, numbers and rare words; vectors find what was meant, also in the other language. Without a
vector for the question, full text answers alone.
"""

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.format import DATABASE, HEADER_BYTES, VECTORS, VERSION, read_header

FUSION_CONSTANT: Final = 60
"""k of reciprocal rank fusion, score = sum of 1/(k + rank): Cormack, Clarke, Buettcher, SIGIR 2009."""
LEAST_DEPTH: Final = 5
"""Each ranking names as many passages as are wanted, but at least these. Deeper, what both rank in the middle beats
what one ranks first: of 24 questions about examples/, 20 have their answer first at this depth, 18 at depth 50."""
CONTEXT_WEIGHT: Final = 0.5
"""BM25 weight of a match in the title or headings, against 1 in the passage itself."""

# Question and function words: rare ones ("how" in a manual) would otherwise outrank what is asked about.
_NOISE_ENGLISH: Final = """
a an and are as at be by can did do does for from had has have how i if in is it its many may me much must my no not of
on or our shall should so than that the their them then there these they this to was we were what when where which who
whom whose why will with would you your
"""
_NOISE_GERMAN: Final = """
aber alle als am an auch auf aus bei beim bin bis bist da das dass dem den der des dessen die dies diese diesem diesen
dieser dieses durch ein eine einem einen einer eines er es euch für gibt habe haben hat hatte ich ihm ihn ihr ihre im in
ist ja kann können man mein mich mir mit muss müssen nach nicht noch nur ob oder sein seine sich sie sind so soll sollen
sowie über um und uns unser unter vom von vor war waren warum was welche welchem welchen welcher welches wem wen wenn
wer werden wie viel viele wir wird wo wurde wurden zu zum zur
"""
_NOISE: Final = frozenset((_NOISE_ENGLISH + _NOISE_GERMAN).split())


@dataclass(frozen=True, slots=True)
class Passage:
    """One answer. `text` is `document_text[start:end]`, in code points; `document` is the document's path."""

    document: str
    page: int | None
    start: int
    end: int
    score: float
    text: str
    headings: tuple[str, ...]


class DataLayer:
    """An opened data layer. `close()` it, or use it in a `with`."""

    def __init__(self, database: sqlite3.Connection, vectors: NDArray[np.float32]) -> None:
        """`vectors`: float32 (chunks, dimension), row i for chunk i. Raises ValueError if the two do not belong."""
        self._database = database
        self._vectors = vectors
        self._norms: NDArray[np.float32] | None = None
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise ValueError(f"this reader knows data layers of version {VERSION} only")
        self.about: dict[str, Any] = {n: json.loads(v) for n, v in database.execute("SELECT name, value FROM about")}
        if self.about["chunks"] != len(vectors):
            raise ValueError("there is not one vector for each chunk")

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def search(self, question: str, vector: NDArray[np.float32] | None = None, *, limit: int = 5) -> list[Passage]:
        """The `limit` best passages, best first. `vector`: float32 (dimension,), the question's, if there is one.

        Raises ValueError if the vector is of another dimension.
        """
        depth = max(LEAST_DEPTH, limit)
        rankings = [self._by_text(question, depth)]
        if vector is not None:
            rankings.append(self._by_vector(vector, depth))
        return [self._passage(chunk, score) for chunk, score in _fused(rankings)[:limit]]

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "DataLayer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_text(self, question: str, depth: int) -> list[int]:
        query = text_query(question)
        if not query:
            return []
        rows = self._database.execute(
            "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, 1.0, ?), rowid LIMIT ?",
            (query, CONTEXT_WEIGHT, depth),
        )
        return [chunk for (chunk,) in rows]

    def _by_vector(self, vector: NDArray[np.float32], depth: int) -> list[int]:
        if vector.shape != (self.dimension,):
            raise ValueError(f"the question's vector has shape {vector.shape}, not ({self.dimension},)")
        if self._norms is None:
            self._norms = _norms(self._vectors)
        # the question's own length scales every score alike, so the order needs no division by it
        similarity = (self._vectors @ vector) / self._norms
        depth = min(depth, len(similarity))
        nearest = np.argpartition(-similarity, depth - 1)[:depth] if depth else np.empty(0, np.int64)
        return [int(chunk) for chunk in nearest[np.lexsort((nearest, -similarity[nearest]))]]

    def _passage(self, chunk: int, score: float) -> Passage:
        # cut in Python: SQLite's substr() ends at a NUL
        path, text, start, end, page, headings = self._database.execute(
            'SELECT path, text, start, "end", page, headings FROM chunks JOIN documents USING (document)'
            " WHERE chunk = ?",
            (chunk,),
        ).fetchone()
        return Passage(path, page, start, end, score, text[start:end], tuple(json.loads(headings)))


def open_folder(folder: Path) -> DataLayer:
    """The data layer in a folder. Raises FileNotFoundError, or ValueError if it is not one or is damaged."""
    path = folder / DATABASE
    # immutable: neither locks nor journals are looked for, so a read-only file system will do
    uri = f"{path.resolve(strict=True).as_uri()}?mode=ro&immutable=1"
    return open_parts(sqlite3.connect(uri, uri=True), folder / VECTORS)


def open_parts(database: sqlite3.Connection, vectors: Path, *, offset: int = 0) -> DataLayer:
    """A data layer whose database is open already and whose vector file begins `offset` bytes into `vectors`."""
    try:
        return DataLayer(database, map_vectors(vectors, offset=offset))
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


def text_query(question: str) -> str:
    """An FTS5 query that matches any of the question's words, whatever it contains. Empty if it has no word.

    A word of four letters or more also matches by its beginning, less its ending where it is long: that finds
    inflected forms and, in German, compounds ("Urlaub": "Urlaubsanspruch").
    """
    plain = unicodedata.normalize("NFC", question).lower().replace("_", " ")
    words = list(dict.fromkeys(re.findall(r"\w+", plain)))
    telling = [word for word in words if word not in _NOISE] or words
    return " OR ".join(term for word in telling for term in _terms(word))


def _terms(word: str) -> Iterable[str]:
    yield f'"{word}"'
    if len(word) >= 4 and not word.isdigit():
        yield f'"{word[: max(6, len(word) - 2)]}"*'


def _fused(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """Chunks with their scores, best first. Of equals, the one met first in the rankings' order comes first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, chunk in enumerate(ranking, start=1):
            scores[chunk] = scores.get(chunk, 0.0) + 1.0 / (FUSION_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


def _norms(vectors: NDArray[np.float32], rows: int = 8192) -> NDArray[np.float32]:
    """Length of each row, 1 where it is zero; in blocks, so that no second matrix is made."""
    norms = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), rows):
        norms[start : start + rows] = np.linalg.norm(vectors[start : start + rows], axis=1)
    norms[norms == 0] = 1.0
    return norms
