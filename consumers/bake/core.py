"""Joins the parts of one document: chunks in order, stretches of text to the whole text, pages once each. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import numpy as np

from builders.data_layer import DocumentText, Passages
from builders.image import BakedDocument
from schemas.errors import Permanent
from schemas.messages import EmbeddingsMade, PageSpan


def assemble(document: str, path: str, parts: Iterable[EmbeddingsMade]) -> BakedDocument:
    """The document of that id and path, from its parts in order. They are read as the result is.

    Raises Permanent `job.incomplete`, here or while reading: there are no parts, one belongs to another document,
    chunks or text are missing between them or at the end, or two of them disagree.
    """
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        raise _incomplete("a document has no parts")
    assembly = _Assembly(first)
    if (assembly.document.id, assembly.document.path) != (document, path):
        raise _incomplete("a part belongs to another document")
    return BakedDocument(
        document=assembly.document,
        title=assembly.title,
        passages=map(assembly.take, chain((first,), parts)),
        whole=assembly.whole,
    )


def renamed(baked: BakedDocument, path: str) -> BakedDocument:
    """The document under another of its names."""
    return replace(baked, document=baked.document.model_copy(update={"path": path}))


class _Assembly:
    def __init__(self, first: EmbeddingsMade) -> None:
        self.document = first.chunks.document
        self.title = first.chunks.title
        self._language = first.chunks.language
        self._date = first.chunks.date
        self._length = first.chunks.text_length
        self._next_ordinal = 0
        self._stretches: list[str] = []
        self._end = 0
        """Code points joined so far."""
        self._last = ""
        """The stretch that ends there, to compare the next one's overlap with."""
        self._pages: dict[int, PageSpan] = {}

    def take(self, part: EmbeddingsMade) -> Passages:
        made = part.chunks
        if made.document != self.document:
            raise _incomplete("a part belongs to another document")
        for chunk in made.chunks:
            if chunk.ordinal != self._next_ordinal:
                raise _incomplete("a document lacks chunks, or has some twice")
            if not made.text_start <= chunk.start <= chunk.end <= made.text_start + len(made.text):
                raise _incomplete("a chunk lies outside its text")
            self._next_ordinal += 1
        self._join(made.text_start, made.text)
        self._pages.update((page.number, page) for page in made.pages)
        texts = [made.text_of(chunk) for chunk in made.chunks]
        return Passages(made.chunks, texts, _matrix(part))

    def whole(self) -> DocumentText:
        if self._end != self._length:
            raise _incomplete("a document's text is missing at its end")
        pages = sorted(self._pages.values(), key=lambda page: page.number)
        return DocumentText(self._language, "".join(self._stretches), pages, self._date)

    def _join(self, start: int, text: str) -> None:
        overlap = self._end - start
        if overlap < 0:
            raise _incomplete("a document's text has a gap")
        known = self._last[-overlap:] if overlap else ""
        if not text.startswith(known[: len(text)]) or len(known) < min(overlap, len(text)):
            raise _incomplete("two stretches of a document's text disagree")
        if overlap < len(text):
            self._stretches.append(text[overlap:])
            self._end = start + len(text)
            self._last = text


def _matrix(part: EmbeddingsMade) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    little_endian = np.dtype(part.vectors.dtype).newbyteorder("<")
    return np.frombuffer(part.vectors.data, little_endian).reshape(part.vectors.shape).astype("<f4", copy=False)


def _incomplete(what: str) -> Permanent:
    return Permanent("job.incomplete", what=what)
