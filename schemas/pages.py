"""A document's pages where they are too large for a record: as `ocr` leaves them in staging and `chunk` finds them."""

from collections.abc import Sequence
from typing import Final

import msgpack
import zstandard
from pydantic import TypeAdapter, ValidationError

from schemas.errors import Permanent
from schemas.messages import RecognisedPage

KIND: Final = "pages"
"""The kind of these objects; each has its document's id for a name."""
ZSTD_LEVEL: Final = 3
MAX_PAGES_BYTES: Final = 256 * 1024 * 1024
"""Unpacked: what a damaged object can claim at most."""
_PAGES: Final = TypeAdapter(tuple[RecognisedPage, ...])


def encode_pages(pages: Sequence[RecognisedPage]) -> bytes:
    packed = msgpack.packb([page.model_dump(mode="python") for page in pages], use_bin_type=True)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(packed)


def decode_pages(data: bytes) -> tuple[RecognisedPage, ...]:
    """Raises Permanent `staging.tampered`: these bytes are no pages."""
    try:
        packed = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_PAGES_BYTES)
        return _PAGES.validate_python(msgpack.unpackb(packed, raw=False))
    except (zstandard.ZstdError, ValueError, msgpack.UnpackException, ValidationError):
        raise Permanent("staging.tampered") from None
