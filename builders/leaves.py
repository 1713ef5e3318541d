"""The leaves under each stage's Merkle root, so that anyone who holds the documents and the image can recompute it.

A leaf is a list of fields, each written as its length (8 bytes, big-endian) and its bytes: text in UTF-8, a number in
8 bytes big-endian, nothing as a field of no bytes. Leaves stand by document (path's bytes, then SHA-256), then ordinal.

    admit   "admit", path, sha256
    chunk   "chunk", path, sha256, ordinal, start, end, page or nothing, number of headings, each heading, SHA-256 of
            the chunk's text (32 bytes); where it has marks, each mark
    embed   "embed", path, sha256, ordinal, the vector as float32, little-endian

Each name of a document has an `admit`; its chunks stand under its first name alone. `sha256` is the raw file's, 32
bytes. The tree over them is RFC 9162's (schemas.merkle).
"""

import hashlib

from schemas.messages import Chunk, Document


def admit_leaf(document: Document) -> bytes:
    return _fields("admit", *_identity(document))


def chunk_leaf(document: Document, chunk: Chunk, text: str) -> bytes:
    """`text` is the chunk's own: `document_text[chunk.start:chunk.end]`."""
    return _fields(
        "chunk",
        *_identity(document),
        chunk.ordinal,
        chunk.start,
        chunk.end,
        chunk.page,
        len(chunk.headings),
        *chunk.headings,
        hashlib.sha256(text.encode()).digest(),
        *chunk.marks,
    )


def embed_leaf(document: Document, chunk: Chunk, vector: bytes) -> bytes:
    """`vector`: float32, little-endian."""
    return _fields("embed", *_identity(document), chunk.ordinal, vector)


def _identity(document: Document) -> tuple[str, bytes]:
    return document.path, bytes.fromhex(document.sha256)


def _fields(*fields: str | bytes | int | None) -> bytes:
    return b"".join(len(field).to_bytes(8, "big") + field for field in map(_bytes, fields))


def _bytes(field: str | bytes | int | None) -> bytes:
    match field:
        case None:
            return b""
        case str():
            return field.encode()
        case int():
            return field.to_bytes(8, "big")
        case _:
            return field
