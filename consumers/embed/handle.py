"""The ports' side of `embed`: one engine batch at a time in a worker thread, each message answered when it is whole."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from consumers.embed.core import Gathering
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Output, Ports, Received
from schemas.errors import Permanent
from schemas.messages import ChunksMade, Message
from schemas.parameters import EmbeddingConfig


def stage(ports: Ports) -> Handle:
    inference = asyncio.Lock()  # one engine batch at a time, however many polls are in hand

    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        by_engine: dict[EmbeddingConfig, list[Received[Message]]] = defaultdict(list)
        for received in inputs:
            try:
                parameters = await ports.jobs.parameters(received.job)
            except Permanent as error:
                yield Failed(received, error)
            else:
                by_engine[parameters.embedding_config].append(received)
        for config, members in by_engine.items():
            async for outcome in _embed(ports, config, members, inference):
                yield outcome

    return handle


async def _embed(
    ports: Ports, config: EmbeddingConfig, inputs: Sequence[Received[Message]], inference: asyncio.Lock
) -> AsyncIterator[Outcome]:
    try:
        engine = await ports.engines.embedding(config)
    except Permanent as error:
        for received in inputs:
            yield Failed(received, error)
        return
    gathering = Gathering([_chunks_made(received) for received in inputs], config, dimension=engine.identity.dimension)
    for batch in gathering.batches():
        async with inference:
            vectors = await asyncio.to_thread(engine.embed, [passage.text for passage in batch])
        for number in gathering.take(batch, vectors):
            yield _answer(inputs[number], gathering, number, engine.identity.name)


def _answer(received: Received[Message], gathering: Gathering, number: int, engine: str) -> Outcome:
    try:
        made = gathering.made(number, engine=engine)
    except Permanent as error:
        return Failed(received, error)
    return Done(received, outputs=(Output(made, document=made.chunks.document.id),), items=len(made.chunks.chunks))


def _chunks_made(received: Received[Message]) -> ChunksMade:
    assert isinstance(received.message, ChunksMade)
    return received.message
