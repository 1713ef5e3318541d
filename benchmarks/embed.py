"""The embed stage from messages to messages, beside the engine's bare loop over the same texts, sorted beforehand.

What counts is wall time, the two in turn: a stage that is fed waits for nothing but its engine. CPU time of the whole
process is told beside it; it does not see waiting, but neither does it see what else the machine does.
"""

import asyncio
import time

from benchmarks.chunker import MAX_TOKENS, OVERLAP_TOKENS, examples
from benchmarks.table import Row, paired
from consumers.chunk.core import Measure, messages, split
from consumers.embed import stage
from consumers.runtime.contract import Done, Handle, Received
from engines.library import EngineLibrary
from schemas.messages import ChunksMade, Message
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.fakes import document, fake_ports, received

ROUNDS = 5
MESSAGES = 2
"""A poll of 64 chunks."""
BAR = 0.97


def run() -> list[Row]:
    parameters = InstallationParameters(customer_id="acme")
    library = EngineLibrary()
    handle = stage(fake_ports(parameters=parameters, engines=library))
    with asyncio.Runner() as runner:
        engine = runner.run(library.embedding(parameters.embedding_config))
        inputs = runner.run(_inputs(library, parameters.embedding_config))
        texts = _sorted_texts(inputs)

        def bare() -> object:
            return engine.embed(texts)

        def staged() -> None:
            runner.run(_through_stage(handle, inputs))

        wall = paired(bare, staged, rounds=ROUNDS, clock=time.perf_counter)
        cpu = paired(bare, staged, rounds=ROUNDS, clock=time.process_time)
    return [
        Row(
            name="embed stage, builtin engine",
            measured=f"{len(texts) / wall.second:.1f} chunks/s",
            baseline=f"{len(texts) / wall.first:.1f} chunks/s, the engine's bare loop",
            ratio=wall.ratio,
            bar=f"at least {BAR}",
            passed=wall.ratio >= BAR,
        ),
        Row(
            name="embed stage, builtin engine, by CPU time",
            measured=f"{len(texts) / cpu.second:.1f} chunks a second of CPU",
            baseline=f"{len(texts) / cpu.first:.1f} chunks a second of CPU, the engine's bare loop",
            ratio=cpu.ratio,
            bar="told, no bar",
            passed=True,
        ),
    ]


async def _inputs(library: EngineLibrary, config: EmbeddingConfig) -> list[Received[Message]]:
    extracted = examples()
    measure = Measure.of(extracted.text, await library.tokenizer(config), prefix="")
    chunks = split(extracted, measure, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)
    made = list(messages(document(), extracted, chunks))[:MESSAGES]
    return [received(message, name=str(number)) for number, message in enumerate(made)]


def _sorted_texts(inputs: list[Received[Message]]) -> list[str]:
    made = [given.message for given in inputs if isinstance(given.message, ChunksMade)]
    chunks = [(chunk.tokens, message.text_of(chunk)) for message in made for chunk in message.chunks]
    return [text for _, text in sorted(chunks, key=lambda chunk: chunk[0])]


async def _through_stage(handle: Handle, inputs: list[Received[Message]]) -> None:
    answered = [outcome async for outcome in handle(inputs)]
    assert all(isinstance(outcome, Done) for outcome in answered)
