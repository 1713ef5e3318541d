"""A part: one run of a document's chunks with their vectors, as `pack` leaves it in staging and `bake` finds it."""

from typing import Final

import msgpack
import zstandard
from pydantic import ValidationError

from schemas.errors import Permanent
from schemas.messages import EmbeddingsMade

KIND: Final = "parts"
ZSTD_LEVEL: Final = 1
"""Vectors hardly shrink; the text does at any level."""
MAX_PART_BYTES: Final = 256 * 1024 * 1024
"""Unpacked. A record holds 1 MiB and so does the part made of it: this only bounds what a damaged one can claim."""


def part_name(message: EmbeddingsMade) -> str:
    """`<document id>/<first chunk's ordinal>`: a document's parts sort in reading order."""
    return f"{message.chunks.document.id}/{message.chunks.chunks[0].ordinal:08d}"


def encode_part(message: EmbeddingsMade) -> bytes:
    packed = msgpack.packb(message.model_dump(mode="python"), use_bin_type=True)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(packed)


def decode_part(data: bytes) -> EmbeddingsMade:
    """Raises Permanent `job.incomplete`: these bytes are no part."""
    try:
        packed = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_PART_BYTES)
        return EmbeddingsMade.model_validate(msgpack.unpackb(packed, raw=False))
    except (zstandard.ZstdError, ValueError, msgpack.UnpackException, ValidationError):
        raise Permanent("job.incomplete", what="a staged part does not unpack") from None
