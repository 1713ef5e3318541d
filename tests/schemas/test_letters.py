from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Permanent
from schemas.letters import Postmark, WholeRecord, read_postmark, read_traceparent, unpack_record

MARK = Postmark(
    message=UUID(int=7),
    number=2,
    code="document.broken",
    error="The document cannot be read.",
    stage="chunk",
    attempts=3,
    topic="chunk-ready",
    partition=1,
    offset=12,
    first_ms=1_700_000_000_000,
    last_ms=1_700_000_000_500,
)
JOB = uuid4()
NAMES = st.sampled_from([name for name, _ in MARK.headers()]) | st.text(max_size=8)


def test_a_postmark_is_read_as_it_was_written() -> None:
    assert read_postmark([*MARK.headers(), ("ce_id", b"1")]) == MARK


@pytest.mark.parametrize("name", [name for name, _ in MARK.headers()])
@pytest.mark.parametrize("content", [None, b"\xff", b"\x1b[2J" * 40])
def test_a_missing_or_strange_header_makes_it_no_letter(name: str, content: bytes | None) -> None:
    others: Sequence[tuple[str, bytes]] = [header for header in MARK.headers() if header[0] != name]
    strange = [*others, (name, content)] if content is not None else others
    read = read_postmark(strange)
    if name == "cradle_error" and content and content.isascii():
        assert read is not None and read.error.isprintable()
    else:
        assert read is None


@given(st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=40)), max_size=20))
def test_no_headers_make_reading_fail(headers: list[tuple[str, bytes]]) -> None:
    read_postmark(headers)
    read_traceparent(headers)


def test_a_letter_is_the_same_for_the_same_piece_alone() -> None:
    others = [replace(MARK, stage="embed"), replace(MARK, message=UUID(int=8)), replace(MARK, number=3)]
    assert MARK.letter(JOB) == replace(MARK, attempts=1, last_ms=0).letter(JOB)
    assert len({one.letter(JOB) for one in [MARK, *others]} | {MARK.letter(uuid4())}) == 5


def test_only_a_well_formed_trace_is_repeated() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert read_traceparent([("traceparent", trace.encode())]) == trace
    assert read_traceparent([("traceparent", b"/home/secret.pdf")]) is None
    assert read_traceparent([]) is None


@given(
    st.none() | st.binary(max_size=9),
    st.lists(st.tuples(st.text(st.characters(), max_size=9), st.none() | st.binary(max_size=9)), max_size=4),
    st.binary(max_size=99),
)
def test_a_whole_record_comes_back_with_its_id(
    key: bytes | None, headers: list[tuple[str, bytes]], value: bytes
) -> None:
    record = WholeRecord(key, headers, value)
    again = unpack_record(record.packed())
    assert again == record
    assert again.id("ingest") == record.id("ingest") != record.id("chunked")


@pytest.mark.parametrize("packed", [b"", b"no zstd", WholeRecord(None, [], b"x").packed()[:-1]])
def test_what_does_not_unpack_says_so(packed: bytes) -> None:
    with pytest.raises(Permanent) as caught:
        unpack_record(packed)
    assert caught.value.code == "envelope.malformed"
