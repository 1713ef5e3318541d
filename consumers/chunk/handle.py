"""The ports' side of `chunk`: fetch the raw bytes, extract and split them in a worker thread, answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from consumers.chunk.core import Measure, messages, split
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Output, Ports, Received
from engines.extraction import Extracted
from engines.tokenizer import Tokenizer
from schemas.errors import Permanent
from schemas.messages import ChunksMade, Document, DocumentAdmitted, Message
from schemas.parameters import InstallationParameters


def stage(ports: Ports) -> Handle:
    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for received in inputs:
            assert isinstance(received.message, DocumentAdmitted)
            try:
                made = await _chunk(ports, received, received.message)
            except Permanent as error:
                yield Failed(received, error)
            else:
                yield Done(
                    received,
                    outputs=tuple(Output(message, document=message.document.id) for message in made),
                    items=sum(len(message.chunks) for message in made),
                )

    return handle


async def _chunk(ports: Ports, received: Received[Message], admitted: DocumentAdmitted) -> list[ChunksMade]:
    parameters = await ports.jobs.parameters(received.job)
    tokenizer = await ports.engines.tokenizer(parameters.embedding_config)
    raw = await ports.staging.get(received.job, admitted.object)
    extracted = await ports.parsers.extract(received.job, raw, admitted.document.media_type)
    return await asyncio.to_thread(chunk, admitted.document, extracted, tokenizer, parameters)


def chunk(
    document: Document, extracted: Extracted, tokenizer: Tokenizer, parameters: InstallationParameters
) -> list[ChunksMade]:
    """The messages of one document. Blocking."""
    measure = Measure.of(extracted.text, tokenizer, prefix=parameters.embedding_config.passage_prefix)
    config = parameters.chunking_config
    limit = min(config.max_tokens, tokenizer.max_tokens)
    chunks = split(extracted, measure, max_tokens=limit, overlap_tokens=min(config.overlap_tokens, limit // 2))
    return list(messages(document, extracted, chunks))
