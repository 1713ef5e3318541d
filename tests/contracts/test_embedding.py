"""The embedding port's contract, over every engine; the transformer one where its test model is installed."""

import json
import random
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from appliance.encoder import SHA256
from engines.embedding import EmbeddingEngine, identify, load_engine
from engines.tokenizer import load_tokenizer
from schemas.errors import Permanent, Retryable
from schemas.parameters import EmbeddingConfig
from tests.engines.test_tokenizer import MODELS, config

TEXTS = [
    "Die Wärmepumpe steht still.",
    "The heat pump has stopped.",
    "Preise gelten ab Werk, ohne Umsatzsteuer.",
    "x",
    " ".join(f"Wort{number}" for number in range(150)),
    "Zeile eins\nZeile zwei\n\n| a | b |",
    "漢字 🙂",
]


@cache
def loaded(settings: EmbeddingConfig) -> EmbeddingEngine:
    return load_engine(settings)


@pytest.fixture(params=MODELS)
def settings(request: pytest.FixtureRequest) -> EmbeddingConfig:
    chosen = config(request.param)
    if request.param == "sentence-transformers":
        pytest.importorskip("sentence_transformers")
    return chosen


@pytest.fixture
def engine(settings: EmbeddingConfig) -> EmbeddingEngine:
    return loaded(settings)


def test_a_row_of_length_one_for_each_text(engine: EmbeddingEngine) -> None:
    vectors = engine.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), engine.identity.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len({row.tobytes() for row in vectors}) == len(TEXTS)


def test_no_texts_no_rows(engine: EmbeddingEngine) -> None:
    assert engine.embed([]).shape == (0, engine.identity.dimension)


def test_a_vector_does_not_depend_on_what_shares_its_batch(engine: EmbeddingEngine) -> None:
    alone = {text: engine.embed([text])[0].tobytes() for text in TEXTS}
    for seed in range(3):
        mixed = random.Random(seed).sample(TEXTS * 3, k=12)
        assert [row.tobytes() for row in engine.embed(mixed)] == [alone[text] for text in mixed]


def test_it_is_identified_without_loading_and_loads_as_identified(
    settings: EmbeddingConfig, engine: EmbeddingEngine
) -> None:
    assert identify(settings) == engine.identity
    assert engine.identity.max_tokens == load_tokenizer(settings).max_tokens
    assert str(engine.identity).startswith(f"{settings.model.partition(':')[0]} weights=")


@pytest.mark.parametrize("name", ["builtin", "sentence-transformers"])
def test_meaning_is_near_meaning(name: str) -> None:
    if name == "sentence-transformers":
        pytest.importorskip("sentence_transformers")
    question, answer, other = loaded(config(name)).embed(
        ["How long does the warranty last?", "The warranty lasts 24 months.", "Lunch is served at noon."]
    )
    assert question @ answer > question @ other + 0.1


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHA256, "weights.npz", "0" * 64)
    with pytest.raises(Permanent) as refusal:
        load_engine(EmbeddingConfig())
    assert refusal.value.code == "engine.weights"


@pytest.mark.parametrize(
    ("model", "code"),
    [("unheard-of", "engine.unknown"), ("sentence-transformers:a/b", "engine.revision")],
)
def test_says_what_is_missing(model: str, code: str) -> None:
    for act in (identify, load_engine):
        with pytest.raises(Permanent) as refusal:
            act(EmbeddingConfig(model=model))
        assert refusal.value.code == code


COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
FILES = {"config.json": {"hidden_size": 384, "max_position_embeddings": 512}, "tokenizer.json": {}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder, which a hub also hands out for COMMIT alone."""
    folder = tmp_path / "a model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", package := ModuleType("huggingface_hub"))
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors := ModuleType("huggingface_hub.errors"))

    class EntryNotFoundError(Exception):
        pass

    def download(repository: str, name: str, *, revision: str) -> str:
        assert (repository, revision) == ("someone/a-model", COMMIT)
        if name not in FILES:
            raise EntryNotFoundError
        return str(folder / name)

    vars(errors).update(EntryNotFoundError=EntryNotFoundError)
    vars(package).update(hf_hub_download=download, errors=errors)
    return folder


@pytest.mark.parametrize(
    "revision", [None, "", "main", "v1.0", COMMIT[:7], COMMIT.upper(), f"{COMMIT}\n", f"refs/{COMMIT}"]
)
def test_a_model_of_a_hub_is_pinned_by_its_commit_and_by_nothing_that_moves(hub: Path, revision: str | None) -> None:
    for act in (identify, load_engine):
        with pytest.raises(Permanent) as refusal:
            act(EmbeddingConfig(model="sentence-transformers:someone/a-model", revision=revision))
        assert refusal.value.code == "engine.revision"


def test_the_commit_of_a_hub_model_is_in_its_identity(hub: Path) -> None:
    identity = identify(EmbeddingConfig(model="sentence-transformers:someone/a-model", revision=COMMIT))
    assert f"weights=someone/a-model@{COMMIT} " in str(identity)
    assert (identity.dimension, identity.max_tokens) == (384, 512)


def test_a_model_in_a_folder_needs_no_revision_and_is_known_by_its_bytes(hub: Path) -> None:
    other = hub.parent / "another"
    other.mkdir()
    for name in FILES:
        (other / name).write_bytes((hub / name).read_bytes())
    (other / "model.safetensors").write_bytes(b"weights")
    first = identify(EmbeddingConfig(model=f"sentence-transformers:{hub}"))
    second = identify(EmbeddingConfig(model=f"sentence-transformers:{other}"))
    assert len(first.weights) == 64
    assert first.weights != second.weights
    assert first.tokenizer == second.tokenizer


def test_a_batch_padded_to_a_fixed_shape_changes_nothing() -> None:
    """How a GPU is used: the shape depends on the text alone, so its vector does, too."""
    pytest.importorskip("sentence_transformers")
    from engines.embedding.sentence_transformers import OwnShapes, SentenceTransformersEngine

    plain = loaded(config("sentence-transformers"))
    assert isinstance(plain, SentenceTransformersEngine)
    shapes = OwnShapes(rows=4, padded_to=32)
    shaped = SentenceTransformersEngine(plain._model, plain.identity, normalize=True, shapes=shapes, threads=1)
    alone = {text: shaped.embed([text])[0].tobytes() for text in TEXTS}
    assert [row.tobytes() for row in shaped.embed(TEXTS[::-1])] == [alone[text] for text in TEXTS[::-1]]
    assert np.allclose(shaped.embed(TEXTS), plain.embed(TEXTS), atol=1e-5)


def test_without_determinism_any_two_batchings_are_within_cosine_0_99999() -> None:
    pytest.importorskip("sentence_transformers")
    shared = loaded(config("sentence-transformers").model_copy(update={"deterministic": False}))
    bare = loaded(config("sentence-transformers"))
    words = [" ".join(f"Wort{number}" for number in range(length)) for length in range(1, 90, 4)]
    texts = [*TEXTS, *words]
    alone = bare.embed(texts)
    for seed in range(4):
        order = random.Random(seed).sample(range(len(texts)), k=len(texts) - 3 * seed)
        cosines = np.einsum("ij,ij->i", shared.embed([texts[i] for i in order]), alone[order])
        assert cosines.min() >= 0.99999


def test_determinism_does_not_depend_on_the_threads_that_others_set() -> None:
    pytest.importorskip("sentence_transformers")
    import torch

    engine = loaded(config("sentence-transformers"))
    expected = engine.embed(TEXTS).tobytes()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert engine.embed(TEXTS).tobytes() == expected
    finally:
        torch.set_num_threads(before)


def test_texts_of_about_the_same_length_share_a_batch_and_none_is_left_out() -> None:
    from engines.embedding.sentence_transformers import OwnShapes, SharedShapes

    lengths = [3, 40, 33, 3, 64, 500, 41]
    shared = list(SharedShapes(rows=3, tokens=200).batches(lengths, 512))
    assert [(batch.texts, batch.rows, batch.length) for batch in shared] == [
        ([0, 3, 2], 3, 33), ([1, 6, 4], 3, 64), ([5], 1, 500),
    ]  # fmt: skip
    own = list(OwnShapes(rows=2, padded_to=32).batches(lengths, 512))
    assert [(batch.texts, batch.rows, batch.length) for batch in own] == [
        ([0, 3], 2, 32), ([1, 2], 2, 64), ([4, 6], 2, 64), ([5], 2, 512),
    ]  # fmt: skip


def test_a_gpu_without_room_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    import torch

    from engines.embedding.sentence_transformers import SentenceTransformersEngine

    engine = load_engine(config("sentence-transformers"))
    assert isinstance(engine, SentenceTransformersEngine)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(engine._model, "forward", full)
    with pytest.raises(Retryable) as error:
        engine.embed(TEXTS)
    assert (error.value.code, "GPU memory" in error.value.sentence) == ("engine.busy", True)
