"""What goes between the parent and a child, over one socket: a call, then its answers until one that ends it.

    parent  -- Call: sizes, msgpack of its name and arguments, the file's bytes -->  child
    parent  <--  Answer: what it is, sizes, msgpack, bytes: an item ... an item, then an end  -- child

A child may have been taken over by the file it reads. So nothing that it sends is believed: sizes are bounded before
anything is read, plain values are read and no objects, and these are checked before they become ours.
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import Any, Final

import msgpack
from pydantic import TypeAdapter

from engines.extraction import Extracted, PageImage, Probe
from engines.extraction.limits import MOST_OF_ONE
from engines.extraction.reading import Reading
from engines.sandbox.limits import KIBIBYTE, MEBIBYTE, output
from schemas.errors import CATALOGUE, Permanent

CALL_HEAD: Final = struct.Struct("<IQ")
"""Bytes of the msgpack, bytes of the file."""
ANSWER_HEAD: Final = struct.Struct("<BQQ")
"""What it is, bytes of the msgpack, bytes that follow."""
MOST_OF_AN_END: Final = 4 * KIBIBYTE
ROUTES: Final = frozenset({"text", "ocr", "archive", "mail", "unsupported", "encrypted"})
MEDIA_TYPE: Final = re.compile(r"[\x21-\x7e]{1,127}")
DETAIL: Final = re.compile(r"[A-Za-z0-9 .,:;/+()_-]{0,127}")
"""A detail of an error: our own short words, never a document's."""


class What(IntEnum):
    ITEM = 1
    END = 2
    REFUSED = 3
    """Permanent, as the function raised it."""
    FULL = 4
    """The child's memory did not suffice."""
    STUMBLED = 5
    """The function raised something that it does not promise."""


class Untrue(Exception):
    """A child sent what no child of ours sends."""


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    """A name of `ANSWERS`."""
    data: bytes = field(repr=False)
    arguments: Sequence[str | int]
    """What follows the data."""


# -- what functions answer ---------------------------------------------------------------------------------------------

Body = tuple[Any, bytes]
"""What is packed, and what goes as it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one function's results travel."""

    most_plain: int
    most_bytes: int
    wrap: Callable[[Any], Body]
    unwrap: Callable[[Any, bytes], Any]
    """Raises Untrue, or ValueError, TypeError or KeyError."""


def _require(condition: bool) -> None:
    if not condition:
        raise Untrue


def _wrap_probe(found: Probe) -> Body:
    return [found.media_type, found.route], b""


def _unwrap_probe(plain: Any, _: bytes) -> Probe:
    media_type, route = plain
    _require(isinstance(media_type, str) and MEDIA_TYPE.fullmatch(media_type) is not None and route in ROUTES)
    return Probe(media_type, route)


@cache
def _shape(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _wrap_extracted(extracted: Extracted) -> Body:
    plain = _shape(Extracted).dump_python(extracted)
    return plain, plain.pop("text").encode()


def _unwrap_extracted(plain: Any, raw: bytes) -> Extracted:
    plain["text"] = raw.decode()
    extracted: Extracted = _shape(Extracted).validate_python(plain)
    for group in (extracted.pages, extracted.headings, extracted.marks):
        _check_spans(group, extracted.text)
    for page in extracted.pages:
        _check_page(page.number, page.confidence)
    _require(all(1 <= heading.level <= 9 for heading in extracted.headings))
    return extracted


def _wrap_reading(reading: Reading) -> Body:
    """The pieces' texts go joined; in each one's place stands its length."""
    plain = _shape(Reading).dump_python(reading)
    for piece in plain["pieces"]:
        piece["text"] = len(piece["text"])
    return plain, "".join(piece.text for piece in reading.pieces).encode()


def _unwrap_reading(plain: Any, raw: bytes) -> Reading:
    texts, taken = raw.decode(), 0
    for piece in plain["pieces"]:
        length = piece["text"]
        _require(type(length) is int and 0 <= length <= len(texts) - taken)
        piece["text"] = texts[taken : taken + length]
        taken += length
    _require(taken == len(texts))
    reading: Reading = _shape(Reading).validate_python(plain)
    for piece in reading.pieces:
        _check_spans(piece.headings, piece.text)
        _check_spans(piece.marks, piece.text)
        if piece.page is not None:
            _check_page(piece.page, piece.confidence)
    return reading


def _wrap_member(member: tuple[str, bytes | Permanent]) -> Body:
    path, content = member
    return ([path, refusal(content)], b"") if isinstance(content, Permanent) else ([path, None], content)


def _unwrap_member(plain: Any, raw: bytes) -> tuple[str, bytes | Permanent]:
    path, refused = plain
    _require(isinstance(path, str) and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path)
    path.encode()
    return path, raw if refused is None else as_permanent(refused)


def _wrap_picture(picture: PageImage) -> Body:
    return [getattr(picture, name) for name in _PICTURE], picture.pixels


def _unwrap_picture(plain: Any, raw: bytes) -> PageImage:
    values = dict(zip(_PICTURE, plain, strict=True))
    _require(all(type(value) is int and 0 <= value < 1 << 31 for value in values.values()))
    picture = PageImage(**values, pixels=raw)
    _require(picture.number >= 1 and len(raw) == picture.width * picture.height * 3 > 0)
    return picture


_PICTURE: Final = tuple(part.name for part in fields(PageImage) if part.name != "pixels")


def _check_spans(spans: Iterable[Any], text: str) -> None:
    last = 0
    for span in spans:
        _require(last <= span.start <= span.end <= len(text))
        last = span.start


def _check_page(number: int, confidence: float | None) -> None:
    _require(number >= 1 and (confidence is None or 0 <= confidence <= 1))


ANSWERS: Final[Mapping[str, Kind]] = {
    "probe": Kind(4 * KIBIBYTE, 0, _wrap_probe, _unwrap_probe),
    "extract": Kind(4 * MEBIBYTE, 64 * MEBIBYTE, _wrap_extracted, _unwrap_extracted),
    "readable": Kind(4 * MEBIBYTE, 64 * MEBIBYTE, _wrap_reading, _unwrap_reading),
    "members": Kind(64 * KIBIBYTE, MOST_OF_ONE, _wrap_member, _unwrap_member),
    "pictures": Kind(4 * KIBIBYTE, 256 * MEBIBYTE, _wrap_picture, _unwrap_picture),
}
"""By the function's name. The sizes are the most that one answer may have. What is packed is small: unpacked it may
become sixty times as large, one empty table a byte."""


# -- errors ------------------------------------------------------------------------------------------------------------


def refusal(error: Permanent) -> list[Any]:
    return [error.code, {name: _plain(value) for name, value in error.details.items()}]


def _plain(value: object) -> str | int:
    return value if type(value) is int else str(value)


def as_permanent(plain: Any) -> Permanent:
    """The error, made anew from its code; only one that speaks of documents. Raises Untrue."""
    code, details = plain
    _require(isinstance(code, str) and code.startswith("document.") and code in CATALOGUE and isinstance(details, dict))
    for name, value in details.items():
        _require(isinstance(name, str) and (type(value) is int or bool(DETAIL.fullmatch(value))))
    try:
        return Permanent(code, **details)
    except KeyError:
        raise Untrue from None


# -- frames ------------------------------------------------------------------------------------------------------------


def pack(plain: Any) -> bytes:
    packed: bytes = msgpack.packb(plain)
    return packed


def unpack(packed: bytes) -> Any:
    """Raises ValueError for anything that is no msgpack of plain values."""
    return msgpack.unpackb(packed, strict_map_key=False)


def call_head(call: Call) -> bytes:
    packed = pack([call.function, list(call.arguments)])
    return CALL_HEAD.pack(len(packed), len(call.data)) + packed


def bounded(head: bytes, kind: Kind) -> tuple[What, int, int]:
    """What an answer is and its two sizes. Raises Untrue for no answer of ours, Permanent `document.costly` for one
    that is too large."""
    number, plain, raw = ANSWER_HEAD.unpack(head)
    if number not in iter(What):
        raise Untrue
    what = What(number)
    most_plain, most_bytes = (kind.most_plain, kind.most_bytes) if what is What.ITEM else (MOST_OF_AN_END, 0)
    if plain > most_plain or raw > most_bytes:
        raise output(max(most_plain, most_bytes)) if what is What.ITEM else Untrue
    return what, plain, raw
