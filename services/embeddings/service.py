"""The engine that all callers share, its tokenizer, and what is known of both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding import EmbeddingEngine, EngineIdentity, identify, load_engine
from engines.embedding.models import find_model
from engines.tokenizer import Token, Tokenizer, load_tokenizer
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig
from services.batching import Batcher, Limits
from services.embeddings.texts import Measured, checked, choose_prompt, measure, normalized
from services.health import Health
from services.residence import Residence

SENTENCE_TRANSFORMERS: Final = "sentence-transformers:"
INLINE_CHARACTERS: Final = 4000
"""Texts that are longer together are measured off the event loop: it would stand still for milliseconds."""
WAITING_BATCHES: Final = 64
"""Full engine batches that may wait."""
BATCH_ITEMS: Final = 256
PROBE: Final = ("health", 16)
"""A text for the engine to try, and its cost."""
PROBE_SECONDS: Final = 10.0

Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: NDArray[np.float32]
    """(texts, dimension), in order."""
    tokens: list[int]
    """Of each text."""


class EmbeddingService:
    """Works while `running()` lasts."""

    def __init__(
        self,
        config: EmbeddingConfig,
        *,
        batch_tokens: int,
        linger: float,
        seconds: float,
        idle_seconds: float,
        load: Callable[[EmbeddingConfig], EmbeddingEngine] = load_engine,
    ) -> None:
        """`batch_tokens`: of an engine batch. `linger`: seconds that a batch waits for company. `seconds`: that a
        request waits at most. `idle_seconds`: after which an engine that nobody used is unloaded.

        Raises Permanent `engine.*` where the engine does not exist.
        """
        self.identity: EngineIdentity = identify(config)
        self.name = config.model.removeprefix(SENTENCE_TRANSFORMERS).rstrip("/").rpartition("/")[2]
        self.names = frozenset({self.name, config.model, config.model.removeprefix(SENTENCE_TRANSFORMERS)})
        self.prompts = _prompts(config)
        self.batch_tokens = batch_tokens
        self._seconds = seconds
        raw = config.model_copy(update={"normalize": False})  # each caller says whether it wants them normalised
        self._engine = Residence[EmbeddingEngine](partial(load, raw), idle_seconds=idle_seconds)
        self._tokenizer = Residence[Tokenizer](partial(load_tokenizer, config), idle_seconds=idle_seconds)
        limits = Limits(batch_tokens, BATCH_ITEMS, WAITING_BATCHES * batch_tokens, linger)
        self._batcher = Batcher[str, Row](self._compute, limits)
        self._thread = ThreadPoolExecutor(1, "engine")
        self._health = Health(self._try, lambda: self._engine.loaded)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._batcher:
            yield
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._engine.unload()
        self._tokenizer.unload()

    @property
    def loaded(self) -> bool:
        return self._engine.loaded

    @property
    def retry_after(self) -> int:
        return self._batcher.retry_after

    async def embed(
        self,
        texts: Sequence[str],
        *,
        normalize: bool = True,
        truncate: bool = False,
        keep_end: bool = False,
        prompt_name: str | None = None,
        batch_size: int | None = None,
        seconds: float | None = None,
    ) -> Embedded:
        """A vector for each text. `batch_size`: of these texts in one engine batch at most. `seconds`: this caller's
        own patience.

        Raises Permanent `request.tokens`, `request.prompt`, `service.input`, `engine.*`, Retryable `service.*`.
        """
        prompt = choose_prompt(prompt_name, self.prompts)
        measured = await self._measured(texts, prompt=prompt, truncate=truncate, keep_end=keep_end)
        rows = await self._batcher.submit(
            [(one.text, one.tokens) for one in measured],
            seconds=min(self._seconds, seconds or self._seconds),
            most=batch_size,
        )
        vectors = np.stack(rows)
        return Embedded(normalized(vectors) if normalize else vectors, [one.tokens for one in measured])

    async def tokenize(self, texts: Sequence[str], *, prompt_name: str | None) -> list[list[Token]]:
        """The tokens of each text, without special ones."""
        prompt = choose_prompt(prompt_name, self.prompts)
        async with self._tokenizer.use() as tokenizer:
            return await asyncio.to_thread(lambda: [tokenizer.tokens(prompt + text) for text in texts])

    async def check(self) -> None:
        """Raises Retryable `service.unwell`."""
        await self._health.check()

    async def _measured(self, texts: Sequence[str], *, prompt: str, truncate: bool, keep_end: bool) -> list[Measured]:
        async with self._tokenizer.use() as tokenizer:
            work = partial(measure, texts, tokenizer, prompt=prompt, truncate=truncate, keep_end=keep_end)
            if sum(map(len, texts)) <= INLINE_CHARACTERS:
                return work()
            return await asyncio.to_thread(work)

    async def _compute(self, texts: Sequence[str]) -> list[Row | CradleError]:
        async with self._engine.use() as engine:
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._thread, engine.embed, texts)
        return checked(vectors, engine=self.identity.name)

    async def _try(self) -> None:
        await self._batcher.submit([PROBE], seconds=PROBE_SECONDS, urgent=True)


def _prompts(config: EmbeddingConfig) -> Mapping[str, str]:
    """The model's own, and `query` and `passage` as they are configured."""
    own: Mapping[str, str] = {}
    if config.model.startswith(SENTENCE_TRANSFORMERS):
        own = find_model(config).facts("config_sentence_transformers.json").get("prompts") or {}
    configured = {"query": config.query_prefix, "passage": config.passage_prefix}
    return {**own} | {name: prefix for name, prefix in configured.items() if prefix}
