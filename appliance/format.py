"""The data layer: one SQLite file and one flat vector file, which whoever holds the image can read without us.

`data.sqlite` holds documents, chunks and a full-text index. `vectors.f32` holds one vector a chunk: a header of 64
bytes, little-endian (`magic`, 8 bytes; `version`, `dtype` and `dimension`, 4 bytes each; 4 bytes of zero; `rows`,
8 bytes; zeros), then the rows, float32, little-endian, row-major. Row i belongs to the chunk whose `chunk` is i.
"""

import struct
from dataclasses import dataclass
from typing import Final

DATABASE: Final = "data.sqlite"
VECTORS: Final = "vectors.f32"
FOLDER: Final = "/data"
"""Where an image holds these files."""

VERSION: Final = 1
"""Of both files: SQLite's `user_version` and the vector file's. It rises when an older reader would fail."""
APPLICATION_ID: Final = 0x43524C31
"""SQLite's `application_id`, by which file(1) and others tell whose file this is: ASCII `CRL1`."""

SCHEMA: Final = """
CREATE TABLE about (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL                -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  document   INTEGER PRIMARY KEY,    -- from 0, by path and then SHA-256
  path       TEXT NOT NULL,
  sha256     TEXT NOT NULL,          -- of the raw file, hex
  media_type TEXT NOT NULL,
  size       INTEGER NOT NULL,       -- of the raw file, bytes
  title      TEXT,
  language   TEXT,                   -- ISO 639-1
  text       TEXT NOT NULL,
  pages      TEXT NOT NULL           -- JSON: [[number, start, end], ...]; spans count code points of `text`
) STRICT;

CREATE TABLE chunks (
  chunk    INTEGER PRIMARY KEY,      -- from 0, by document and then ordinal; the row in vectors.f32
  document INTEGER NOT NULL REFERENCES documents,
  ordinal  INTEGER NOT NULL,         -- from 0 within the document
  start    INTEGER NOT NULL,         -- text[start:end], code points
  "end"    INTEGER NOT NULL,
  page     INTEGER,                  -- from 1, where the format has pages
  headings TEXT NOT NULL,            -- JSON: outermost first
  tokens   INTEGER NOT NULL
) STRICT;

-- rowid is chunks.chunk; `context` is the document's title and the headings above the chunk
CREATE VIRTUAL TABLE passages USING fts5(text, context, content='', tokenize="unicode61 remove_diacritics 2");
"""

_HEADER: Final = struct.Struct("<8sIII4xQ")
_MAGIC: Final = b"CRADLEVF"
_FLOAT32: Final = 1
HEADER_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class VectorShape:
    rows: int
    dimension: int

    def header(self) -> bytes:
        """The 64 bytes that stand before the rows."""
        return _HEADER.pack(_MAGIC, VERSION, _FLOAT32, self.dimension, self.rows).ljust(HEADER_BYTES, b"\0")

    @property
    def file_bytes(self) -> int:
        return HEADER_BYTES + self.rows * self.dimension * 4


def read_header(head: bytes) -> VectorShape:
    """The shape that a vector file's first 64 bytes state. Raises ValueError: not such a file, or a newer one."""
    if len(head) < HEADER_BYTES or not head.startswith(_MAGIC):
        raise ValueError("this is not a vector file of Cradle")
    _, version, dtype, dimension, rows = _HEADER.unpack_from(head)
    if version != VERSION or dtype != _FLOAT32:
        raise ValueError(f"this reader knows vector files of version {VERSION} in float32 only")
    return VectorShape(rows, dimension)
