"""The engines of a process: each loaded once for its configuration, off the event loop, whoever asks first."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from engines.embedding import EmbeddingEngine, load_engine
from engines.embedding import identify as identify_embedding
from engines.tokenizer import Tokenizer, load_tokenizer
from engines.vision import VisionEngine
from engines.vision import identify as identify_vision
from engines.vision import load_engine as load_vision_engine
from schemas.parameters import EmbeddingConfig, InstallationParameters, VisionConfig

Config = TypeVar("Config", EmbeddingConfig, VisionConfig)
Loaded = TypeVar("Loaded")


class EngineLibrary:
    """The `Engines` that stages ask. A failed load is not remembered: the next who asks tries again."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, EmbeddingConfig | VisionConfig], object] = {}
        self._locks: dict[tuple[str, EmbeddingConfig | VisionConfig], asyncio.Lock] = {}

    async def embedding(self, config: EmbeddingConfig) -> EmbeddingEngine:
        """Raises as `load_engine` does."""
        return await self._once("embedding", _loading(config), load_engine)

    async def tokenizer(self, config: EmbeddingConfig) -> Tokenizer:
        """Raises as `load_tokenizer` does."""
        return await self._once("tokenizer", _loading(config), load_tokenizer)

    async def vision(self, config: VisionConfig) -> VisionEngine:
        """Raises as `engines.vision.load_engine` does."""
        loading = VisionConfig(engine=config.engine, revision=config.revision)
        return await self._once("vision", loading, load_vision_engine)

    async def _once(self, kind: str, config: Config, load: Callable[[Config], Loaded]) -> Loaded:
        key = (kind, config)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._loaded:
                self._loaded[key] = await asyncio.to_thread(load, config)
            loaded: Loaded = self._loaded[key]  # type: ignore[assignment]
            return loaded


def identify(parameters: InstallationParameters) -> dict[str, str]:
    """The identities of the engines that a job of these parameters asks, by port, as `fingerprint` takes them.

    Blocking: weights may have to be hashed. Raises as each port's own `identify`.
    """
    return {
        "embedding": str(identify_embedding(parameters.embedding_config)),
        "vision": str(identify_vision(parameters.vision_config)),
    }


def _loading(config: EmbeddingConfig) -> EmbeddingConfig:
    """What an engine is loaded for: how many texts share its batch, or what stands before them, is no part of that."""
    return config.model_copy(update={"batch_size": 1, "query_prefix": "", "passage_prefix": ""})
