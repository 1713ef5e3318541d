"""Sealing: one frame and streams of any length. Whatever was changed, moved or cut off does not open."""

import itertools
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Permanent
from schemas.sealing import SEGMENT_BYTES, TAG_BYTES, seal, seal_stream, unseal, unseal_stream

KEY, NONCE, PREFIX, NAME = bytes(range(32)), bytes(range(12)), bytes(range(7)), b"jobs/1/raw/2"
SEALED_SEGMENT = SEGMENT_BYTES + TAG_BYTES
LENGTHS = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES + 17]


async def pieces(data: bytes, cuts: Sequence[int] = ()) -> AsyncIterator[bytes]:
    """`data` cut at the given places, which may coincide."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        yield data[start:end]


async def sealed_stream(data: bytes, cuts: Sequence[int] = ()) -> bytes:
    return b"".join([part async for part in seal_stream(KEY, pieces(data, cuts), associated=NAME, prefix=PREFIX)])


async def opened(sealed: bytes, cuts: Sequence[int] = (), key: bytes = KEY, name: bytes = NAME) -> bytes:
    return b"".join([part async for part in unseal_stream(key, pieces(sealed, cuts), associated=name)])


async def refused(sealed: bytes, **changed: bytes) -> bool:
    with pytest.raises(Permanent) as error:
        await opened(sealed, **changed)  # type: ignore[arg-type]
    return error.value.code == "staging.tampered"


def content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_a_frame_opens_to_what_was_sealed(plaintext: bytes, associated: bytes) -> None:
    frame = seal(KEY, plaintext, associated=associated, nonce=NONCE)
    assert len(frame) == len(plaintext) + 29
    assert unseal(KEY, frame, associated=associated) == plaintext
    # told again without our code: version | nonce | AES-256-GCM with the version before the associated data
    assert AESGCM(KEY).decrypt(frame[1:13], frame[13:], b"\x01" + associated) == plaintext


@given(st.binary(max_size=60))
def test_random_bytes_are_no_frame(frame: bytes) -> None:
    with pytest.raises(Permanent) as error:
        unseal(KEY, frame, associated=b"")
    assert error.value.code in ("envelope.malformed", "envelope.version", "envelope.tampered")


def test_a_frame_tells_what_is_wrong() -> None:
    frame = seal(KEY, b"text", associated=b"a", nonce=NONCE)
    cases: list[tuple[str, Callable[[], bytes]]] = [
        ("envelope.malformed", lambda: unseal(KEY, frame[:28], associated=b"a")),
        ("envelope.version", lambda: unseal(KEY, b"\x09" + frame[1:], associated=b"a")),
        ("envelope.tampered", lambda: unseal(KEY, frame[:-1], associated=b"a")),
        ("envelope.tampered", lambda: unseal(KEY, frame, associated=b"b")),
        ("envelope.tampered", lambda: unseal(bytes(32), frame, associated=b"a")),
    ]
    for code, attempt in cases:
        with pytest.raises(Permanent) as error:
            attempt()
        assert error.value.code == code


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_stream_opens_however_it_was_cut(length: int) -> None:
    data = content(length)
    whole = await sealed_stream(data)
    segments = max(1, -(-length // SEGMENT_BYTES))
    assert len(whole) == 8 + length + segments * TAG_BYTES
    for cuts in ([], [1], [7, 8, 9], [SEGMENT_BYTES], [SEALED_SEGMENT + 8], [0, 0, 0], [*range(0, length, 9973)]):
        assert await sealed_stream(data, cuts) == whole, "the split of the plaintext leaves no trace"
        assert await opened(whole, cuts) == data


@given(length=st.integers(0, 3 * SEGMENT_BYTES), cuts=st.lists(st.integers(0, 2**20), max_size=8), data=st.data())
async def test_a_stream_opens_for_any_length_and_cut(length: int, cuts: list[int], data: st.DataObject) -> None:
    plaintext = content(length)
    sealed = await sealed_stream(plaintext, cuts)
    assert await opened(sealed, data.draw(st.lists(st.integers(0, 2**20), max_size=8))) == plaintext


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_stream_that_was_cut_off_is_refused(length: int) -> None:
    sealed = await sealed_stream(content(length))
    ends = {0, 1, 7, 8, 9, len(sealed) - 1, len(sealed) - TAG_BYTES} | {
        8 + i * SEALED_SEGMENT + d for i in range(4) for d in (-1, 0, 1)
    }
    for end in ends:
        if 0 <= end < len(sealed):
            assert await refused(sealed[:end]), f"cut at {end}"
    assert await refused(sealed + b"\0")


async def test_segments_cannot_be_dropped_swapped_or_doubled() -> None:
    sealed = await sealed_stream(content(3 * SEGMENT_BYTES + 5))
    head, body = sealed[:8], sealed[8:]
    a, b, c, d = (body[i * SEALED_SEGMENT : (i + 1) * SEALED_SEGMENT] for i in range(4))
    for order in ([b, a, c, d], [a, c, d], [a, b, d], [b, c, d], [a, a, b, c, d], [a, b, c], [a, b, c, c], [d], []):
        assert await refused(head + b"".join(order))
    assert await opened(head + a + b + c + d) == content(3 * SEGMENT_BYTES + 5)


@given(st.integers(0), st.sampled_from([0, 5, SEGMENT_BYTES + 5]))
async def test_a_flipped_bit_of_a_stream_is_refused(bit: int, length: int) -> None:
    sealed = bytearray(await sealed_stream(content(length)))
    bit %= len(sealed) * 8
    sealed[bit // 8] ^= 1 << bit % 8
    assert await refused(bytes(sealed))


async def test_a_stream_is_bound_to_its_key_and_name() -> None:
    sealed = await sealed_stream(b"text")
    assert await refused(sealed, key=bytes(32))
    assert await refused(sealed, name=b"jobs/1/raw/3")
    assert await opened(sealed) == b"text"


@given(st.binary(max_size=100))
async def test_random_bytes_are_no_stream(data: bytes) -> None:
    assert await refused(data)


async def test_what_was_yielded_before_a_break_is_authentic() -> None:
    plaintext = content(2 * SEGMENT_BYTES + 5)
    sealed = bytearray(await sealed_stream(plaintext))
    sealed[-1] ^= 1
    got = b""
    with pytest.raises(Permanent):
        async for part in unseal_stream(KEY, pieces(bytes(sealed)), associated=NAME):
            got += part
    assert got == plaintext[: 2 * SEGMENT_BYTES]
