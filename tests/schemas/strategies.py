"""Messages of every type, as Hypothesis draws them."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from schemas.envelope import Address
from schemas.messages import (
    Chunk,
    ChunksMade,
    Document,
    DocumentAdmitted,
    DocumentRecognised,
    DocumentReference,
    DocumentsSubmitted,
    EmbeddingsMade,
    GraphExtracted,
    JobCompleted,
    Manifest,
    Message,
    PageSpan,
    RecognisedPage,
    Vectors,
)
from schemas.messages._base import MAX_COUNT, MAX_SIZE
from schemas.messages.graph import Entity, Relation

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
COUNTS = st.integers(0, MAX_COUNT)
NUMBERS = st.integers(1, MAX_COUNT)
SIZES = st.integers(0, MAX_SIZE)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)
CUSTOMERS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def few(of: st.SearchStrategy[object], least: int = 0) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, min_size=least, max_size=3).map(tuple)


DOCUMENTS = st.builds(Document, id=HEX, path=PATHS, sha256=SHA256, media_type=TEXT, size=SIZES)
CHUNKS = st.builds(
    Chunk,
    ordinal=COUNTS,
    start=COUNTS,
    end=COUNTS,
    tokens=NUMBERS,
    page=st.none() | NUMBERS,
    headings=few(TEXT),
)
CHUNKS_MADE = st.builds(
    ChunksMade,
    document=DOCUMENTS,
    title=st.none() | TEXT,
    language=st.none() | TEXT,
    text_length=COUNTS,
    text_start=COUNTS,
    text=TEXT,
    pages=few(st.builds(PageSpan, number=NUMBERS, start=COUNTS, end=COUNTS)),
    chunks=few(CHUNKS, least=1),
)


@st.composite
def embeddings_made(draw: st.DrawFn) -> EmbeddingsMade:
    chunks = draw(CHUNKS_MADE)
    rows, dimension, dtype = len(chunks.chunks), draw(st.integers(1, 8)), draw(st.sampled_from(["float32", "float16"]))
    size = rows * dimension * (4 if dtype == "float32" else 2)
    data = draw(st.binary(min_size=size, max_size=size))
    return EmbeddingsMade(chunks=chunks, vectors=Vectors(dtype=dtype, shape=(rows, dimension), data=data))


SUBMITTED = st.builds(
    DocumentsSubmitted,
    customer=CUSTOMERS,
    reference=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40),
    documents=few(
        st.builds(
            DocumentReference,
            path=PATHS,
            uri=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
            sha256=st.none() | SHA256,
            size=st.none() | SIZES,
        ),
        least=1,
    ),
    manifest=st.none() | st.builds(Manifest, documents=COUNTS),
)

OF_TYPE: dict[type[Message], st.SearchStrategy[Message]] = {
    DocumentsSubmitted: SUBMITTED,
    DocumentAdmitted: st.builds(DocumentAdmitted, document=DOCUMENTS, object=TEXT),
    DocumentRecognised: st.builds(
        DocumentRecognised,
        document=DOCUMENTS,
        pages=few(
            st.builds(RecognisedPage, number=NUMBERS, text=TEXT, confidence=st.none() | st.floats(0, 1)),
        ),
        object=st.none() | TEXT,
    ),
    ChunksMade: CHUNKS_MADE,
    EmbeddingsMade: embeddings_made(),
    GraphExtracted: st.builds(
        GraphExtracted,
        document=DOCUMENTS,
        entities=few(st.builds(Entity, name=TEXT, kind=TEXT, chunk=COUNTS)),
        relations=few(st.builds(Relation, subject=TEXT, predicate=TEXT, object=TEXT, chunk=COUNTS)),
    ),
    JobCompleted: st.builds(JobCompleted, customer=CUSTOMERS, generation=NUMBERS),
}
MESSAGES = st.one_of(*OF_TYPE.values())


@st.composite
def addresses(draw: st.DrawFn, message: Message) -> Address:
    job = draw(st.uuids())
    return Address(
        id=draw(st.uuids()),
        type=message.TYPE,
        source=f"/cradle/{draw(st.sampled_from(['admit', 'chunk', 'embed']))}",
        job=job,
        time=draw(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))),
        key_id=str(job),
        document=draw(st.none() | HEX),
        traceparent=draw(st.none() | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
    )
