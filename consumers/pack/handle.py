"""The ports' side of `pack`: each message becomes one sealed part."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, cast

from builders.parts import KIND, encode_part, part_name
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Ports, Received
from schemas.errors import Permanent
from schemas.messages import EmbeddingsMade, Message

MAX_WRITES: Final = 16
"""At one time: enough to hide a store's round trip, and at 1 MiB a message 16 MiB in hand."""


def stage(ports: Ports) -> Handle:
    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        slots = asyncio.Semaphore(MAX_WRITES)
        writes = [asyncio.create_task(_pack(ports, received, slots)) for received in inputs]
        try:
            for written in asyncio.as_completed(writes):
                yield await written
        finally:  # the first Retryable ends the poll: what is under way must not outlive it
            for write in writes:
                write.cancel()
            await asyncio.gather(*writes, return_exceptions=True)

    return handle


async def _pack(ports: Ports, received: Received[Message], slots: asyncio.Semaphore) -> Outcome:
    message = cast(EmbeddingsMade, received.message)
    try:
        async with slots:
            part = await asyncio.to_thread(encode_part, message)
            await ports.staging.put(received.job, KIND, part_name(message), part)
    except Permanent as error:
        return Failed(received, error)
    return Done(received, items=len(message.chunks.chunks))
