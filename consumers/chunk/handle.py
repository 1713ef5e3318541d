"""The ports' side of `chunk`: get the document's text, split it in a worker thread, answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from consumers.chunk.core import Measure, composed, counts, messages, split
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Output, Ports, Received
from engines.extraction import Extracted
from engines.tokenizer import Tokenizer
from schemas.errors import Permanent
from schemas.messages import ChunksMade, Document, DocumentAdmitted, DocumentRecognised, Message
from schemas.pages import decode_pages
from schemas.parameters import InstallationParameters


def stage(ports: Ports) -> Handle:
    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for received in inputs:
            try:
                made = await _chunk(ports, received)
            except Permanent as error:
                yield Failed(received, error)
            else:
                yield Done(
                    received,
                    outputs=tuple(Output(message, document=message.document.id) for message in made),
                    items=sum(len(message.chunks) for message in made),
                    counts=counts(made),
                )

    return handle


async def _chunk(ports: Ports, received: Received[Message]) -> list[ChunksMade]:
    parameters = await ports.jobs.parameters(received.job)
    tokenizer = await ports.engines.tokenizer(parameters.embedding_config)
    document, extracted = await _TEXT[type(received.message)](ports, received.job, received.message)
    return await asyncio.to_thread(chunk, document, extracted, tokenizer, parameters)


async def _extracted(ports: Ports, job: UUID, admitted: DocumentAdmitted) -> tuple[Document, Extracted]:
    """The text of a file that is read for the first time."""
    raw = await ports.staging.get(job, admitted.object)
    return admitted.document, await ports.parsers.extract(job, raw, admitted.document.media_type)


async def _composed(ports: Ports, job: UUID, made: DocumentRecognised) -> tuple[Document, Extracted]:
    """The text of a document whose pages were read before."""
    pages = made.pages if made.object is None else decode_pages(await ports.staging.get(job, made.object))
    return made.document, await asyncio.to_thread(composed, made, pages)


_TEXT: Final[Mapping[type[Message], Callable[[Ports, UUID, Any], Awaitable[tuple[Document, Extracted]]]]] = {
    DocumentAdmitted: _extracted,
    DocumentRecognised: _composed,
}


def chunk(
    document: Document, extracted: Extracted, tokenizer: Tokenizer, parameters: InstallationParameters
) -> list[ChunksMade]:
    """The messages of one document. Blocking."""
    measure = Measure.of(extracted.text, tokenizer, prefix=parameters.embedding_config.passage_prefix)
    config = parameters.chunking_config
    limit = min(config.max_tokens, tokenizer.max_tokens)
    chunks = split(extracted, measure, max_tokens=limit, overlap_tokens=min(config.overlap_tokens, limit // 2))
    return list(messages(document, extracted, chunks))
