"""Dead letters: what can never pass goes to `<topic>.dlq`, sealed, with what an operator needs in its headers.

A message that was opened stays sealed under its job's key, so it is gone with the job. What belongs to no job, or
could not be opened, is sealed under the platform's quarantine key, headers and all.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from consumers.runtime.opening import Opened, Unreadable
from consumers.runtime.runtime import Runtime
from infra.broker import OutgoingRecord, StoredRecord
from infra.keys import QUARANTINE
from schemas import envelope, sealing
from schemas.errors import Permanent
from schemas.letters import QUARANTINED_CONTENT_TYPE, Postmark, WholeRecord, read_traceparent
from schemas.messages import Message
from schemas.topology import DEAD_LETTER_SUFFIX

OUR_KEY: Final = re.compile(rb"[0-9a-z-]{1,63}")
"""Ids of customers, jobs and documents. Any other key is a stranger's: it may hold a path, and is not repeated."""
LETTER_BYTES: Final = envelope.MAX_RECORD_BYTES + 96 * 1024
"""A letter is a little larger than its message: other ids, and all that an event in JSON left out."""


@dataclass(frozen=True, slots=True)
class Letter:
    message: Message
    """The input, or the piece of it that cannot pass."""
    error: Permanent
    number: int
    """0 for the input itself, from 1 for its pieces."""
    attempts: int
    document: str | None = None
    """The piece's document, where the input belongs to none."""


async def seal_letter(stage: str, source: Opened, letter: Letter, runtime: Runtime) -> OutgoingRecord:
    """A dead letter of an opened message.

    Raises Permanent `key.destroyed`: then the message must vanish as well, not move to another key.
    """
    received = source.received
    key, key_id = await _key_for(source, runtime)
    mark = Postmark(
        message=received.id,
        number=letter.number,
        **_circumstances(stage, source.record, letter.error, letter.attempts, runtime),
    )
    to = envelope.Address(
        id=mark.letter(received.job),
        type=letter.message.TYPE,
        source=f"/cradle/{stage}",
        job=received.job,
        time=runtime.ports.clock(),
        key_id=key_id,
        document=letter.document or received.document,
        traceparent=source.traceparent or read_traceparent(source.record.headers),
    )
    nonce = runtime.ports.entropy(sealing.NONCE_BYTES)
    headers, value = envelope.close(letter.message, to, key=key, nonce=nonce, limit=LETTER_BYTES)
    return _record(source.record, value, headers + mark.headers())


async def seal_unreadable(stage: str, unreadable: Unreadable, runtime: Runtime) -> OutgoingRecord:
    """A record that could not be opened, whole, under the quarantine key."""
    record = unreadable.record
    value = sealing.seal(
        await runtime.keys.fetch(QUARANTINE),
        WholeRecord(record.key, record.headers, record.value).packed(),
        associated=unreadable.id.bytes,
        nonce=runtime.ports.entropy(sealing.NONCE_BYTES),
    )
    headers = {
        "ce_id": str(unreadable.id),
        "ce_keyid": QUARANTINE,
        "content-type": QUARANTINED_CONTENT_TYPE,
        "traceparent": read_traceparent(record.headers),
    }
    encoded = [(name, content.encode()) for name, content in headers.items() if content is not None]
    told = _circumstances(stage, record, unreadable.error, 1, runtime)
    mark = Postmark(message=unreadable.id, number=0, **told)
    return _record(record, value, encoded + mark.headers())


async def _key_for(source: Opened, runtime: Runtime) -> tuple[bytes, str]:
    job = source.received.job
    try:
        return await runtime.ports.jobs.key(job), str(job)
    except Permanent as error:
        if error.code != "key.unknown":
            raise
        return await runtime.keys.fetch(QUARANTINE), QUARANTINE


def _circumstances(
    stage: str, record: StoredRecord, error: Permanent, attempts: int, runtime: Runtime
) -> dict[str, Any]:
    return {
        "code": error.code,
        "error": error.sentence,
        "stage": stage,
        "attempts": attempts,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "first_ms": record.timestamp_ms,
        "last_ms": int(runtime.ports.clock().timestamp() * 1000),
    }


def _record(source: StoredRecord, value: bytes, headers: list[tuple[str, bytes]]) -> OutgoingRecord:
    key = source.key if source.key is not None and OUR_KEY.fullmatch(source.key) else b""
    return OutgoingRecord(source.topic + DEAD_LETTER_SUFFIX, key, value, headers)
