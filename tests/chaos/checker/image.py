"""An image, taken apart: OCI layout, tar, SQLite, the flat vector file; and Merkle roots computed anew from them."""

import hashlib
import json
import sqlite3
import struct
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = struct.Struct("<8sIII4xQ")


@dataclass(frozen=True, slots=True)
class Chunk:
    ordinal: int
    start: int
    end: int
    page: int | None
    headings: list[str]
    marks: list[str]
    vector: bytes


@dataclass(frozen=True, slots=True)
class Document:
    path: str
    sha256: str
    text: str
    pages: list[list[int]]
    chunks: list[Chunk]


@dataclass(frozen=True, slots=True)
class Image:
    digest: str
    blobs_damaged: list[str]
    documents: list[Document]
    stated: dict[str, str]
    """Merkle roots, by stage, as the manifest has them."""
    computed: dict[str, str]
    vectors_ok: bool
    """The vector file is as long as its header says, with a row a chunk, numbered without a gap."""


def read_image(layout: Path | None) -> Image | None:
    """None where there is none."""
    if layout is None:
        return None
    [entry] = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob(layout, entry["digest"]).read_text())
    named = [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    [data] = [layer for layer in manifest["layers"] if layer.get("annotations", {}).get("cradle.layer") == "data-000"]
    with tarfile.open(_blob(layout, data["digest"])) as layer:
        database = _file(layer, "data/000/data.sqlite")
        vectors = _file(layer, "data/000/vectors.f32")
    documents, vectors_ok = _read_data(database, vectors)
    prefix = "cradle.merkle."
    return Image(
        digest=entry["digest"],
        blobs_damaged=[digest for digest in named if _sha256(_blob(layout, digest)) != digest.partition(":")[2]],
        documents=documents,
        stated={
            name.removeprefix(prefix): root for name, root in manifest["annotations"].items() if name.startswith(prefix)
        },
        computed=merkle_roots(documents),
        vectors_ok=vectors_ok,
    )


def _read_data(database: bytes, vectors: bytes) -> tuple[list[Document], bool]:
    magic, _, _, dimension, rows = HEADER.unpack_from(vectors)
    width = dimension * 4
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database)
    found: dict[int, Document] = {}
    for number, path, sha256, text, pages in connection.execute(
        "SELECT document, path, sha256, text, pages FROM documents ORDER BY document"
    ):
        found[number] = Document(path, sha256, text, json.loads(pages), [])
    numbers = []
    for number, document, ordinal, start, end, page, headings, marks in connection.execute(
        'SELECT chunk, document, ordinal, start, "end", page, headings, marks FROM chunks ORDER BY chunk'
    ):
        numbers.append(number)
        at = 64 + number * width
        chunk = Chunk(ordinal, start, end, page, json.loads(headings), json.loads(marks), vectors[at : at + width])
        found[document].chunks.append(chunk)
    connection.close()
    whole = magic == b"CRADLEVF" and len(vectors) == 64 + rows * width
    return [*found.values()], whole and numbers == list(range(rows))


def merkle_roots(documents: Iterable[Document]) -> dict[str, str]:
    """Leaves by path's bytes and SHA-256, then ordinal; fields with their lengths; RFC 9162's tree."""
    leaves: dict[str, list[bytes]] = {"admit": [], "chunk": [], "embed": []}
    for document in sorted(documents, key=lambda one: (one.path.encode(), one.sha256)):
        identity = (document.path, bytes.fromhex(document.sha256))
        leaves["admit"].append(_fields("admit", *identity))
        for chunk in sorted(document.chunks, key=lambda one: one.ordinal):
            text = hashlib.sha256(document.text[chunk.start : chunk.end].encode()).digest()
            place = (chunk.ordinal, chunk.start, chunk.end, chunk.page, len(chunk.headings), *chunk.headings)
            leaves["chunk"].append(_fields("chunk", *identity, *place, text, *chunk.marks))
            leaves["embed"].append(_fields("embed", *identity, chunk.ordinal, chunk.vector))
    return {stage: _root(found).hex() for stage, found in leaves.items()}


def _root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, level by level: an odd node at the end moves up as it is."""
    if not leaves:
        return hashlib.sha256().digest()
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def _fields(*fields: Any) -> bytes:
    encoded = [
        b"" if f is None else f if isinstance(f, bytes) else f.encode() if isinstance(f, str) else f.to_bytes(8, "big")
        for f in fields
    ]
    return b"".join(len(field).to_bytes(8, "big") + field for field in encoded)


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _file(layer: tarfile.TarFile, name: str) -> bytes:
    opened = layer.extractfile(name)
    assert opened is not None
    return opened.read()
