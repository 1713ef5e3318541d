"""Where a job's leaves can be read: its sealed parts, and its image. Both give them document by document, in order.

What cannot be read is left out and noted, so that the rest can still be compared.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from appliance.search import map_vectors
from builders.image import data_layers
from builders.leaves import admit_leaf, chunk_leaf, embed_leaf
from builders.oci.read import open_image
from builders.parts import KIND, decode_part
from infra.staging.sealed import SealedStaging
from operations.names import Listed
from schemas.errors import CradleError, Permanent
from schemas.messages import Chunk, Document, EmbeddingsMade

STAGES: Final = ("admit", "chunk", "embed")
"""Those that have leaves, in the order of the flow."""
MARKED_SINCE: Final = 3
"""The version of data layers since which chunks have marks: an image of the release before is proven as well."""
_CHUNKS: Final = """
SELECT chunk, ordinal, start, "end", page, headings, tokens, marks FROM chunks WHERE document = ? ORDER BY chunk
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk with its vector, as the leaves hold it."""

    ordinal: int
    start: int
    content: bytes
    """Hash of what the chunk's leaf says of it but for its ordinal."""
    chunk: bytes
    embed: bytes
    """Two leaves."""
    vector: bytes
    """Its hash."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """One document's."""

    path: str = field(repr=False)
    sha256: str
    admit: bytes
    passages: Sequence[Passage]

    @property
    def order(self) -> tuple[bytes, str]:
        """What documents are ordered by, and known by."""
        return self.path.encode(), self.sha256

    def of(self, stage: str) -> Iterator[tuple[int | None, bytes]]:
        """The leaves of a stage, with their chunks' ordinals."""
        if stage == "admit":
            yield None, self.admit
        else:
            yield from ((passage.ordinal, getattr(passage, stage)) for passage in self.passages)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read."""

    code: str
    stage: str = ""
    document: str = field(default="", repr=False)
    """Its path; empty where it is not about one document."""
    ordinal: int | None = None


class Place(Protocol):
    name: str
    problems: list[Problem]
    """Grows while it is read."""

    def documents(self) -> AsyncIterator[Leaves]:
        """In final order: by path's bytes, then SHA-256."""


def leaves(document: Document, chunks: Sequence[tuple[Chunk, str, NDArray[np.float32]]]) -> Leaves:
    """Of a document and its chunks, each with its text and vector."""
    passages = [_passage(document, *row) for row in chunks]
    return Leaves(document.path, document.sha256, admit_leaf(document), passages)


def _passage(document: Document, chunk: Chunk, text: str, vector: NDArray[np.float32]) -> Passage:
    raw = vector.astype("<f4", copy=False).tobytes()
    anywhere = chunk.model_copy(update={"ordinal": 0})
    return Passage(
        ordinal=chunk.ordinal,
        start=chunk.start,
        content=hashlib.sha256(chunk_leaf(document, anywhere, text)).digest(),
        chunk=chunk_leaf(document, chunk, text),
        embed=embed_leaf(document, chunk, raw),
        vector=hashlib.sha256(raw).digest(),
    )


# -- the sealed parts -------------------------------------------------------------------------------------------------


class Parts:
    """`listed`: every name that an image of the job lists."""

    name = "parts"

    def __init__(self, job: UUID, listed: Sequence[Listed], staging: SealedStaging) -> None:
        self.problems: list[Problem] = []
        self._job = job
        self._listed = listed
        self._staging = staging

    async def documents(self) -> AsyncIterator[Leaves]:
        """A document's first name comes before the others, and has its passages."""
        self.problems.clear()
        names = await self._names()
        met: dict[str, Document] = {}
        for one in await self._in_order(names):
            if not one.is_first:
                if one.id in met:
                    yield leaves(met[one.id].model_copy(update={"path": one.path}), [])
                continue
            parts = [part async for part in self._parts(one, names.get(one.id, []))]
            if parts:
                document = parts[0].chunks.document.model_copy(update={"path": one.path})
                if one.names > 1:
                    met[one.id] = document
                yield leaves(document, [row for part in parts for row in _rows(part)])

    async def _names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        async for name in self._staging.list(self._job, KIND):
            names.setdefault(name.split("/")[-2], []).append(name)
        return names

    async def _in_order(self, names: dict[str, list[str]]) -> list[Listed]:
        """In final order. The hash is read only where two documents have one path."""
        times = Counter(one.path for one in self._listed)
        order = {}
        for one in self._listed:
            first = await self._read(names.get(one.id, [])[:1]) if times[one.path] > 1 else []
            order[one] = (one.path.encode(), first[0].chunks.document.sha256 if first else "")
        return sorted(self._listed, key=lambda one: order[one])

    async def _read(self, names: Sequence[str]) -> list[EmbeddingsMade]:
        try:
            return [decode_part(await self._staging.get(self._job, name)) for name in names]
        except Permanent:
            return []

    async def _parts(self, one: Listed, names: Sequence[str]) -> AsyncIterator[EmbeddingsMade]:
        path = one.path
        if not names:
            self.problems.append(Problem("staging.missing", "admit", path))
        for name in names:
            try:
                yield decode_part(await self._staging.get(self._job, name))
            except Permanent as error:
                self.problems.append(Problem(error.code, "chunk", path, int(name.rpartition("/")[2])))


def _rows(part: EmbeddingsMade) -> Iterator[tuple[Chunk, str, NDArray[np.float32]]]:
    vectors = np.frombuffer(part.vectors.data, np.dtype(part.vectors.dtype).newbyteorder("<"))
    for chunk, vector in zip(part.chunks.chunks, vectors.reshape(part.vectors.shape), strict=True):
        yield chunk, part.chunks.text_of(chunk), vector.astype(np.float32, copy=False)


# -- the image --------------------------------------------------------------------------------------------------------


class BakedImage:
    """`digest`: what the ledger calls the image."""

    name = "image"

    def __init__(self, layout: Path, digest: str | None) -> None:
        self.problems: list[Problem] = []
        self._layout = layout
        self._digest = digest

    async def documents(self) -> AsyncIterator[Leaves]:
        """Blocks while it reads: nothing else waits for the command that asked."""
        self.problems.clear()
        try:
            image = open_image(self._layout)
            if self._digest is not None and image.digest != self._digest:
                self.problems.append(Problem("image.broken"))
            self._check_blobs()
            layers = data_layers(image)
            database, vectors = layers[max(layers)]  # a job's own is the newest: of an update, the only one here
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.deserialize(database.read())
                for one in _image_leaves(connection, map_vectors(vectors.path, offset=vectors.offset)):
                    yield one
        except CradleError as error:
            self.problems.append(Problem(error.code))
        except (sqlite3.Error, ValueError, IndexError, TypeError):  # whatever a damaged file may cause
            self.problems.append(Problem("image.broken"))

    def _check_blobs(self) -> None:
        try:
            open_image(self._layout).verify()
        except CradleError as error:  # its leaves may still tell where
            self.problems.append(Problem(error.code))


def _image_leaves(connection: sqlite3.Connection, vectors: NDArray[np.float32]) -> Iterator[Leaves]:
    documents = connection.execute(
        "SELECT document, path, sha256, media_type, size, text FROM documents ORDER BY document"
    )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    query = _CHUNKS if version >= MARKED_SINCE else _CHUNKS.replace("marks", "'[]'")
    for number, path, sha256, media_type, size, text in documents:
        chunks = connection.execute(query, (number,))
        rows = [
            (
                Chunk(
                    ordinal=ordinal,
                    start=start,
                    end=end,
                    page=page,
                    headings=tuple(json.loads(headings)),
                    tokens=tokens,
                    marks=tuple(json.loads(marks)),
                ),
                text[start:end],
                vectors[row],
            )
            for row, ordinal, start, end, page, headings, tokens, marks in chunks
        ]
        nameless = Document(id="0" * 32, path=path, sha256=sha256, media_type=media_type, size=size)
        yield leaves(nameless, rows)
