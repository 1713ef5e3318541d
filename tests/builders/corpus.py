"""Documents as the builders take them: a small fixed library, in final order."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from builders.data_layer import DocumentText, Passages
from builders.image import BakedDocument
from schemas.messages import Chunk, Document, PageSpan
from schemas.messages.chunks import Mark

DIMENSION = 8
ABOUT = {
    "fingerprint": "f" * 64,
    "parameters": {"embedding_config": {"model": "fake", "query_prefix": ""}},
}
LIBRARY = {
    "Führung/Ürlaub.md": "Jahresurlaub\nDer Urlaubsanspruch beträgt 30 Tage.\nVerträge enden zum Monatsende.",
    "a/contract.txt": "The contract ends after twelve months.\nNotice is given in writing.",
    "z.csv": "pump;VS-55;840 EUR\0\n😀 seal;VS-60;12 EUR",
}


@dataclass(frozen=True)
class Book:
    """One document with one chunk a line."""

    document: Document
    text: str
    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]
    date: str | None = None
    title: str | None = None
    """Its path, unless it is said."""

    @property
    def texts(self) -> list[str]:
        return [self.text[chunk.start : chunk.end] for chunk in self.chunks]

    @property
    def pages(self) -> tuple[PageSpan, ...]:
        return (PageSpan(number=1, start=0, end=len(self.text)),)

    def baked(self, rows: int = 100) -> BakedDocument:
        """Its passages come `rows` at a time."""
        return BakedDocument(
            self.document,
            self.title or self.document.path,
            self._passages(rows),
            lambda: DocumentText("de", self.text, self.pages, self.date),
        )

    def _passages(self, rows: int) -> Iterator[Passages]:
        for i in range(0, len(self.chunks), rows):
            yield Passages(self.chunks[i : i + rows], self.texts[i : i + rows], self.vectors[i : i + rows])


def book(path: str, text: str) -> Book:
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:i]) for i in range(len(lines))]
    raw = f"{path}\0{text}".encode()
    return Book(
        Document(
            id=hashlib.md5(raw, usedforsecurity=False).hexdigest(),
            path=path,
            sha256=hashlib.sha256(raw).hexdigest(),
            media_type="text/plain",
            size=len(text.encode()),
        ),
        text,
        tuple(
            Chunk(ordinal=i, start=start, end=start + len(line), tokens=4, page=1, headings=("Titel", f"§ {i}"))
            for i, (start, line) in enumerate(zip(starts, lines, strict=True))
        ),
        np.stack([_vector(line) for line in lines]),
    )


def copy(path: str, text: str) -> Book:
    """As `book`, but everything except its path and id follows from its text: two of one text are the same file."""
    one = book("copy", text)
    named = {"path": path, "id": book(path, text).document.id}
    return replace(one, document=one.document.model_copy(update=named), title="Kopie")


def marked(one: Book, marks: Mapping[int, tuple[Mark, ...]]) -> Book:
    """With marks on some of its chunks, by ordinal."""
    chunks = tuple(chunk.model_copy(update={"marks": marks.get(chunk.ordinal, ())}) for chunk in one.chunks)
    return replace(one, chunks=chunks)


def library() -> list[Book]:
    """In final order: by the path's UTF-8 bytes."""
    return in_order([book(path, text) for path, text in LIBRARY.items()])


def in_order(books: Sequence[Book]) -> list[Book]:
    return sorted(books, key=lambda one: (one.document.path.encode(), one.document.sha256))


def _vector(text: str) -> NDArray[np.float32]:
    """Some direction for each text, the same everywhere."""
    digest = hashlib.sha256(text.encode()).digest()
    return (np.frombuffer(digest, np.uint8)[:DIMENSION].astype(np.float32) - 128) / 128
