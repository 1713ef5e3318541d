"""The engines of a process: each loaded once for its configuration, off the event loop, whoever asks first."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from engines.embedding import EmbeddingEngine, load_engine
from engines.tokenizer import Tokenizer, load_tokenizer
from schemas.parameters import EmbeddingConfig

Loaded = TypeVar("Loaded")


class EngineLibrary:
    """The `Engines` that stages ask. A failed load is not remembered: the next who asks tries again."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, EmbeddingConfig], object] = {}
        self._locks: dict[tuple[str, EmbeddingConfig], asyncio.Lock] = {}

    async def embedding(self, config: EmbeddingConfig) -> EmbeddingEngine:
        """Raises as `load_engine` does."""
        return await self._once("embedding", config, load_engine)

    async def tokenizer(self, config: EmbeddingConfig) -> Tokenizer:
        """Raises as `load_tokenizer` does."""
        return await self._once("tokenizer", config, load_tokenizer)

    async def _once(self, kind: str, config: EmbeddingConfig, load: Callable[[EmbeddingConfig], Loaded]) -> Loaded:
        # how many texts share an engine batch, and what a question begins with, is nothing an engine is loaded for
        key = (kind, config.model_copy(update={"batch_size": 1, "query_prefix": "", "passage_prefix": ""}))
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._loaded:
                self._loaded[key] = await asyncio.to_thread(load, config)
            loaded: Loaded = self._loaded[key]  # type: ignore[assignment]
            return loaded
