"""Where a transformer model's files are, and what they say of it. Reads small files; downloads only from a hub."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

NAME: Final = "sentence-transformers"
_COMMIT: Final = re.compile("[0-9a-f]{40}")
"""A branch or a tag can be moved to other weights, a commit cannot."""
_WEIGHTS: Final = ("*.safetensors", "*.bin", "*.json")
"""A model's configuration decides its vectors as much as its numbers do."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its folder, or by its name in a hub and the commit."""

    folder: Path | None
    repository: str
    revision: str | None
    engine: str = NAME
    """Named where something is missing."""

    def file(self, name: str) -> Path | None:
        """The file, or None if the model has none of that name. Raises Permanent `engine.missing`."""
        if self.folder is not None:
            path = self.folder / name
            return path if path.is_file() else None
        try:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import EntryNotFoundError
        except ImportError:
            raise Permanent("engine.missing", name=self.engine, what="the package huggingface_hub") from None
        try:
            return Path(hf_hub_download(self.repository, name, revision=self.revision))
        except EntryNotFoundError:
            return None
        except Exception:  # no network, no such repository, no such revision
            raise Permanent("engine.missing", name=self.engine, what="its model, which the hub did not give") from None

    def facts(self, name: str) -> dict[str, Any]:
        """A JSON file's content, or nothing."""
        path = self.file(name)
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
        return content if isinstance(content, dict) else {}

    def digest(self, *patterns: str) -> str:
        """SHA-256 over the folder's files of these names, or `repository@revision`."""
        if self.folder is None:
            return f"{self.repository}@{self.revision}"
        return _digest(self.folder, patterns)

    def weights(self) -> str:
        return self.digest(*_WEIGHTS)

    def dimension(self) -> int:
        found = self.facts("1_Pooling/config.json").get("word_embedding_dimension") or self.facts("config.json").get(
            "hidden_size"
        )
        return int(_required(found))

    def max_tokens(self) -> int:
        found = self.facts("sentence_bert_config.json").get("max_seq_length") or self.facts("config.json").get(
            "max_position_embeddings"
        )
        return int(_required(found))


def find_model(config: EmbeddingConfig) -> Model:
    """The model of `sentence-transformers:<path or id>`. Raises Permanent `engine.missing` or `engine.revision`."""
    return locate(NAME, config.model.partition(":")[2], config.revision)


def locate(engine: str, place: str, revision: str | None) -> Model:
    """The model at a path, or of a hub by its id and commit. Raises Permanent `engine.missing` or `engine.revision`."""
    if not place:
        raise Permanent("engine.missing", name=engine, what=f"a model: {engine}:<path or id>")
    folder = Path(place)
    if folder.is_dir():
        return Model(folder, place, None, engine)
    if folder.is_absolute():
        raise Permanent("engine.missing", name=engine, what="its model, whose folder does not exist")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise Permanent("engine.revision")
    return Model(None, place, revision, engine)


def _required(found: object) -> Any:
    if found is None:
        raise Permanent("engine.missing", name=NAME, what="a model whose configuration states its sizes")
    return found


@lru_cache(maxsize=8)
def _digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """Read once a process: a model's folder does not change under a running worker."""
    whole = hashlib.sha256()
    paths = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()
