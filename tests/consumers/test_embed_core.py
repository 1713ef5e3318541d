import numpy as np
import pytest

from consumers.embed.core import Gathering
from schemas.errors import Permanent
from schemas.messages import Chunk, ChunksMade
from schemas.parameters import EmbeddingConfig
from tests.fakes import document

CONFIG = EmbeddingConfig(model="fake", batch_size=3, passage_prefix="passage: ")


def made(*words: str) -> ChunksMade:
    """A message whose chunks are these words, as many tokens long as they have letters."""
    text = " ".join(words)
    starts = [text.index(word) for word in words]
    chunks = tuple(
        Chunk(ordinal=ordinal, start=start, end=start + len(word), tokens=len(word))
        for ordinal, (start, word) in enumerate(zip(starts, words, strict=True))
    )
    return ChunksMade(document=document(text), text_length=len(text), text_start=0, text=text, chunks=chunks)


def numbered(texts: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    """A vector for each text: its length and its first letter, made one long."""
    rows = np.array([[len(text), ord(text[len("passage: ")])] for text in texts], dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_chunks_of_all_messages_share_batches_by_length() -> None:
    gathering = Gathering([made("ffff", "a"), made("bb", "eeee", "cc")], CONFIG, dimension=2)
    batches = [[passage.text for passage in batch] for batch in gathering.batches()]
    assert batches == [["passage: a", "passage: bb", "passage: cc"], ["passage: ffff", "passage: eeee"]]


def test_every_vector_comes_back_to_its_chunk() -> None:
    messages = [made("ffff", "a"), made("bb", "eeee", "cc"), made("d")]
    gathering = Gathering(messages, CONFIG, dimension=2)
    for batch in gathering.batches():
        gathering.take(batch, numbered([passage.text for passage in batch]))
    for number, message in enumerate(messages):
        result = gathering.made(number, engine="fake")
        expected = numbered([f"passage: {message.text_of(chunk)}" for chunk in message.chunks])
        assert result.chunks == message
        assert result.vectors.shape == (len(message.chunks), 2)
        assert result.vectors.data == expected.astype("<f4").tobytes()


def test_a_message_is_complete_with_its_last_vector() -> None:
    gathering = Gathering([made("a", "ffffff"), made("bb", "cc")], CONFIG, dimension=2)
    complete = [gathering.take(batch, numbered([p.text for p in batch])) for batch in gathering.batches()]
    assert complete == [[1], [0]]


@pytest.mark.parametrize(
    ("vector", "normalize", "sentence"),
    [
        ([np.nan, 1.0], True, "finite"),
        ([np.inf, 1.0], False, "finite"),
        ([0.0, 0.0], False, "longer than 0"),
        ([3.0, 4.0], True, "of length 1"),
    ],
)
def test_bad_vectors_are_refused(vector: list[float], normalize: bool, sentence: str) -> None:
    gathering = Gathering([made("a")], CONFIG.model_copy(update={"normalize": normalize}), dimension=2)
    [batch] = gathering.batches()
    gathering.take(batch, np.array([vector], dtype=np.float32))
    with pytest.raises(Permanent, match=sentence) as refusal:
        gathering.made(0, engine="fake")
    assert refusal.value.code == "engine.vectors"


def test_a_vector_of_any_length_passes_unless_normalised() -> None:
    gathering = Gathering([made("a")], CONFIG.model_copy(update={"normalize": False}), dimension=2)
    [batch] = gathering.batches()
    gathering.take(batch, np.array([[3.0, 4.0]], dtype=np.float32))
    assert gathering.made(0, engine="fake").vectors.shape == (1, 2)
