"""The data layers: folders of one SQLite file and one flat vector file, which whoever holds the image can read.

`/data/000` is the full bake. Each update adds a folder, `/data/001` and so on: the documents that it brings, and the
paths of those that it replaces or removes in the folders before it. Nothing in an older folder ever changes.

`data.sqlite` holds documents, chunks, a full-text index and its words. `vectors.f32` holds one vector a chunk: a header
of 64 bytes, little-endian (`magic`, 8 bytes; `version`, `dtype` and `dimension`, 4 bytes each; 4 bytes of zero; `rows`,
8 bytes; zeros), then the rows, float32, little-endian, row-major. Row i belongs to the chunk whose `chunk` is i.
"""

import struct
from dataclasses import dataclass
from typing import Final

DATABASE: Final = "data.sqlite"
VECTORS: Final = "vectors.f32"
FOLDER: Final = "/data"
"""Where an image holds its layers' folders."""
MOST_LAYERS: Final = 1000

VERSION: Final = 3
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
  date       TEXT,                   -- when it was last changed, as it says itself: 2026-01-31
  text       TEXT NOT NULL,          -- empty where `same_as` says whose text it is
  pages      TEXT NOT NULL,          -- JSON: [[number, start, end], ...]; spans count code points of `text`; where
                                     -- a page was recognised, [number, start, end, confidence from 0 to 1]
  same_as    INTEGER REFERENCES documents  -- another name of that document: the same bytes, without chunks of its own
) STRICT;
-- opening reads this alone, no text
CREATE INDEX documents_by_path ON documents (path, sha256, media_type, language, date, same_as);

CREATE TABLE chunks (
  chunk    INTEGER PRIMARY KEY,      -- from 0, by document and then ordinal; the row in vectors.f32
  document INTEGER NOT NULL REFERENCES documents,
  ordinal  INTEGER NOT NULL,         -- from 0 within the document
  start    INTEGER NOT NULL,         -- text[start:end], code points
  "end"    INTEGER NOT NULL,
  page     INTEGER,                  -- from 1, where the format has pages
  headings TEXT NOT NULL,            -- JSON: outermost first
  tokens   INTEGER NOT NULL,
  words    INTEGER NOT NULL,         -- of text and context, as the full-text index counts them
  marks    TEXT NOT NULL,            -- JSON: of "doubtful" (on a page that was recognised with little confidence) and
                                     -- "hidden" (a reader of the document does not see some of it)
  folded   INTEGER REFERENCES chunks -- the earlier chunk that it nearly repeats, which is folded into none
) STRICT;

CREATE TABLE hidden (                -- documents of the layers below that this layer replaces or removes
  path TEXT PRIMARY KEY              -- that name and what came out of it (`path!/...`); `folder/`: all within
) STRICT, WITHOUT ROWID;

CREATE TABLE words (                 -- the index again, by word: what ranking over several layers adds up
  word       BLOB PRIMARY KEY,       -- as the tokenizer of `passages` leaves it, UTF-8
  chunks     BLOB NOT NULL,          -- uint32, little-endian, ascending: the chunks that hold it
  in_text    BLOB NOT NULL,          -- uint16, little-endian, one a chunk: how often; 65535 stands for more
  in_context BLOB NOT NULL           -- the same of the title and headings
) STRICT, WITHOUT ROWID;

-- rowid is chunks.chunk; `context` is the document's title and the headings above the chunk
CREATE VIRTUAL TABLE passages USING fts5(text, context, content='', tokenize="unicode61 remove_diacritics 2");
"""

TOKENIZER: Final = "unicode61 remove_diacritics 2"

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


def layer_folder(number: int) -> str:
    """The folder of the data layer `number`, under FOLDER: `000`, `001`, ... Raises ValueError past MOST_LAYERS."""
    if not 0 <= number < MOST_LAYERS:
        raise ValueError(f"an image has at most {MOST_LAYERS} data layers")
    return f"{number:03d}"
