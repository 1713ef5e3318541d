"""Dead letters: what can never pass goes to `<topic>.dlq`, sealed, with what an operator needs in its headers.

A message that was opened stays sealed under its job's key, so it is gone with the job. What belongs to no job, or
could not be opened, is sealed under the platform's quarantine key, headers and all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgpack
import zstandard

from consumers.runtime.opening import Opened, Unreadable
from consumers.runtime.runtime import Runtime
from infra.broker import OutgoingRecord, StoredRecord
from infra.keys import QUARANTINE
from schemas import envelope, ids, sealing
from schemas.errors import Permanent
from schemas.messages import Message
from schemas.topology import DEAD_LETTER_SUFFIX

QUARANTINED_CONTENT_TYPE: Final = "application/vnd.cradle+quarantined"
OUR_KEY: Final = re.compile(rb"[0-9a-z-]{1,63}")
"""Ids of customers, jobs and documents. Any other key is a stranger's: it may hold a path, and is not repeated."""


@dataclass(frozen=True, slots=True)
class Letter:
    message: Message
    """The input, or the piece of it that cannot pass."""
    error: Permanent
    number: int
    """0 for the input itself, from 1 for its pieces."""
    attempts: int


async def seal_letter(stage: str, source: Opened, letter: Letter, runtime: Runtime) -> OutgoingRecord:
    """A dead letter of an opened message.

    Raises Permanent `key.destroyed`: then the message must vanish as well, not move to another key.
    """
    received = source.received
    key, key_id = await _key_for(source, runtime)
    to = envelope.Address(
        id=ids.message_id(received.job, f"{stage}{DEAD_LETTER_SUFFIX}", received.id, letter.number),
        type=letter.message.TYPE,
        source=f"/cradle/{stage}",
        job=received.job,
        time=runtime.ports.clock(),
        key_id=key_id,
        document=received.document,
        traceparent=source.traceparent,
    )
    headers, value = envelope.close(letter.message, to, key=key, nonce=runtime.ports.entropy(sealing.NONCE_BYTES))
    told = _told(stage, source.record, letter.error, letter.attempts, runtime)
    return OutgoingRecord(source.record.topic + DEAD_LETTER_SUFFIX, _record_key(source.record), value, headers + told)


async def seal_unreadable(stage: str, unreadable: Unreadable, runtime: Runtime) -> OutgoingRecord:
    """A record that could not be opened, whole, under the quarantine key."""
    record = unreadable.record
    whole = msgpack.packb([record.key, [list(header) for header in record.headers], record.value], use_bin_type=True)
    value = sealing.seal(
        await runtime.keys.fetch(QUARANTINE),
        zstandard.compress(whole),
        associated=unreadable.id.bytes,
        nonce=runtime.ports.entropy(sealing.NONCE_BYTES),
    )
    headers = {"ce_id": str(unreadable.id), "ce_keyid": QUARANTINE, "content-type": QUARANTINED_CONTENT_TYPE}
    told = _told(stage, record, unreadable.error, 1, runtime)
    return OutgoingRecord(record.topic + DEAD_LETTER_SUFFIX, _record_key(record), value, _encoded(headers) + told)


async def _key_for(source: Opened, runtime: Runtime) -> tuple[bytes, str]:
    job = source.received.job
    try:
        return await runtime.ports.jobs.key(job), str(job)
    except Permanent as error:
        if error.code != "key.unknown":
            raise
        return await runtime.keys.fetch(QUARANTINE), QUARANTINE


def _told(
    stage: str, record: StoredRecord, error: Permanent, attempts: int, runtime: Runtime
) -> list[tuple[str, bytes]]:
    return _encoded(
        {
            "cradle_code": error.code,
            "cradle_error": error.sentence,
            "cradle_stage": stage,
            "cradle_attempts": str(attempts),
            "cradle_topic": record.topic,
            "cradle_partition": str(record.partition),
            "cradle_offset": str(record.offset),
            "cradle_first": str(record.timestamp_ms),
            "cradle_last": str(int(runtime.ports.clock().timestamp() * 1000)),
        }
    )


def _encoded(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]


def _record_key(record: StoredRecord) -> bytes:
    return record.key if record.key is not None and OUR_KEY.fullmatch(record.key) else b""
