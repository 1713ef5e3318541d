"""An outsider's recomputation: from the image's files and the description in builders/leaves.py alone."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from appliance.format import DATABASE, HEADER_BYTES, VECTORS
from schemas.merkle import merkle_root
from tests.builders.corpus import DIMENSION, copy, in_order, library, marked
from tests.builders.test_data_layer import write


def field(content: bytes | str | int | None) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    data = b"" if data is None else data
    data = data if isinstance(data, bytes) else data.to_bytes(8, "big")
    return len(data).to_bytes(8, "big") + data


def leaf(*contents: bytes | str | int | None) -> bytes:
    return b"".join(map(field, contents))


def test_the_roots_follow_from_the_data(tmp_path: Path) -> None:
    shelf = [*library(), copy("y/1.txt", "Dasselbe"), copy("y/2.txt", "Dasselbe")]
    shelf[0] = marked(shelf[0], {1: ("doubtful", "hidden")})
    merkle = write(tmp_path / "data", in_order(shelf)).merkle
    matrix = np.fromfile(tmp_path / "data" / VECTORS, "<f4", offset=HEADER_BYTES).reshape(-1, DIMENSION)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as database:
        documents = database.execute("SELECT path, sha256 FROM documents ORDER BY document").fetchall()
        chunks = database.execute(
            'SELECT path, sha256, ordinal, start, "end", page, headings, text, marks FROM chunks JOIN documents'
            " USING (document) ORDER BY chunk"
        ).fetchall()
        (stated,) = database.execute("SELECT value FROM about WHERE name = 'merkle'").fetchone()

    admit = [leaf("admit", path, bytes.fromhex(sha256)) for path, sha256 in documents]
    chunk, embed = [], []
    for row, (path, sha256, ordinal, start, end, page, headings, text, marks) in enumerate(chunks):
        above = json.loads(headings)
        identity = (path, bytes.fromhex(sha256), ordinal)
        digest = hashlib.sha256(text[start:end].encode()).digest()
        chunk.append(leaf("chunk", *identity, start, end, page, len(above), *above, digest, *json.loads(marks)))
        embed.append(leaf("embed", *identity, matrix[row].tobytes()))
    expected = {"admit": merkle_root(admit), "chunk": merkle_root(chunk), "embed": merkle_root(embed)}
    assert merkle == json.loads(stated) == expected


def test_no_two_lists_of_fields_have_one_encoding() -> None:
    assert leaf("ab", "c") != leaf("a", "bc")
    assert leaf(None, 1) != leaf(1, None)
