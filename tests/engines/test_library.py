import asyncio
import threading

import pytest

import engines.library
from engines.library import EngineLibrary
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

FAKE = EmbeddingConfig(model="fake")


async def test_each_engine_is_loaded_once_whoever_asks() -> None:
    library = EngineLibrary()
    found = await asyncio.gather(*(library.embedding(FAKE) for _ in range(5)), library.embedding(FAKE))
    assert len({id(engine) for engine in found}) == 1
    same_weights = FAKE.model_copy(update={"batch_size": 7, "passage_prefix": "passage: "})
    assert await library.embedding(same_weights) is found[0]
    assert await library.embedding(FAKE.model_copy(update={"normalize": False})) is not found[0]


async def test_an_engine_is_loaded_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    load = engines.library.load_tokenizer

    def noting(config: EmbeddingConfig) -> object:
        threads.append(threading.current_thread())
        return load(config)

    monkeypatch.setattr(engines.library, "load_tokenizer", noting)
    await EngineLibrary().tokenizer(FAKE)
    assert threads != [threading.current_thread()]


async def test_a_failed_load_is_tried_again() -> None:
    library = EngineLibrary()
    for _ in range(2):
        with pytest.raises(Permanent, match="no embedding engine"):
            await library.embedding(EmbeddingConfig(model="unheard-of"))
