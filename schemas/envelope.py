"""A message on the wire: CloudEvents headers in the clear, the value sealed, the headers bound to the value.

The value is `seal(zstd(msgpack(model)))` with the bound headers as associated data (schemas.sealing), so a record
cannot be moved to another job, type, source or time without failing to open. `traceparent` alone is unbound: tracing
proxies may rewrite it.
"""

import json
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
MAX_PLAINTEXT_BYTES: Final = 64 * 1024 * 1024
"""A sealed value that claims to unpack to more is refused: a record is at most 1 MiB."""
ZSTD_LEVEL: Final = 3

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
    found = _text_headers(headers)
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
    content_type = dict(headers).get("content-type", b"").partition(b";")[0].strip()
    if not content_type:
        return value is not None and value.lstrip()[:1] == b"{"
    return content_type == CLEAR_CONTENT_TYPE.encode()


def close(message: Message, to: Address, *, key: bytes, nonce: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and sealed value of `message`. Raises Permanent `message.too-large` if they would exceed a record."""
    headers = to.headers()
    packed = msgpack.packb(message.model_dump(mode="python"), use_bin_type=True)
    compressed = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(packed)
    value = sealing.seal(key, compressed, associated=_bound(headers), nonce=nonce)
    size = len(value) + sum(len(name) + len(content) for name, content in headers)
    if size > MAX_RECORD_BYTES:
        raise Permanent("message.too-large", size=size, limit=MAX_RECORD_BYTES)
    return headers, value


def open_sealed(headers: Headers, value: bytes, *, key: bytes, expected: str | None = None) -> Message:
    """The message in a sealed record.

    Raises Permanent: `envelope.type` (not `expected`, or no type of ours), `envelope.malformed`, `envelope.version`,
    `envelope.tampered`, `envelope.invalid`. Never anything else, whatever the bytes.
    """
    type_ = address(headers).type
    if type_ not in TYPES or (expected is not None and type_ != expected):
        raise Permanent("envelope.type", found=_shown(type_), expected=expected or "one of Cradle's types")
    compressed = sealing.unseal(key, value, associated=_bound(headers))
    try:
        frame = zstandard.get_frame_parameters(compressed)
        if not 0 < frame.content_size <= MAX_PLAINTEXT_BYTES:
            raise Permanent("envelope.malformed", what="its content states no size, or one that is too large")
        packed = zstandard.ZstdDecompressor().decompress(compressed, max_output_size=MAX_PLAINTEXT_BYTES)
        content = msgpack.unpackb(packed, raw=False, strict_map_key=True)
    except (zstandard.ZstdError, ValueError, msgpack.UnpackException) as error:
        raise Permanent("envelope.malformed", what="its content does not unpack") from error
    return _validated(TYPES[type_], content)


def open_clear(value: bytes) -> tuple[UUID, DocumentsSubmitted]:
    """A foreign client's JSON ingest event and the id derived from its bytes.

    Raises Permanent `envelope.malformed` (no JSON object) or `envelope.invalid` (it breaks the schema).
    """
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        raise Permanent("envelope.malformed", what="its value is not JSON") from None
    message = _validated(DocumentsSubmitted, content)
    assert isinstance(message, DocumentsSubmitted)
    return clear_message_id(value), message


def _validated(model: type[Message], content: object) -> Message:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # pydantic's own message quotes the input; fields and rules are all that may be told
        where = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['type']}" for e in error.errors()[:3])
        raise Permanent("envelope.invalid", what=where) from None


def _bound(headers: Headers) -> bytes:
    """The bound headers in a fixed order, each with its length, so that no two sets have the same encoding."""
    found: Mapping[str, bytes] = dict(headers)
    return b"".join(
        len(name).to_bytes(2, "big") + name.encode() + len(found[name]).to_bytes(4, "big") + found[name]
        for name in BOUND_HEADERS
        if name in found
    )


def _text_headers(headers: Headers) -> dict[str, str]:
    try:
        return {name: content.decode() for name, content in headers}
    except (UnicodeDecodeError, AttributeError):
        raise Permanent("envelope.malformed", what="a header is not UTF-8 text") from None


def _shown(type_: str) -> str:
    return type_[:64] if type_.isprintable() else "(unprintable)"
