import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.chunk.core import (
    MAX_CHUNK_CHARACTERS,
    MAX_CHUNKS_PER_MESSAGE,
    MAX_TEXT_BYTES_PER_MESSAGE,
    Measure,
    messages,
    split,
)
from engines.extraction import Extracted, ExtractedHeading, ExtractedMark, ExtractedPage, extract, probe
from engines.tokenizer.fake import FakeTokenizer
from schemas.messages import Chunk
from tests.engines.test_tokenizer import MODELS, config, loaded
from tests.fakes import document

EXAMPLES = Path(__file__).parents[2] / "examples"
FAKE = FakeTokenizer()


class Merging(FakeTokenizer):
    """A tokenizer whose counts do not add up: a passage alone has half as many tokens again as it has in its text."""

    additive = False

    def count(self, text: str) -> int:
        return super().count(text) * 3 // 2


def chunked(
    extracted: Extracted, tokenizer: FakeTokenizer = FAKE, *, limit: int = 32, overlap: int = 8, prefix: str = ""
) -> list[Chunk]:
    return split(
        extracted, Measure.of(extracted.text, tokenizer, prefix=prefix), max_tokens=limit, overlap_tokens=overlap
    )


def texts(extracted: Extracted, chunks: list[Chunk]) -> list[str]:
    return [extracted.text[chunk.start : chunk.end] for chunk in chunks]


SENTENCES = st.lists(
    st.sampled_from(
        [
            "Ein kurzer Satz. ",
            "The pump, which was started at 6:30, ran for 4.5 hours without any fault. ",
            "z. B. Nr. 7\n",
            "\n\n",
            "- ein Punkt\n",
            "| a | b |\n",
            "Donaudampfschifffahrtsgesellschaftskapit\u00e4n" * 6 + " ",
            "\u6f22\u5b57" * 40,
            "\u200b ",
            "\ufdfa",
            "wort " * 50,
            "\t",
            "Gr\u00f6\u00dfe\u00a03\u00a0kW ",
        ]
    )
    | st.text(max_size=30),
    min_size=1,
    max_size=40,
).map("".join)


@pytest.mark.parametrize("name", [*MODELS, "merging"])
@given(
    text=SENTENCES,
    limit=st.integers(min_value=24, max_value=80),
    overlap=st.integers(min_value=0, max_value=12),
    prefix=st.sampled_from(["", "passage: ", "passage:"]),
)
def test_nothing_is_lost_and_nothing_is_too_long(name: str, text: str, limit: int, overlap: int, prefix: str) -> None:
    tokenizer = Merging() if name == "merging" else loaded(config(name))
    measure = Measure.of(text, tokenizer, prefix=prefix)
    chunks = split(Extracted(text), measure, max_tokens=limit, overlap_tokens=overlap)
    assert chunks == split(Extracted(text), measure, max_tokens=limit, overlap_tokens=overlap)

    covered = np.zeros(len(text), dtype=bool)
    for chunk in chunks:
        passage = text[chunk.start : chunk.end]
        assert passage == passage.strip() != ""
        assert chunk.tokens == tokenizer.count(prefix + passage)
        assert chunk.tokens <= limit or len(passage) == 1
        covered[chunk.start : chunk.end] = True
    assert not text or all(covered[i] or character.isspace() for i, character in enumerate(text))

    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        repeated = measure.index(before.end) - measure.index(after.start)
        assert repeated <= overlap


@pytest.mark.parametrize("name", ["tk-480-technical-manual.pdf", "Gesch\u00e4ftsbericht 2025.pdf"])
def test_real_documents_are_cut_at_sentences_and_counted_exactly(name: str) -> None:
    data = (EXAMPLES / name).read_bytes()
    extracted = extract(data, probe(data, name).media_type)
    tokenizer = loaded(config("builtin"))
    chunks = split(extracted, Measure.of(extracted.text, tokenizer, prefix=""), max_tokens=256, overlap_tokens=32)
    assert all(
        chunk.tokens == tokenizer.count(text) <= 256
        for chunk, text in zip(chunks, texts(extracted, chunks), strict=True)
    )
    assert sum(text[-1] in '.:|?!\u201c"' for text in texts(extracted, chunks)) > 0.9 * len(chunks)
    assert sum(chunk.tokens for chunk in chunks) / len(chunks) > 64


def words(count: int, name: str = "wort") -> str:
    return " ".join(f"{name}{number}" for number in range(count))


def with_headings(*sections: tuple[int, str, str]) -> Extracted:
    text, headings = "", []
    for level, name, body in sections:
        headings.append(ExtractedHeading(level, len(text), len(text) + len(name)))
        text += f"{name}\n{body}\n\n"
    return Extracted(text, headings=tuple(headings))


def test_a_chunk_ends_before_a_heading_once_it_is_a_quarter_full() -> None:
    extracted = with_headings(
        (1, "Alpha", words(10)), (1, "Beta", words(10)), (1, "Gamma", words(2)), (1, "Delta", words(9))
    )
    assert [text.split("\n")[0] for text in texts(extracted, chunked(extracted))] == ["Alpha", "Beta", "Gamma"]


def test_each_chunk_knows_the_headings_above_it() -> None:
    extracted = with_headings(
        (1, "Buch", words(12)), (2, "Kapitel", words(60)), (3, "Teil", words(12)), (2, "Zweites", words(12))
    )
    found = [chunk.headings for chunk in chunked(extracted)]
    assert found[0] == ("Buch",)
    assert found[1:-2] == [("Buch", "Kapitel")] * len(found[1:-2])
    assert found[-2:] == [("Buch", "Kapitel", "Teil"), ("Buch", "Zweites")]


def test_each_chunk_knows_the_page_it_begins_on() -> None:
    text = f"{words(20)}.\n\n{words(20)}.\n\n{words(20)}."
    second, third = text.index("\n\n") + 2, text.rindex("\n\n") + 2
    pages = (ExtractedPage(1, 0, second), ExtractedPage(2, second, third), ExtractedPage(3, third, len(text)))
    assert [chunk.page for chunk in chunked(Extracted(text, pages=pages), overlap=0)] == [1, 2, 3]


def test_a_paragraph_is_kept_whole_where_it_fits() -> None:
    text = f"{words(18)}.\n\n{words(9)}. {words(9)}."
    assert texts(Extracted(text), chunked(Extracted(text), overlap=0)) == text.split("\n\n")


def test_a_chunk_repeats_whole_sentences_of_the_one_before() -> None:
    text = " ".join(f"Satz {number} hat vier W\u00f6rter." for number in range(20))
    for before, after in pairwise(texts(Extracted(text), chunked(Extracted(text), overlap=12))):
        repeated = [sentence for sentence in after.split(". ") if sentence in before]
        assert len(repeated) == 2
        assert after.startswith("Satz ")


def test_nothing_is_repeated_across_a_heading() -> None:
    extracted = with_headings((1, "Alpha", words(20)), (1, "Beta", words(20)))
    assert texts(extracted, chunked(extracted))[1].startswith("Beta")


def test_a_word_longer_than_a_chunk_is_cut_between_its_tokens() -> None:
    text = "A" + "b" * 5000
    chunks = chunked(Extracted(text))
    assert "".join(texts(Extracted(text), chunks)) == text
    assert len(chunks) == -(-5001 // 300), "30 tokens of ten letters each"


def test_characters_are_bounded_where_tokens_are_not() -> None:
    class OneToken(FakeTokenizer):
        def token_starts(self, text: str) -> np.ndarray:  # type: ignore[type-arg]
            return np.array([0] if text else [], dtype=np.int64)

        def count(self, text: str) -> int:
            return 3

    text = "x" * 100_000
    chunks = chunked(Extracted(text), OneToken())
    assert "".join(texts(Extracted(text), chunks)) == text
    assert max(chunk.end - chunk.start for chunk in chunks) == MAX_CHUNK_CHARACTERS


@given(text=SENTENCES, repeat=st.integers(min_value=1, max_value=12))
def test_the_stretches_are_the_text(text: str, repeat: int) -> None:
    extracted = Extracted(text * repeat, title="T" * 5000, language="de", date="2026-01-31")
    chunks = chunked(extracted)
    made = list(messages(document(), extracted, chunks))
    assert [chunk for message in made for chunk in message.chunks] == chunks
    rebuilt = ""
    for message in made:
        assert message.text_start <= len(rebuilt)
        rebuilt = rebuilt[: message.text_start] + message.text
        assert len(message.title or "") <= 200
        assert (message.language, message.date) == ("de", "2026-01-31")
        for chunk in message.chunks:
            assert message.text_of(chunk) == extracted.text[chunk.start : chunk.end]
    assert not made or rebuilt == extracted.text
    assert {message.text_length for message in made} <= {len(extracted.text)}


@pytest.mark.parametrize("unit", ["\u6f22" * 300, "Ein Satz mit \U0001f642 und mehr. ", "x" * 997 + " ", "a.\n\n"])
def test_messages_stay_small_however_huge_the_document(unit: str) -> None:
    extracted = Extracted(unit * (1_500_000 // len(unit)))
    made = list(messages(document(), extracted, chunked(extracted, limit=512, overlap=64)))
    assert len(made) > 1
    for message in made:
        assert len(message.chunks) <= MAX_CHUNKS_PER_MESSAGE
        assert len(message.text.encode()) <= MAX_TEXT_BYTES_PER_MESSAGE
        assert len(message.chunks) * 4096 * 4 + len(message.text.encode()) < 900 * 1024


def test_a_message_names_the_pages_it_meets() -> None:
    text = f"{words(25)}. " * 200
    edges = range(0, len(text) + 1, len(text) // 20)
    pages = tuple(ExtractedPage(n, start, end) for n, (start, end) in enumerate(pairwise([*edges[:-1], len(text)]), 1))
    extracted = Extracted(text, pages=pages)
    made = list(messages(document(), extracted, chunked(extracted)))
    assert len(made) > 2
    for message in made:
        met = {page.number for page in message.pages}
        assert {chunk.page for chunk in message.chunks} <= met
        assert met == {
            page.number
            for page in pages
            if page.start < message.text_start + len(message.text) and message.text_start < page.end
        }


# -- marks ------------------------------------------------------------------------------------------------------------


def test_a_chunk_has_the_marks_that_its_text_meets() -> None:
    text = "\n\n".join(f"Paragraph {number} of some words." for number in range(48))
    places = [text.index(f"Paragraph {number} ") for number in (2, 14, 40)]
    marks = (
        ExtractedMark("hidden", places[0], places[0] + 9),
        ExtractedMark("doubtful", places[1], places[2]),
        ExtractedMark("hidden", places[2], len(text)),
    )
    extracted = Extracted(text, marks=marks)
    chunks = chunked(extracted, overlap=0)
    assert len(chunks) > 4
    for chunk in chunks:
        assert chunk.marks == tuple(
            sorted({mark.kind for mark in marks if mark.start < chunk.end and chunk.start < mark.end})
        )
    assert {chunk.marks for chunk in chunks} >= {(), ("hidden",), ("doubtful",)}


def test_a_mark_that_ends_where_a_chunk_begins_is_not_its() -> None:
    text = "First sentence here. " * 4 + "\n\n" + "Second sentence here. " * 4
    start = text.index("Second")
    extracted = Extracted(
        text, headings=(ExtractedHeading(1, start, start + 6),), marks=(ExtractedMark("hidden", 0, start),)
    )
    assert [chunk.marks for chunk in chunked(extracted, overlap=0)] == [("hidden",), ()]


def test_a_thousand_marks_cost_no_more_than_their_number() -> None:
    text = "word " * 200_000
    marks = tuple(ExtractedMark("hidden", start, start + 4) for start in range(0, len(text), 10))
    began = time.monotonic()
    assert {chunk.marks for chunk in chunked(Extracted(text, marks=marks), overlap=0)} == {("hidden",)}
    assert time.monotonic() - began < 20
