"""The codec: a message of 128 x 1024 float32 vectors sealed and opened again, beside plain JSON of the same message.

All start with an array and end with one. The baseline is the same message with its vectors as lists: a validated model,
orjson out and in, a validated model. A second row drops the model from the baseline, which then neither validates nor
encrypts, while ours still does both; it is told for comparison and has no bar.
"""

import time
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.table import Row, paired
from schemas import envelope
from schemas.messages import Chunk, ChunksMade, Document, EmbeddingsMade, Message, Vectors

Matrix = NDArray[np.float32]


class ListedEmbeddings(Message):
    """EmbeddingsMade as JSON would have it."""

    TYPE: ClassVar[str] = "listed"

    chunks: ChunksMade
    vectors: list[list[float]]


ROWS, DIMENSION = 128, 1024
ROUNDS, REPEATS = 9, 10
FASTER, SMALLER = 20, 0.25


def run() -> list[Row]:
    vectors = _vectors()
    message = _message(vectors)
    key, nonce, to = bytes(32), bytes(12), _address()
    chunks, bare_chunks = message.chunks, message.chunks.model_dump()

    def ours() -> Matrix:
        sent = EmbeddingsMade(chunks=chunks, vectors=Vectors(shape=vectors.shape, data=vectors.tobytes()))
        headers, value = envelope.close(sent, to, key=key, nonce=nonce)
        opened = envelope.open_sealed(headers, value, key=key, expected=EmbeddingsMade.TYPE)
        assert isinstance(opened, EmbeddingsMade)
        return np.frombuffer(opened.vectors.data, np.float32).reshape(opened.vectors.shape)

    def json() -> Matrix:
        sent = ListedEmbeddings(chunks=chunks, vectors=vectors.tolist())
        opened = ListedEmbeddings.model_validate(orjson.loads(orjson.dumps(sent.model_dump())))
        return np.asarray(opened.vectors, np.float32)

    def bare_value() -> bytes:
        return orjson.dumps({"chunks": bare_chunks, "vectors": vectors.tolist()})

    def bare_json() -> Matrix:
        return np.asarray(orjson.loads(bare_value())["vectors"], np.float32)

    for road in (ours, json, bare_json):
        assert np.array_equal(road(), vectors)
    headers, value = envelope.close(message, to, key=key, nonce=nonce)
    sealed_bytes = len(value) + sum(len(name) + len(content) for name, content in headers)
    json_bytes = len(bare_value())
    times = paired(json, ours, rounds=ROUNDS, repeats=REPEATS, clock=time.process_time)
    bare = paired(bare_json, ours, rounds=ROUNDS, repeats=REPEATS, clock=time.process_time)
    return [
        Row(
            name=f"codec: {ROWS} x {DIMENSION} float32 sealed and opened",
            measured=f"{times.second * 1e3:.2f} ms of CPU",
            baseline=f"{times.first * 1e3:.2f} ms, orjson lists",
            ratio=times.ratio,
            bar=f"at least {FASTER} times faster",
            passed=times.ratio >= FASTER,
        ),
        Row(
            name="codec: the same beside unvalidated JSON",
            measured=f"{bare.second * 1e3:.2f} ms of CPU",
            baseline=f"{bare.first * 1e3:.2f} ms, orjson lists without a model",
            ratio=bare.ratio,
            bar="told, no bar",
            passed=True,
        ),
        Row(
            name=f"codec: bytes of {ROWS} x {DIMENSION} float32",
            measured=f"{sealed_bytes:,}",
            baseline=f"{json_bytes:,}, orjson lists",
            ratio=sealed_bytes / json_bytes,
            bar=f"at most {SMALLER}",
            passed=sealed_bytes / json_bytes <= SMALLER,
        ),
    ]


def _vectors() -> Matrix:
    drawn = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _message(vectors: Matrix) -> EmbeddingsMade:
    sentence = "Die Anlage ist vor jeder Wartung spannungsfrei zu schalten und gegen Wiedereinschalten zu sichern. "
    length = len(sentence)
    return EmbeddingsMade(
        chunks=ChunksMade(
            document=Document(id="0" * 32, path="a/b.pdf", sha256="0" * 64, media_type="application/pdf", size=1),
            text_length=ROWS * length,
            text_start=0,
            text=sentence * ROWS,
            chunks=tuple(
                Chunk(
                    ordinal=i, start=i * length, end=(i + 1) * length, tokens=24, page=i // 4 + 1, headings=("Wartung",)
                )
                for i in range(ROWS)
            ),
        ),
        vectors=Vectors(shape=(ROWS, DIMENSION), data=vectors.astype("<f4").tobytes()),
    )


def _address() -> envelope.Address:
    job = UUID(int=1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return envelope.Address(
        id=UUID(int=2), type=EmbeddingsMade.TYPE, source="/cradle/embed", job=job, time=now, key_id=str(job)
    )


if __name__ == "__main__":
    print(*run(), sep="\n")
