"""The envelope: what goes in comes out; whatever was changed on its way is refused with a code."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgpack
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas import envelope, sealing
from schemas.envelope import BOUND_HEADERS, MAX_PLAINTEXT_BYTES, MAX_RECORD_BYTES, Address
from schemas.errors import Permanent
from schemas.ids import clear_message_id
from schemas.messages import (
    TYPES,
    Chunk,
    ChunksMade,
    Document,
    DocumentAdmitted,
    DocumentsSubmitted,
    JobCompleted,
    Manifest,
    Message,
    RecognisedPage,
)
from tests.schemas.strategies import MESSAGES, OF_TYPE, SUBMITTED, addresses

KEY, OTHER_KEY, NONCE = bytes(range(32)), bytes(32), bytes(range(12))
DOCUMENT = Document(id="0" * 32, path="a/b.pdf", sha256="0" * 64, media_type="application/pdf", size=1)
MESSAGE = JobCompleted(customer="acme", generation=1)
ADDRESS = Address(
    id=UUID(int=1),
    type=MESSAGE.TYPE,
    source="/cradle/admit",
    job=UUID(int=2),
    time=datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC),
    key_id=str(UUID(int=2)),
    document="0" * 32,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
Record = tuple[list[tuple[str, bytes]], bytes]


@st.composite
def sealed(draw: st.DrawFn) -> tuple[Message, Address, Record]:
    message = draw(MESSAGES)
    to = draw(addresses(message))
    return message, to, envelope.close(message, to, key=KEY, nonce=draw(st.binary(min_size=12, max_size=12)))


def closed(message: Message = MESSAGE) -> Record:
    return envelope.close(message, replace(ADDRESS, type=message.TYPE), key=KEY, nonce=NONCE)


def sealed_by_hand(plaintext: bytes, type_: str = MESSAGE.TYPE) -> Record:
    """A record whose sealed content is anything at all: what a holder of the key could make."""
    headers = replace(ADDRESS, type=type_).headers()
    associated = envelope._bound(dict(headers))
    return headers, sealing.seal(KEY, plaintext, associated=associated, nonce=NONCE)


def packed(content: Any) -> bytes:
    return zstandard.compress(msgpack.packb(content))


def code_of(record: Record, key: bytes = KEY, expected: str | None = None) -> str:
    with pytest.raises(Permanent) as refused:
        envelope.open_sealed(*record, key=key, expected=expected)
    return refused.value.code


def test_there_is_a_strategy_for_every_type() -> None:
    assert set(OF_TYPE) == set(TYPES.values())


@pytest.mark.parametrize("model", TYPES.values(), ids=TYPES)
@given(data=st.data())
def test_every_message_comes_out_as_it_went_in(model: type[Message], data: st.DataObject) -> None:
    message = data.draw(OF_TYPE[model])
    to = data.draw(addresses(message))
    headers, value = envelope.close(message, to, key=KEY, nonce=NONCE)
    assert envelope.address(headers) == to
    assert envelope.open_sealed(headers, value, key=KEY, expected=model.TYPE) == message
    assert type(envelope.open_sealed(headers, value, key=KEY)) is model


@given(sealed(), st.data())
def test_any_flipped_bit_of_the_value_is_refused(one: tuple[Message, Address, Record], data: st.DataObject) -> None:
    headers, value = one[2]
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    flipped = bytearray(value)
    flipped[bit // 8] ^= 1 << bit % 8
    assert code_of((headers, bytes(flipped))) in ("envelope.tampered", "envelope.version")


def test_each_single_bit_of_one_record_counts() -> None:
    headers, value = closed()
    for bit in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        assert code_of((headers, bytes(flipped))) in ("envelope.tampered", "envelope.version")


@given(sealed(), st.data(), st.binary(max_size=40))
def test_any_changed_bound_header_is_refused(
    one: tuple[Message, Address, Record], data: st.DataObject, content: bytes
) -> None:
    headers, value = one[2]
    name = data.draw(st.sampled_from(BOUND_HEADERS))
    changed = {**dict(headers), name: content}
    assume(changed != dict(headers))
    assert code_of(([*changed.items()], value)).startswith("envelope.")


@pytest.mark.parametrize("name", BOUND_HEADERS)
def test_a_bound_header_cannot_be_left_out_or_given_twice(name: str) -> None:
    headers, value = closed()
    without = [header for header in headers if header[0] != name]
    assert code_of((without, value)) in ("envelope.tampered", "envelope.type")
    for other in (dict(headers)[name], b"other"):
        for twice in ([*headers, (name, other)], [(name, other), *headers]):
            assert code_of((twice, value)) == "envelope.malformed"


def test_a_bound_header_cannot_be_added() -> None:
    headers, value = envelope.close(MESSAGE, replace(ADDRESS, document=None), key=KEY, nonce=NONCE)
    assert code_of(([*headers, ("ce_document", b"0" * 32)], value)) == "envelope.tampered"


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_a_changed_traceparent_is_accepted(traceparent: str) -> None:
    headers, value = closed()
    changed = [*{**dict(headers), "traceparent": traceparent.encode()}.items()]
    assert envelope.open_sealed(changed, value, key=KEY) == MESSAGE
    assert envelope.address(changed).traceparent == traceparent
    assert envelope.open_sealed([header for header in headers if header[0] != "traceparent"], value, key=KEY) == MESSAGE


def test_headers_of_others_and_their_order_do_not_matter() -> None:
    headers, value = closed()
    assert envelope.open_sealed([("x-proxy", b"\xff"), *reversed(headers)], value, key=KEY) == MESSAGE


def test_another_jobs_key_does_not_open_it() -> None:
    assert code_of(closed(), key=OTHER_KEY) == "envelope.tampered"


@given(st.uuids())
def test_a_record_cannot_be_moved_to_another_job(job: UUID) -> None:
    assume(job != ADDRESS.job)
    headers, value = closed()
    moved = [*{**dict(headers), "ce_subject": str(job).encode()}.items()]
    assert code_of((moved, value)) == "envelope.tampered"


def test_a_type_that_was_not_expected_is_named() -> None:
    assert code_of(closed(), expected=ChunksMade.TYPE) == "envelope.type"
    headers, value = closed()
    for type_ in (b"cradle.jobs.v2", b"\xff", b"\x00" * 9000):
        with pytest.raises(Permanent) as refused:
            envelope.open_sealed([*{**dict(headers), "ce_type": type_}.items()], value, key=KEY)
        assert refused.value.code in ("envelope.type", "envelope.malformed")
        assert len(str(refused.value)) < 200


@given(
    st.binary(max_size=300), st.lists(st.tuples(st.sampled_from(BOUND_HEADERS), st.binary(max_size=60)), max_size=12)
)
def test_random_bytes_never_raise_anything_but_permanent(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    for attempt in (
        lambda: envelope.address(headers),
        lambda: envelope.open_sealed(headers, value, key=KEY),
        lambda: envelope.open_sealed(closed()[0], value, key=KEY),
        lambda: envelope.open_clear(value),
    ):
        with pytest.raises(Permanent):
            attempt()
    assert envelope.is_clear(headers, value) in (True, False)


@given(st.binary(max_size=300))
def test_sealed_random_bytes_never_raise_anything_but_permanent(content: bytes) -> None:
    for plaintext in (content, zstandard.compress(content)):
        with pytest.raises(Permanent):
            envelope.open_sealed(*sealed_by_hand(plaintext), key=KEY)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=16))
    | st.builds(msgpack.Timestamp, st.integers(-(2**60), 2**60), st.integers(0, 999_999_999))
)
FIELDS = st.sampled_from(["document", "customer", "generation", "chunks", "id", "path"]) | st.text(max_size=4)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from([*TYPES]))
def test_anything_msgpack_can_say_is_a_message_or_refused(content: Any, type_: str) -> None:
    headers, value = sealed_by_hand(packed(content), type_)
    try:
        message = envelope.open_sealed(headers, value, key=KEY)
    except Permanent as refused:
        assert refused.code in ("envelope.malformed", "envelope.invalid")
    else:
        assert isinstance(message, TYPES[type_])


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        packed(MESSAGE.model_dump())[:-1],
        packed(MESSAGE.model_dump()) + b"more",
        zstandard.compress(msgpack.packb(MESSAGE.model_dump()) + b"\x00"),
        zstandard.ZstdCompressor(write_content_size=False).compress(msgpack.packb(MESSAGE.model_dump())),
        zstandard.compress(b"\xdd\xff\xff\xff\xff"),  # a list of 4 billion, of which none follows
        zstandard.compress(b"\xc6\xff\xff\xff\xff"),  # 4 GiB of bytes
        zstandard.compress(b"\x91" * 100_000),  # lists within lists
        zstandard.compress(b"\xd6\xff\xff\xff\xff\xff"),  # a time stamp where a message should be
        zstandard.compress(b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"),  # with too many nanoseconds
        zstandard.compress(b"\x81\x90\x00"),  # a list as a key
        zstandard.compress(b"\x81\xa2\xff\xff\x00"),  # a key that is not UTF-8
    ],
)
def test_content_that_does_not_unpack_is_refused(plaintext: bytes) -> None:
    assert code_of(sealed_by_hand(plaintext)) in ("envelope.malformed", "envelope.invalid")


def test_a_decompression_bomb_is_refused_before_it_grows() -> None:
    bomb = zstandard.compress(bytes(MAX_PLAINTEXT_BYTES + 1))
    assert len(bomb) < 10_000
    assert code_of(sealed_by_hand(bomb)) == "envelope.malformed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generation", "1"), ("generation", True), ("generation", 1.0), ("generation", 0), ("generation", 2**40),
        ("generation", None), ("customer", b"acme"), ("customer", "Acme"), ("customer", "acme\n"),
        ("customer", msgpack.Timestamp(1)),
    ],
)  # fmt: skip
def test_a_message_is_read_as_its_schema_says_without_coercion(field: str, value: object) -> None:
    assert code_of(sealed_by_hand(packed({**MESSAGE.model_dump(), field: value}))) == "envelope.invalid"


def test_fields_of_a_newer_writer_are_ignored() -> None:
    assert envelope.open_sealed(*sealed_by_hand(packed({**MESSAGE.model_dump(), "mood": {"a": 1}})), key=KEY) == MESSAGE


def test_an_error_tells_fields_but_no_content() -> None:
    record = sealed_by_hand(packed({"document": {**DOCUMENT.model_dump(), "size": "canary"}}), DocumentAdmitted.TYPE)
    with pytest.raises(Permanent) as refused:
        envelope.open_sealed(*record, key=KEY)
    assert "document.size" in str(refused.value)
    assert "canary" not in str(refused.value)


def chunks_of(text: str) -> ChunksMade:
    chunk = Chunk(ordinal=0, start=0, end=1, tokens=1)
    return ChunksMade(document=DOCUMENT, text_length=len(text), text_start=0, text=text, chunks=(chunk,))


def test_a_record_holds_its_limit_and_no_more() -> None:
    draw = random.Random(2)
    text = "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(600_000))  # hardly compresses
    with pytest.raises(Permanent) as refused:
        closed(chunks_of(text))
    assert refused.value.code == "message.too-large"
    headers, value = closed(chunks_of(text[:300_000]))
    assert len(value) + sum(len(name) + len(content) for name, content in headers) <= MAX_RECORD_BYTES


def test_what_could_not_be_opened_again_is_not_sent() -> None:
    with pytest.raises(Permanent) as refused:
        closed(chunks_of("a" * (MAX_PLAINTEXT_BYTES + 1)))
    assert refused.value.code == "message.too-large"
    assert closed(chunks_of("a" * (MAX_PLAINTEXT_BYTES - 10_000)))


def test_a_lone_surrogate_is_refused_with_a_code_and_does_no_harm() -> None:
    for text in ("\ud800", "a\udfffb"):
        with pytest.raises(Permanent) as refused:
            closed(chunks_of(text))
        assert refused.value.code == "envelope.invalid"
    assert envelope.open_sealed(*closed(), key=KEY) == MESSAGE


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_confidence_is_a_number_from_0_to_1(number: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        RecognisedPage(number=1, text="", confidence=number)


# -- clear JSON -------------------------------------------------------------------------------------------------------


@given(SUBMITTED, st.booleans())
def test_clear_json_reads_as_the_same_message(message: DocumentsSubmitted, ascii_only: bool) -> None:
    value = json.dumps(message.model_dump(mode="json"), ensure_ascii=ascii_only).encode()
    assert envelope.open_clear(value) == (clear_message_id(value), message)


@given(ANYTHING.map(lambda content: json.dumps(content, default=str).encode()))
def test_any_json_is_an_event_or_refused(value: bytes) -> None:
    with pytest.raises(Permanent) as refused:
        envelope.open_clear(value)
    assert refused.value.code in ("envelope.malformed", "envelope.invalid")


EVENT = {"customer": "acme", "reference": "r", "manifest": {"documents": 1}}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "malformed"), (b"{", "malformed"), (b"\xff\xfe{}", "malformed"), (b"[" * 100_000, "malformed"),
        (b'{"a":' * 100_000, "malformed"), (b'{"reference": "\\ud800"}', "malformed"), (b'{"size": 1e999}', "invalid"),
        (b"NaN", "invalid"), (b"[]", "invalid"), (b"null", "invalid"), (b"{}", "invalid"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(value: bytes, code: str) -> None:
    with pytest.raises(Permanent) as refused:
        envelope.open_clear(value)
    assert refused.value.code == f"envelope.{code}"


@pytest.mark.parametrize(
    "change",
    [
        {"customer": "ACME"}, {"customer": "a/../b"}, {"customer": "a" * 64}, {"reference": ""},
        {"reference": "a" * 257}, {"reference": "a\0b"}, {"reference": "a\nb"}, {"manifest": None},
        {"manifest": {"documents": -1}}, {"manifest": {"documents": 10**30}}, {"manifest": {"documents": "1"}},
        {"manifest": {"documents": float("nan")}}, {"documents": [{"path": "../a", "uri": "s3://b/a"}]},
        {"documents": [{"path": "/a", "uri": "s3://b/a"}]}, {"documents": [{"path": "a//b", "uri": "s3://b/a"}]},
        {"documents": [{"path": "", "uri": "s3://b/a"}]}, {"documents": [{"path": "ü" * 2049, "uri": "s3://b/a"}]},
        {"documents": [{"path": "a", "uri": ""}]}, {"documents": [{"path": "a", "uri": "u", "sha256": "A" * 64}]},
        {"documents": [{"path": "a", "uri": "u", "size": -1}]}, {"documents": [{"path": "a", "uri": "u"}] * 1025},
    ],
)  # fmt: skip
def test_an_event_that_breaks_the_schema_is_refused(change: dict[str, Any]) -> None:
    assert envelope.open_clear(json.dumps(EVENT).encode())[1].manifest == Manifest(documents=1)
    with pytest.raises(Permanent) as refused:
        envelope.open_clear(json.dumps({**EVENT, **change}).encode())
    assert refused.value.code == "envelope.invalid"


@pytest.mark.parametrize(
    ("headers", "value", "clear"),
    [
        ([("content-type", b"application/json")], b"anything", True),
        ([("content-type", b"Application/JSON; charset=utf-8")], b"anything", True),
        ([("content-type", b"application/vnd.cradle+sealed")], b"{}", False),
        ([], b' \n{"customer": 1}', True),
        ([("content-type", None)], b"{}", True),
        ([], b"\x01\x02", False),
        ([], b"", False),
        ([], None, False),
    ],
)
def test_clear_records_are_told_by_their_content_type_or_their_first_letter(
    headers: list[tuple[str, bytes]], value: bytes | None, clear: bool
) -> None:
    assert envelope.is_clear(headers, value) is clear


def test_a_header_without_a_value_is_malformed() -> None:
    headers: list[Any] = [
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/vnd.cradle+sealed"),
        ("ce_id", None),
    ]
    with pytest.raises(Permanent, match="not a Cradle message"):
        envelope.address(headers)
