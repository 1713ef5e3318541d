"""Search over data layers: full text and vectors, each ranking on its own, fused by reciprocal rank.

Full text finds names, numbers and rare words; vectors find what was meant, also in the other language. Without a
vector for the question, full text answers alone.

An update's layer hides what it replaces or removes. What is found, its order and its scores are those of one full bake
of the documents that are left. A passage that nearly repeats another is folded into it: listed, not searched. Passages
are folded within their layer alone; those whose like is hidden are searched again.
"""

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, islice, takewhile
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from appliance.asking import Asked, Reader, Term
from appliance.catalogue import EVERYTHING, Catalogue, Filter
from appliance.folds import Folds
from appliance.format import MOST_LAYERS, layer_folder
from appliance.layer import MOST_ALSO, ChunkRow, DocumentInfo, DocumentText, Layer, map_vectors, open_folder, open_parts
from appliance.ranking import (
    CONTEXT_WEIGHT,
    Measured,
    Postings,
    WordRanking,
    best,
    exact_similarities,
    fuse,
    similarity_error,
)

__all__ = ["DocumentInfo", "DocumentText", "Library", "Passage", "library", "map_vectors", "open_layers", "open_parts"]

LEAST_DEPTH: Final = 5
"""Each ranking names as many passages as are wanted, but at least these. Deeper, what both rank in the middle beats
what one ranks first: of 24 questions about examples/, 20 have their answer first at this depth, 18 at depth 50."""
_THREADS: Final = 2
"""That read the vectors: two take most of what memory gives. BLAS has threads too, but they burn time while they wait,
so `__main__` leaves it one."""
_ROWS_A_PIECE: Final = 4096

Info = TypeVar("Info", bound=DocumentInfo)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as whoever asks sees it. `text` is `document_text[start:end]`, in code points; `document` is the
    document's path."""

    document: str
    page: int | None
    start: int
    end: int
    score: float
    """Of reciprocal rank fusion; 0 where nothing was asked."""
    text: str
    headings: tuple[str, ...]
    ordinal: int
    sha256: str
    title: str | None
    language: str | None
    date: str | None
    marks: tuple[str, ...] = ()
    """`doubtful`: on a page that was recognised with little confidence; `hidden`: a reader of the document does not see
    some of it."""
    also: tuple[str, ...] = ()
    """Other names of the document's bytes: MOST_ALSO at most."""
    names: int = 1
    """How many the document has in all."""
    folded: int = 0
    """How many other passages nearly repeat it, and are not searched."""
    folded_into: "Place | None" = None
    """The one that it nearly repeats itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands."""

    document: str
    page: int | None
    start: int
    end: int
    ordinal: int


class Library:
    """Opened data layers, the oldest first. `close()` it, or use it in a `with`. One thread at a time is let in.

    Documents and passages are numbered through all layers. Opening reads no text and no vector.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Raises ValueError: there is none, or their vectors are of different dimensions."""
        if not layers:
            raise ValueError("there is no data layer")
        self._layers = layers
        self.dimension = _dimension(layers)
        """Of every vector; 0 where there is none."""
        self._first_document = [0, *accumulate(len(layer.entries) for layer in layers)]
        self._first_passage = [0, *accumulate(len(layer.vectors) for layer in layers)]
        self._catalogue = Catalogue(layers)
        self._document_of = np.concatenate(
            [layer.document_of + first for layer, first in zip(layers, self._first_document, strict=False)]
        )
        places = self._catalogue.order[self._document_of]
        folded = [layer.folded + first for layer, first in zip(layers, self._first_passage, strict=False)]
        self._folds = Folds(np.concatenate(folded), places)
        self._listed: NDArray[np.bool_] = places >= 0
        """bool (passages,): of a document that is live."""
        self._live: NDArray[np.bool_] = self._listed & self._folds.searched
        self._words = WordRanking(np.concatenate([layer.lengths for layer in layers]), self._live)
        self._measured: list[Measured] | None = None
        self._measuring = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "vectors")
        self._reader = Reader()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def about(self) -> dict[str, Any]:
        """What the newest layer says of itself, with what is live in all of them counted, and `layers`: each alone."""
        live = {
            "documents": len(self._catalogue.numbers),
            "duplicates": self._catalogue.duplicates,
            "chunks": int(np.count_nonzero(self._listed)),
            "folded": int(np.count_nonzero(self._listed & ~self._live)),
            "marks": self._marks(),
            "dimension": self.dimension,
        }
        layers = [
            {
                "number": number,
                "documents": layer.about["documents"],
                "chunks": layer.about["chunks"],
                "hides": len(layer.hidden),
                "fingerprint": layer.about["fingerprint"],
                "merkle": layer.about["merkle"],
            }
            for number, layer in enumerate(self._layers)
        ]
        return {**self._layers[-1].about, **live, "layers": layers}

    def search(
        self,
        question: str,
        vector: NDArray[np.float32] | None = None,
        *,
        limit: int = 5,
        document: str | None = None,
        language: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Passage]:
        """The `limit` best passages, best first. `vector`: float32 (dimension,), the question's, if there is one.

        The other arguments choose documents (see Filter) before anything is ranked; a part of the question in
        quotation marks has to stand in the passage, its title or its headings, word by word. Neither changes a
        score: how rare a word is counts over all live passages.
        Raises ValueError if the vector is of another dimension.
        """
        if vector is not None and self.dimension and vector.shape != (self.dimension,):
            raise ValueError(f"the question's vector has shape {vector.shape}, not ({self.dimension},)")
        measured = [] if vector is None else self._vectors_measured()
        with self._lock:
            asked = self._reader.read(question)
            wanted = Filter(document, language, since, until)
            eligible = self._eligible(wanted, asked)
            depth = max(LEAST_DEPTH, limit)
            rankings = [self._by_words(asked, eligible, depth)]
            if vector is not None:
                rankings.append(self._by_vector(vector, measured, eligible, depth))
            return self._passages(fuse(rankings)[:limit], wanted)

    def documents(
        self,
        *,
        after: str | None = None,
        limit: int = 50,
        language: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[DocumentInfo]:
        """The documents of the first `limit` paths in order of their bytes, from behind the path `after`.

        Several documents may have one path; they are never parted.
        """
        wanted = Filter(None, language, since, until)
        with self._lock:
            groups = groupby(self._catalogue.listed(wanted, after), lambda number: self._catalogue.entries[number].path)
            return [self._info(number) for _, group in islice(groups, limit) for number in group]

    def document(self, path: str) -> DocumentText | None:
        """The document of that path, None if there is none. Of several, the first by SHA-256."""
        with self._lock:
            return next(map(self._text, self._catalogue.named(path)), None)

    def passages(self, path: str) -> list[Passage]:
        """All passages of the document that `document(path)` gives, in order; none if there is none."""
        with self._lock:
            number = next(self._catalogue.named(path), None)
            if number is None:
                return []
            document, holder = self._text(number), self._catalogue.holder[number]
            first, end = np.searchsorted(self._document_of, (holder, holder + 1)).tolist()
            return [self._part(document, passage, 0.0) for passage in range(first, end)]

    def ready(self) -> None:
        """A small search by words. Raises what a failing disk or a damaged file raises."""
        self.search("ready", limit=1)

    def warm(self) -> None:
        """Reads every vector once, so that the first question with a vector need not. Nothing once it is closed.

        Whatever needs no vector is answered meanwhile.
        """
        self._vectors_measured()

    def close(self) -> None:
        with self._lock, self._measuring, ExitStack() as stack:
            self._closed = True
            stack.callback(self._threads.shutdown)
            stack.callback(self._reader.close)
            for layer in self._layers:
                stack.callback(layer.close)

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- rankings

    def _eligible(self, wanted: Filter, asked: Asked) -> NDArray[np.bool_]:
        """bool (passages,)"""
        eligible = self._live
        if wanted != EVERYTHING:
            eligible = eligible & self._catalogue.admitted(wanted)[self._document_of]
        for query in asked.verbatim:
            matching = np.zeros(len(eligible), np.bool_)
            for layer, first in zip(self._layers, self._first_passage, strict=False):
                matching[layer.matching(query) + first] = True
            eligible = eligible & matching
        return eligible

    def _by_words(self, asked: Asked, eligible: NDArray[np.bool_], depth: int) -> list[int]:
        scores = self._words.scores(map(self._postings, asked.terms))
        return self._best(np.flatnonzero(eligible & (scores > 0)), scores, depth)

    def _postings(self, term: Term) -> list[Postings]:
        """A piece for each layer that holds the term."""
        last = term.word + b"\xff" if term.beginning else term.word  # no UTF-8 has that byte
        pieces = []
        for layer, first in zip(self._layers, self._first_passage, strict=False):
            rows = layer.postings(term.word, last)
            if rows:
                chunks, in_text, in_context = (b"".join(column) for column in zip(*rows, strict=True))
                passages = np.frombuffer(chunks, "<u4").astype(np.int64)
                passages += first
                frequencies = np.frombuffer(in_context, "<u2") * np.float32(CONTEXT_WEIGHT)
                frequencies += np.frombuffer(in_text, "<u2")
                pieces.append(Postings(passages, frequencies, distinct=len(rows) == 1))
        return pieces

    def _by_vector(
        self, vector: NDArray[np.float32], measured: Sequence[Measured], eligible: NDArray[np.bool_], depth: int
    ) -> list[int]:
        """BLAS proposes whatever can be among the first `depth` within its error; these are then measured exactly."""
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not self.dimension or not length or not eligible.any():
            return []
        unit = (vector / np.float32(length)).astype(np.float32)
        roughly = np.concatenate(list(self._threads.map(lambda piece: piece.similarities(unit), measured)))
        roughly = np.where(eligible, roughly, -np.inf)
        if len(roughly) > depth:
            last = np.partition(roughly, len(roughly) - depth)[len(roughly) - depth]
            near = np.flatnonzero(eligible & (roughly >= last - 2 * similarity_error(self.dimension)))
        else:
            near = np.flatnonzero(eligible)
        exact = np.zeros(len(roughly))
        exact[near] = exact_similarities(self._vectors(near), vector)
        return self._best(near, exact, depth)

    def _best(self, passages: NDArray[np.int64], scores: NDArray[np.float64], depth: int) -> list[int]:
        found = best(passages, scores[passages], self._catalogue.order[self._document_of[passages]], depth)
        return [int(passage) for passage in found]

    def _vectors(self, passages: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (passages, dimension). `passages` rise."""
        bounds = np.searchsorted(passages, self._first_passage)
        return np.concatenate(
            [
                layer.vectors[passages[start:end] - first]
                for layer, first, start, end in zip(
                    self._layers, self._first_passage, bounds[:-1], bounds[1:], strict=False
                )
                if start < end
            ]
        )

    def _vectors_measured(self) -> list[Measured]:
        """All vectors, in pieces, with their lengths; computed once. None where it is closed before."""
        with self._measuring:
            if self._measured is None and not self._closed:
                pieces = [
                    layer.vectors[start : start + _ROWS_A_PIECE]
                    for layer in self._layers
                    for start in range(0, len(layer.vectors), _ROWS_A_PIECE)
                ]
                self._measured = list(self._threads.map(Measured.of, pieces))
            return self._measured or []

    # -- lookup

    def _marks(self) -> dict[str, int]:
        """How many passages have each mark."""
        counted = Counter[str]()
        for layer, first in zip(self._layers, self._first_passage, strict=False):
            for chunk, marks in layer.marked:
                counted.update(marks if self._listed[first + chunk] else ())
        return dict(sorted(counted.items()))

    def _text(self, number: int) -> DocumentText:
        """The document under that name."""
        holder = int(self._catalogue.holder[number])
        layer = bisect_right(self._first_document, holder) - 1
        return self._under(self._layers[layer].document(holder - self._first_document[layer]), number)

    def _info(self, number: int) -> DocumentInfo:
        layer = bisect_right(self._first_document, number) - 1
        return self._under(self._layers[layer].info(number - self._first_document[layer]), number)

    def _under(self, document: Info, number: int) -> Info:
        """The document with that name and its others."""
        names = self._catalogue.names(number)
        others = (self._catalogue.entries[name].path for name in names if name != number)
        path = self._catalogue.entries[number].path
        return replace(document, path=path, also=tuple(islice(others, MOST_ALSO)), names=len(names))

    def _passages(self, found: Sequence[tuple[int, float]], wanted: Filter = EVERYTHING) -> list[Passage]:
        """In their order. Each document's text, which may be long, is read once and let go before the next."""
        shown: dict[int, Passage] = {}
        for number, group in groupby(sorted(found), lambda one: int(self._document_of[one[0]])):
            document = self._text(self._catalogue.shown(number, wanted))
            shown.update((passage, self._part(document, passage, score)) for passage, score in group)
        return [shown[passage] for passage, _ in found]

    def _part(self, document: DocumentText, passage: int, score: float) -> Passage:
        chunk = self._chunk(passage)
        return Passage(
            document=document.path,
            page=chunk.page,
            start=chunk.start,
            end=chunk.end,
            score=score,
            text=document.text[chunk.start : chunk.end],  # cut in Python: SQLite's substr() ends at a NUL
            headings=chunk.headings,
            ordinal=chunk.ordinal,
            sha256=document.sha256,
            title=document.title,
            language=document.language,
            date=document.date,
            marks=chunk.marks,
            also=document.also,
            names=document.names,
            folded=self._folds.folded_into(passage),
            folded_into=self._place(self._folds.into(passage)),
        )

    def _chunk(self, passage: int) -> ChunkRow:
        layer = bisect_right(self._first_passage, passage) - 1
        return self._layers[layer].chunk(passage - self._first_passage[layer])

    def _place(self, passage: int | None) -> Place | None:
        if passage is None:
            return None
        chunk = self._chunk(passage)
        name = self._catalogue.shown(int(self._document_of[passage]), EVERYTHING)
        return Place(self._catalogue.entries[name].path, chunk.page, chunk.start, chunk.end, chunk.ordinal)


def open_layers(folder: Path) -> Library:
    """All data layers in a folder: `000`, `001`, ... Raises FileNotFoundError: there is none; ValueError: one is
    damaged, or one below another is missing.
    """
    present = {path.name for path in folder.iterdir() if path.is_dir()}
    names = list(takewhile(present.__contains__, map(layer_folder, range(MOST_LAYERS))))
    if not names:
        raise FileNotFoundError(f"there is no data layer {layer_folder(0)}")
    if any(name.isdigit() for name in present.difference(names)):
        raise ValueError("a data layer below another is missing")
    return library(open_folder(folder / name) for name in names)


def library(layers: Iterable[Layer]) -> Library:
    """Of layers that are opened as this goes on, the oldest first. If one cannot be, it closes those before it."""
    with ExitStack() as stack:
        opened = []
        for layer in layers:
            stack.callback(layer.close)
            opened.append(layer)
        made = Library(opened)
        stack.pop_all()
        return made


def _dimension(layers: Iterable[Layer]) -> int:
    dimensions = {layer.vectors.shape[1] for layer in layers if len(layer.vectors)}
    if len(dimensions) > 1:
        raise ValueError("the data layers have vectors of different dimensions")
    return dimensions.pop() if dimensions else 0
