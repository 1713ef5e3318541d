"""A message on the wire: CloudEvents headers in the clear, the value sealed, the headers bound to the value.

The value is `seal(zstd(msgpack(model)))` with the bound headers as associated data (schemas.sealing), so a record
cannot be moved to another job, type, source or time without failing to open. `traceparent` alone is unbound: tracing
proxies may rewrite it.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgpack
import zstandard
from pydantic import ValidationError

from schemas import sealing
from schemas.errors import Permanent
from schemas.ids import clear_message_id
from schemas.messages import TYPES, DocumentsSubmitted, Message

CONTENT_TYPE: Final = "application/vnd.cradle+sealed"
CLEAR_CONTENT_TYPE: Final = "application/json"
MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_PLAINTEXT_BYTES: Final = 16 * 1024 * 1024
"""What packs to more is not sent, and what claims to unpack to more is not opened."""

BOUND_HEADERS: Final = (
    "ce_specversion",
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_subject",
    "ce_time",
    "content-type",
    "ce_keyid",
    "ce_document",
)

_BOUND_NAMES: Final = tuple((name, len(name).to_bytes(2, "big") + name.encode()) for name in BOUND_HEADERS)

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Address:
    """What stands on the envelope: readable and checkable without the key, once the record has been opened."""

    id: UUID
    type: str
    source: str
    """Who wrote it: `/cradle/<stage>`."""
    job: UUID
    time: datetime
    key_id: str
    """Names the key it is sealed under: the job's id, or `quarantine`."""
    document: str | None = None
    """The id of the document it belongs to, where it belongs to one."""
    traceparent: str | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        values = {
            "ce_specversion": "1.0",
            "ce_id": str(self.id),
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_subject": str(self.job),
            "ce_time": self.time.astimezone(UTC).isoformat(),
            "content-type": CONTENT_TYPE,
            "ce_keyid": self.key_id,
            "ce_document": self.document,
            "traceparent": self.traceparent,
        }
        return [(name, value.encode()) for name, value in values.items() if value is not None]


def address(headers: Headers) -> Address:
    """Reads an envelope without opening it. Raises Permanent `envelope.malformed`: a header is missing or bad."""
    found = _texts(_distinct(headers))
    if found.get("ce_specversion") != "1.0" or found.get("content-type") != CONTENT_TYPE:
        raise Permanent("envelope.malformed", what="its headers are not those of a sealed CloudEvent")
    try:
        time = datetime.fromisoformat(found["ce_time"])
        return Address(
            id=UUID(found["ce_id"]),
            type=found["ce_type"],
            source=found["ce_source"],
            job=UUID(found["ce_subject"]),
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            key_id=found["ce_keyid"],
            document=found.get("ce_document"),
            traceparent=found.get("traceparent"),
        )
    except KeyError as missing:
        raise Permanent("envelope.malformed", what=f"header {missing.args[0]} is missing") from None
    except ValueError:
        raise Permanent("envelope.malformed", what="an id or time in its headers is ill-formed") from None


def is_clear(headers: Headers, value: bytes | None) -> bool:
    """Whether a record is a foreign client's clear JSON rather than a sealed frame."""
    content_type = (dict(headers).get("content-type") or b"").partition(b";")[0].strip().lower()
    if not content_type:
        return value is not None and value.lstrip()[:1] == b"{"
    return content_type == CLEAR_CONTENT_TYPE.encode()


def close(
    message: Message, to: Address, *, key: bytes, nonce: bytes, limit: int = MAX_RECORD_BYTES
) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and sealed value of `message`.

    Raises Permanent `message.too-large` if they would exceed `limit` bytes, or the content MAX_PLAINTEXT_BYTES, and
    `envelope.invalid` if a text holds a lone surrogate, which UTF-8 cannot carry.
    """
    headers = to.headers()
    value = sealing.seal(key, _compressed(message), associated=_bound(dict(headers)), nonce=nonce)
    size = len(value) + sum(len(name) + len(content) for name, content in headers)
    if size > limit:
        raise Permanent("message.too-large", size=size, limit=limit)
    return headers, value


def open_sealed(headers: Headers, value: bytes, *, key: bytes, expected: str | None = None) -> Message:
    """The message in a sealed record.

    Raises Permanent: `envelope.type` (not `expected`, or no type of ours), `envelope.malformed`, `envelope.version`,
    `envelope.tampered`, `envelope.invalid`. Never anything else, whatever the bytes.
    """
    found = _distinct(headers)
    type_ = _texts({"ce_type": found.get("ce_type", b"")})["ce_type"]
    if type_ not in TYPES or (expected is not None and type_ != expected):
        raise Permanent("envelope.type", found=_shown(type_), expected=expected or "one of Cradle's types")
    content = _unpacked(_decompressed(sealing.unseal(key, value, associated=_bound(found))))
    try:
        return TYPES[type_].model_validate(content, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None


def open_clear(value: bytes) -> tuple[UUID, DocumentsSubmitted]:
    """A foreign client's JSON ingest event and the id derived from its bytes.

    Raises Permanent `envelope.malformed` (no JSON object) or `envelope.invalid` (it breaks the schema).
    """
    try:
        return clear_message_id(value), DocumentsSubmitted.model_validate_json(value, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None


# Each of these frees what it was given as it returns: half a megabyte of vectors is copied into memory just used.


def _compressed(message: Message) -> bytes:
    packer = _codecs.packer
    try:
        packer.pack(message.model_dump())
        with packer.getbuffer() as packed:
            if len(packed) > MAX_PLAINTEXT_BYTES:
                raise Permanent("message.too-large", size=len(packed), limit=MAX_PLAINTEXT_BYTES)
            return _codecs.compressor(message.ZSTD_LEVEL).compress(packed)
    except UnicodeEncodeError:
        raise Permanent("envelope.invalid", what="a text holds a lone surrogate") from None
    finally:
        packer.reset()


def _decompressed(compressed: bytes) -> bytes:
    try:
        if not 0 < zstandard.frame_content_size(compressed) <= MAX_PLAINTEXT_BYTES:
            raise Permanent("envelope.malformed", what="its content states no size, or one that is too large")
        return _codecs.decompressor.decompress(compressed, allow_extra_data=False)
    except (zstandard.ZstdError, ValueError):
        raise Permanent("envelope.malformed", what="its content does not unpack") from None


def _unpacked(packed: bytes) -> object:
    try:
        content: object = msgpack.unpackb(packed, use_list=False)
    except (ValueError, msgpack.UnpackException):
        raise Permanent("envelope.malformed", what="its content does not unpack") from None
    return content


def _invalid(error: ValidationError) -> Permanent:
    """Which fields break which rules. pydantic's own message would quote the input, which may not be told."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[:3]
    if first[0]["type"] == "json_invalid":
        return Permanent("envelope.malformed", what="its value is not JSON")
    where = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['type']}" for e in first)
    return Permanent("envelope.invalid", what=where)


def _distinct(headers: Headers) -> dict[str, bytes]:
    """The headers by name. Two readers could disagree on a bound header given twice, so it is refused."""
    bound = [name for name, _ in headers if name in BOUND_HEADERS]
    if len(bound) != len(set(bound)):
        raise Permanent("envelope.malformed", what="a header is given twice")
    return {name: content or b"" for name, content in headers}  # Kafka knows headers without a value


def _bound(found: Mapping[str, bytes]) -> bytes:
    """The bound headers in a fixed order, each with its length, so that no two sets have the same encoding."""
    return b"".join(
        head + len(found[name]).to_bytes(4, "big") + found[name] for name, head in _BOUND_NAMES if name in found
    )


def _texts(found: Mapping[str, bytes]) -> dict[str, str]:
    try:
        return {name: content.decode() for name, content in found.items()}
    except UnicodeDecodeError:
        raise Permanent("envelope.malformed", what="a header is not UTF-8 text") from None


class _Codecs(threading.local):
    """Buffers and contexts that cost more to make than to use. Each serves one thread at a time."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(autoreset=False)  # read where it lies, then reset
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self._compressors:
            self._compressors[level] = zstandard.ZstdCompressor(level=level)
        return self._compressors[level]


_codecs: Final = _Codecs()


def _shown(type_: str) -> str:
    return type_[:64] if type_.isprintable() else "(unprintable)"
