"""The embed stage from messages to messages, beside the engine's bare loop over the same texts, sorted beforehand.

Rounds alternate, and the middle ratio counts, so that what else the machine does falls on both.
"""

import asyncio
import statistics
import time

from benchmarks.chunker import MAX_TOKENS, OVERLAP_TOKENS, examples
from benchmarks.table import Row
from consumers.chunk.core import Measure, messages, split
from consumers.embed import stage
from consumers.runtime.contract import Done, Handle, Received
from engines.embedding import EmbeddingEngine
from engines.library import EngineLibrary
from schemas.messages import ChunksMade, Message
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.fakes import document, fake_ports, received

ROUNDS = 9
MESSAGES = 4
"""A poll of 128 chunks: the default engine batch."""
BAR = 0.97


def run() -> list[Row]:
    return asyncio.run(_run())


async def _run() -> list[Row]:
    parameters = InstallationParameters(customer_id="acme")
    library = EngineLibrary()
    engine = await library.embedding(parameters.embedding_config)
    inputs = await _inputs(library, parameters.embedding_config)
    handle = stage(fake_ports(parameters=parameters, engines=library))
    texts = sorted(_texts(inputs), key=len)
    rounds = [(await _through_stage(handle, inputs), await _through_engine(engine, texts)) for _ in range(ROUNDS)]
    bare = len(texts) / statistics.median(seconds for _, seconds in rounds)
    ratio = statistics.median(other / own for own, other in rounds)
    return [
        Row(
            name="embed stage, builtin engine",
            measured=f"{bare * ratio:.1f} chunks/s",
            baseline=f"{bare:.1f} chunks/s, the engine's bare loop",
            ratio=ratio,
            bar=f"at least {BAR}",
            passed=ratio >= BAR,
        )
    ]


async def _inputs(library: EngineLibrary, config: EmbeddingConfig) -> list[Received[Message]]:
    extracted = examples()
    measure = Measure.of(extracted.text, await library.tokenizer(config), prefix="")
    chunks = split(extracted, measure, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)
    made = list(messages(document(), extracted, chunks))[:MESSAGES]
    return [received(message, name=str(number)) for number, message in enumerate(made)]


def _texts(inputs: list[Received[Message]]) -> list[str]:
    made = [given.message for given in inputs if isinstance(given.message, ChunksMade)]
    return [message.text_of(chunk) for message in made for chunk in message.chunks]


async def _through_stage(handle: Handle, inputs: list[Received[Message]]) -> float:
    began = time.perf_counter()
    answered = [outcome async for outcome in handle(inputs)]
    seconds = time.perf_counter() - began
    assert all(isinstance(outcome, Done) for outcome in answered)
    return seconds


async def _through_engine(engine: EmbeddingEngine, texts: list[str]) -> float:
    began = time.perf_counter()
    await asyncio.to_thread(engine.embed, texts)
    return time.perf_counter() - began
