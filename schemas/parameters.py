"""Installation Parameters: the golden source of how a customer's documents are processed. Immutable once numbered."""

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.ids import CustomerId


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


class VisionConfig(_Strict):
    engine: str = "none"


class ChunkingConfig(_Strict):
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256
    """Upper bound of a chunk in the embedding model's tokens, prefix and special tokens included."""
    overlap_tokens: Annotated[int, Field(ge=0, le=4096)] = 32

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
        """The fields that can change a result: neither the counts nor the batch size do."""
        return self.model_dump(
            mode="json",
            exclude={"customer_id": True, "initial_stats": True, "embedding_config": {"batch_size"}},
        )


def fingerprint(parameters: InstallationParameters, engines: dict[str, str], stages: dict[str, int]) -> str:
    """Hash of everything that decides a result, 64 hex digits.

    `engines` maps a port to the engine's identity (name, weights' hash, tokenizer), `stages` a stage to its version.
    """
    return _canonical_sha256({"parameters": parameters.deciding(), "engines": engines, "stages": stages})


def _canonical_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
