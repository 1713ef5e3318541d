import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.parts import decode_part, encode_part, part_name
from schemas.errors import Permanent
from schemas.messages import ChunksMade, EmbeddingsMade, Vectors
from tests.builders.corpus import Book, library


def part_of(one: Book, first: int = 0) -> EmbeddingsMade:
    rows = one.vectors[first:]
    start = one.chunks[first].start
    return EmbeddingsMade(
        chunks=ChunksMade(
            document=one.document,
            title=one.document.path,
            text_length=len(one.text),
            text_start=start,
            text=one.text[start:],
            pages=one.pages,
            chunks=one.chunks[first:],
        ),
        vectors=Vectors(shape=rows.shape, data=rows.tobytes()),
    )


@pytest.mark.parametrize("one", library(), ids=lambda one: one.document.media_type)
def test_a_part_round_trips(one: Book) -> None:
    assert decode_part(encode_part(part_of(one))) == part_of(one)


def test_a_part_is_named_by_document_and_first_chunk() -> None:
    one = library()[0]
    assert part_name(part_of(one, 1)) == f"{one.document.id}/00000001"


@given(st.one_of(st.binary(), st.binary(min_size=1).map(lambda noise: encode_part(part_of(library()[0]))[:-1] + noise)))
def test_what_is_no_part_is_refused_with_a_code(data: bytes) -> None:
    try:
        decode_part(data)
    except Permanent as error:
        assert error.code == "job.incomplete"
