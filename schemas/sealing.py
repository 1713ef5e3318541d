"""Sealing: AES-256-GCM, for one frame (a record) and for a stream of any length (a staged object).

A frame is `version byte | 12-byte nonce | ciphertext | 16-byte tag`. The associated data is whatever the caller must
not be able to change: for a record its headers, for a staged object its name.

A stream is `version byte | 7-byte nonce prefix`, then segments of at most 64 KiB of plaintext, each sealed under the
nonce `prefix | 4-byte counter | last flag`: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), which
detects segments that are dropped, swapped or cut off at the end.

With random 96-bit nonces one key seals at most 2**32 frames (NIST SP 800-38D, 8.3); a job makes far fewer.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Permanent

FRAME_VERSION: Final = 1
STREAM_VERSION: Final = 2
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
STREAM_PREFIX_BYTES: Final = 7
SEGMENT_BYTES: Final = 64 * 1024


def seal(key: bytes, plaintext: bytes, *, associated: bytes, nonce: bytes) -> bytes:
    """One frame: 29 bytes longer than `plaintext`. `nonce`: 12 random bytes; `associated`: bound, not stored."""
    head = bytes([FRAME_VERSION])
    return head + nonce + AESGCM(key).encrypt(nonce, plaintext, head + associated)


def unseal(key: bytes, frame: bytes, *, associated: bytes) -> bytes:
    """The plaintext of `frame`.

    Raises Permanent `envelope.malformed` (not a frame), `envelope.version` (a newer one) or `envelope.tampered`
    (another key, other associated data, or a flipped bit: GCM cannot tell these apart).
    """
    if len(frame) < 1 + NONCE_BYTES + TAG_BYTES:
        raise Permanent("envelope.malformed", what="the value is too short for a sealed frame")
    if frame[0] != FRAME_VERSION:
        raise Permanent("envelope.version", what="frame", found=frame[0])
    nonce, ciphertext = frame[1 : 1 + NONCE_BYTES], memoryview(frame)[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, frame[:1] + associated)
    except InvalidTag:
        raise Permanent("envelope.tampered") from None


async def seal_stream(
    key: bytes, plaintext: AsyncIterable[bytes], *, associated: bytes, prefix: bytes
) -> AsyncIterator[bytes]:
    """`plaintext` sealed segment by segment, holding two segments at a time. `prefix` is 7 fresh random bytes."""
    cipher = AESGCM(key)
    head = bytes([STREAM_VERSION]) + prefix
    yield head
    counter = 0
    pending = bytearray()
    async for piece in plaintext:
        pending += piece
        while len(pending) > SEGMENT_BYTES:  # keep one back: only the end knows which segment is the last
            segment = bytes(pending[:SEGMENT_BYTES])
            del pending[:SEGMENT_BYTES]
            yield cipher.encrypt(_segment_nonce(prefix, counter, last=False), segment, head + associated)
            counter += 1
    yield cipher.encrypt(_segment_nonce(prefix, counter, last=True), bytes(pending), head + associated)


async def unseal_stream(key: bytes, sealed: AsyncIterable[bytes], *, associated: bytes) -> AsyncIterator[bytes]:
    """The plaintext of a sealed stream, segment by segment.

    Raises Permanent `staging.tampered` as soon as a segment does not open, also for a stream that was cut off.
    What was yielded before is authentic, but the whole is only once the iterator ends.
    """
    cipher = AESGCM(key)
    head_bytes, sealed_segment = 1 + STREAM_PREFIX_BYTES, SEGMENT_BYTES + TAG_BYTES
    pending = bytearray()
    head = b""
    counter = 0

    def open_segment(segment: bytes, *, last: bool) -> bytes:
        try:
            return cipher.decrypt(_segment_nonce(head[1:], counter, last=last), segment, head + associated)
        except InvalidTag:
            raise Permanent("staging.tampered") from None

    async for piece in sealed:
        pending += piece
        if not head and len(pending) >= head_bytes:
            head = bytes(pending[:head_bytes])
            del pending[:head_bytes]
            if head[0] != STREAM_VERSION:
                raise Permanent("staging.tampered")
        while head and len(pending) > sealed_segment:
            segment = bytes(pending[:sealed_segment])
            del pending[:sealed_segment]
            yield open_segment(segment, last=False)
            counter += 1
    if not head or len(pending) < TAG_BYTES:
        raise Permanent("staging.tampered")
    yield open_segment(bytes(pending), last=True)


def _segment_nonce(prefix: bytes, counter: int, *, last: bool) -> bytes:
    return prefix + counter.to_bytes(4, "big") + bytes([last])
