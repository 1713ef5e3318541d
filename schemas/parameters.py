"""Installation Parameters: the golden source of how a customer's documents are processed. Immutable once numbered."""

import hashlib
import json
from collections.abc import Mapping
from itertools import islice, product
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.ids import CustomerId

MOST_VERSIONS: Final = 10_000
"""Of combinations of stage versions that are tried to explain an old fingerprint."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EmbeddingConfig(_Strict):
    model: str = "builtin"
    """An embedding engine, where needed with its model: `builtin`, `fake`, `sentence-transformers:<path or id>`."""
    revision: str | None = None
    """Pinned revision of a hub model; a local path and the bundled models need none."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 128
    normalize: bool = True
    query_prefix: str = ""
    """Put before a question; `query: ` for the e5 family."""
    passage_prefix: str = ""
    """Put before a passage; `passage: ` for the e5 family."""
    deterministic: bool = True
    """Whether a text's vector is the same to the bit whatever shares its batch; if not, within cosine 0.99999."""


class VisionConfig(_Strict):
    engine: str = "rapidocr"
    """A vision engine, where needed with its model or languages: `rapidocr`, `tesseract:deu+eng`,
    `florence-2:<path or id>`, `fake`; `none` recognises nothing, so that scans become dead letters."""
    revision: str | None = None
    """Pinned revision of a hub model; a local path and the bundled models need none."""
    dpi: Annotated[int, Field(ge=72, le=600)] = 300
    """At which a PDF's page is drawn to be recognised."""
    min_confidence: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.6
    """A recognised page whose mean confidence is lower is marked as doubtful."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Pages of an engine batch; changes no result."""


class ChunkingConfig(_Strict):
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256
    """Upper bound of a chunk in the embedding model's tokens, prefix and special tokens included."""
    overlap_tokens: Annotated[int, Field(ge=0, le=4096)] = 32
    fold_duplicates: bool = False
    """Whether a passage that nearly repeats an earlier one of the job is folded into it: not searched, but counted."""

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "ChunkingConfig":
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError("overlap_tokens is at most half of max_tokens")
        return self


class GraphConfig(_Strict):
    enabled: bool = False


class InitialStats(_Strict):
    total_files: Annotated[int, Field(ge=0)] = 0
    total_documents: Annotated[int, Field(ge=0)] = 0


class InstallationParameters(_Strict):
    customer_id: CustomerId
    embedding_config: EmbeddingConfig = EmbeddingConfig()
    vision_config: VisionConfig = VisionConfig()
    chunking_config: ChunkingConfig = ChunkingConfig()
    graph_config: GraphConfig = GraphConfig()
    initial_stats: InitialStats = InitialStats()

    def sha256(self) -> str:
        """Hash of the whole, 64 hex digits: what makes a stored version provably unchanged."""
        return _canonical_sha256(self.model_dump(mode="json"))

    def deciding(self) -> dict[str, object]:
        """The fields that can change a result: neither the counts nor the batch sizes do."""
        return self.model_dump(
            mode="json",
            exclude={
                "customer_id": True,
                "initial_stats": True,
                "embedding_config": {"batch_size"},
                "vision_config": {"batch_size"},
            },
        )


FIRST_TOUCHED: Final[Mapping[str, str]] = {
    "embedding_config.model": "chunk",  # a chunk is measured in the model's tokens
    "embedding_config.revision": "chunk",
    "embedding_config.normalize": "embed",
    "embedding_config.query_prefix": "bake",  # no passage has it: the image tells it to whoever asks
    "embedding_config.passage_prefix": "chunk",  # it takes up tokens of every chunk
    "embedding_config.deterministic": "embed",
    "vision_config.engine": "ocr",
    "vision_config.revision": "ocr",
    "vision_config.dpi": "ocr",
    "vision_config.min_confidence": "ocr",
    "graph_config.enabled": "bake",
    "chunking_config.max_tokens": "chunk",
    "chunking_config.overlap_tokens": "chunk",
    "chunking_config.fold_duplicates": "bake",
}
"""The first stage whose results a field changes. What `deciding` leaves out changes none."""
ENGINE_TOUCHES: Final[Mapping[str, frozenset[str]]] = {
    "embedding": frozenset({"chunk", "embed"}),  # one asks it for its tokenizer, one for its vectors
    "vision": frozenset({"ocr"}),
}
"""The stages that ask each engine."""


def changed_fields(old: InstallationParameters, new: InstallationParameters) -> list[str]:
    """The deciding fields that differ, as `section.field`."""
    before, after = _flat(old.deciding()), _flat(new.deciding())
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def changed_stages(
    fingerprint_then: str, parameters: InstallationParameters, engines: Mapping[str, str], now: Mapping[str, int]
) -> set[str]:
    """The stages that may make something else today than when a job of these parameters got that fingerprint.

    `engines` and `now` are today's engines and stage versions, as `fingerprint` takes them. A version only rises, so
    every earlier one is tried. Where none explains the fingerprint, an engine is another one, or the fingerprint is of
    a time with other engines, stages or parameters: then every stage that asks an engine, and every one that was ever
    changed, may have been changed since. Empty: nothing changed.
    """
    names = list(now)
    for versions in islice(product(*(range(now[name], 0, -1) for name in names)), MOST_VERSIONS):
        then = dict(zip(names, versions, strict=True))
        if fingerprint(parameters, engines, then) == fingerprint_then:
            return {name for name in names if then[name] != now[name]}
    asking = frozenset[str]().union(*ENGINE_TOUCHES.values())
    return {name for name in names if now[name] > 1 or name in asking}


def fingerprint(parameters: InstallationParameters, engines: Mapping[str, str], stages: Mapping[str, int]) -> str:
    """Hash of everything that decides a result, 64 hex digits.

    `engines` maps a port to the engine's identity (name, weights' hash, tokenizer), `stages` a stage to its version.
    """
    return _canonical_sha256({"parameters": parameters.deciding(), "engines": dict(engines), "stages": dict(stages)})


def _canonical_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _flat(deciding: Mapping[str, object]) -> dict[str, object]:
    return {
        f"{section}.{field}": value
        for section, fields in deciding.items()
        if isinstance(fields, Mapping)
        for field, value in fields.items()
    }
