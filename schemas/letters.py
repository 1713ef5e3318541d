"""A dead letter: its postmark, which anybody may read, and the record within that nobody could open.

A letter of an opened message is an envelope like any other (schemas.envelope), sealed under its job's key. A record
that could not be opened lies whole within a quarantined one. Either bears a postmark in headers of its own. These are
not bound to the value: whoever may write to a `.dlq` topic may write anything there. Reading one therefore never
fails; that `Postmark.letter` gives the sealed letter's own id proves stage, message and number.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import msgpack
import zstandard

from schemas.envelope import Headers
from schemas.errors import Permanent
from schemas.ids import NAMESPACE, message_id
from schemas.topology import DEAD_LETTER_SUFFIX

QUARANTINED_CONTENT_TYPE: Final = "application/vnd.cradle+quarantined"
MAX_WHOLE_BYTES: Final = 32 * 1024 * 1024
"""What claims to unpack to more is not unpacked."""
TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00. Anything else in that header is a stranger's, and is not repeated."""


@dataclass(frozen=True, slots=True)
class Postmark:
    """What an operator may know without a key."""

    message: UUID
    """The input that failed; of a record that could not be opened, the id of its bytes."""
    number: int
    """0: the input itself. From 1: pieces of it that were refused while the rest passed."""
    code: str
    error: str
    """The code's sentence."""
    stage: str
    attempts: int
    topic: str
    """Where it was read, and goes back to."""
    partition: int
    offset: int
    first_ms: int
    """When the record was written, milliseconds since 1970."""
    last_ms: int
    """When it was given up."""

    def headers(self) -> list[tuple[str, bytes]]:
        return [(header, str(getattr(self, field)).encode()) for field, (header, _) in _FIELDS.items()]

    def letter(self, job: UUID) -> UUID:
        """The id that the letter has: the same piece given up twice is the same letter."""
        return message_id(job, f"{self.stage}{DEAD_LETTER_SUFFIX}", self.message, self.number)


def read_postmark(headers: Headers) -> Postmark | None:
    """None where it lacks a header or has a strange one: then it is no letter of ours."""
    found = dict(headers)
    try:
        return Postmark(**{field: read(found[header].decode()) for field, (header, read) in _FIELDS.items()})
    except (KeyError, ValueError, AttributeError):  # AttributeError: a header without a value
        return None


def read_traceparent(headers: Headers) -> str | None:
    """The record's trace, where it has a well-formed one."""
    found = (dict(headers).get("traceparent") or b"").decode("ascii", "replace")
    return found if TRACEPARENT.fullmatch(found) else None


# -- records that could not be opened ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WholeRecord:
    """A record as it came, whatever its bytes are."""

    key: bytes | None
    headers: Headers
    value: bytes

    def id(self, topic: str) -> UUID:
        """From its bytes, never from its headers' claims: a forged record must not take the id of a real message."""
        digest = hashlib.sha256(self.value)
        for name, content in sorted((name, content or b"") for name, content in self.headers):
            digest.update(b"\0" + name.encode("utf-8", "surrogatepass") + b"\0" + content)
        return uuid5(NAMESPACE, f"unreadable\0{topic}\0{digest.hexdigest()}")

    def packed(self) -> bytes:
        whole = [self.key, [[name, content] for name, content in self.headers], self.value]
        packed: bytes = msgpack.packb(whole, use_bin_type=True, unicode_errors="surrogatepass")
        return zstandard.compress(packed)


def unpack_record(packed: bytes) -> WholeRecord:
    """Raises Permanent `envelope.malformed`."""
    try:
        if not 0 < zstandard.frame_content_size(packed) <= MAX_WHOLE_BYTES:
            raise ValueError
        key, headers, value = msgpack.unpackb(zstandard.decompress(packed), unicode_errors="surrogatepass")
        return WholeRecord(key, [(name, content) for name, content in headers], value)
    except (zstandard.ZstdError, ValueError, TypeError, msgpack.UnpackException):
        raise Permanent("envelope.malformed", what="the record within does not unpack") from None


# -- the headers ------------------------------------------------------------------------------------------------------


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,127}", text):
        raise ValueError("not a name of ours")
    return text


def _sentence(text: str) -> str:
    """Anybody may have written it, and it goes to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("not a count")
    return int(text)


_FIELDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "message": ("cradle_message", UUID),
    "number": ("cradle_number", _count),
    "code": ("cradle_code", _word),
    "error": ("cradle_error", _sentence),
    "stage": ("cradle_stage", _word),
    "attempts": ("cradle_attempts", _count),
    "topic": ("cradle_topic", _word),
    "partition": ("cradle_partition", _count),
    "offset": ("cradle_offset", _count),
    "first_ms": ("cradle_first", _count),
    "last_ms": ("cradle_last", _count),
}
