"""The ports' side of `ocr`: pages are drawn while the engine reads those before, each document answered when whole."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from consumers.ocr.core import (
    Batch,
    Drawn,
    Gathering,
    Picture,
    Spoiled,
    Step,
    check_pictures,
    counts,
    is_large,
    recognised,
)
from consumers.runtime.contract import Done, Failed, Handle, Outcome, Output, Ports, Received, Underway
from engines.vision import NONE
from schemas.errors import Permanent
from schemas.messages import Document, DocumentAdmitted, DocumentRecognised, Message
from schemas.pages import KIND, encode_pages
from schemas.parameters import VisionConfig

Inputs = Sequence[Received[Message]]


def stage(ports: Ports) -> Handle:
    inference = asyncio.Lock()  # one engine batch at a time, however many polls are in hand

    async def handle(inputs: Inputs) -> AsyncIterator[Outcome | Underway]:
        by_engine: dict[VisionConfig, list[Received[Message]]] = defaultdict(list)
        for received in inputs:
            try:
                parameters = await ports.jobs.parameters(received.job)
            except Permanent as error:
                yield Failed(received, error)
            else:
                by_engine[parameters.vision_config].append(received)
        for config, members in by_engine.items():
            async with aclosing(_recognise(ports, config, members, inference)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    return handle


async def _recognise(
    ports: Ports, config: VisionConfig, inputs: Inputs, inference: asyncio.Lock
) -> AsyncGenerator[Outcome | Underway, None]:
    if config.engine == NONE:
        for received in inputs:
            yield Failed(received, Permanent("document.needs-ocr", kind=_document(received).media_type))
        return
    try:
        engine = await ports.engines.vision(config)
    except Permanent as error:
        for received in inputs:
            yield Failed(received, error)
        return
    gathering = Gathering(min_confidence=config.min_confidence)
    async with aclosing(_ahead(_batches(_steps(ports, config, inputs), most=config.batch_size))) as batches:
        async for batch in batches:
            if batch.pictures:
                async with inference:
                    texts = await asyncio.to_thread(engine.recognise, [picture.image for picture in batch.pictures])
                gathering.take(batch.pictures, texts)
                yield Underway(inputs[batch.pictures[-1].document])
            for end in batch.ends:
                yield await _answer(ports, inputs[end.document], gathering, end)


# -- drawing, ahead of the engine -------------------------------------------------------------------------------------


async def _steps(ports: Ports, config: VisionConfig, inputs: Inputs) -> AsyncGenerator[Step, None]:
    """The pictures of each document, then its end; one document after the other."""
    for number, received in enumerate(inputs):
        try:
            raw = await ports.staging.get(received.job, _admitted(received).object)
            media_type = _document(received).media_type
            reading = await ports.parsers.readable(received.job, raw, media_type)
            async with aclosing(ports.parsers.pictures(received.job, raw, media_type, dpi=config.dpi)) as images:
                count = 0
                async for image in images:
                    check_pictures(count := count + 1)
                    yield Picture(number, image)
        except Permanent as error:
            yield Spoiled(number, error)
        else:
            yield Drawn(number, reading)


async def _batches(steps: AsyncGenerator[Step, None], *, most: int) -> AsyncGenerator[Batch, None]:
    """A batch is full when the next picture finds no room: then the documents before that have ended in it."""
    batch = Batch()
    async with aclosing(steps):
        async for step in steps:
            if not batch.takes(step, most=most):
                yield batch
                batch = Batch()
            batch.add(step)
    yield batch


async def _ahead(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
    """The same batches, each gathered while the one before is worked on."""
    async with aclosing(batches):
        coming = asyncio.ensure_future(anext(batches, None))
        try:
            while (batch := await coming) is not None:
                coming = asyncio.ensure_future(anext(batches, None))
                yield batch
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


# -- answering --------------------------------------------------------------------------------------------------------


async def _answer(ports: Ports, received: Received[Message], gathering: Gathering, end: Drawn | Spoiled) -> Outcome:
    if isinstance(end, Spoiled):
        gathering.forget(end)
        return Failed(received, end.error)
    try:
        pages = gathering.whole(end)
    except Permanent as error:
        return Failed(received, error)
    made = await _sized(ports, received, recognised(_document(received), end.reading, pages))
    return Done(received, outputs=(Output(made, document=made.document.id),), items=len(pages), counts=counts(pages))


async def _sized(ports: Ports, received: Received[Message], made: DocumentRecognised) -> DocumentRecognised:
    """The message as it travels: its pages in staging where they are too large for a record."""
    if not is_large(made.pages):
        return made
    packed = await asyncio.to_thread(encode_pages, made.pages)
    name = await ports.staging.put(received.job, KIND, made.document.id, packed)
    return made.model_copy(update={"pages": (), "object": name})


def _admitted(received: Received[Message]) -> DocumentAdmitted:
    assert isinstance(received.message, DocumentAdmitted)
    return received.message


def _document(received: Received[Message]) -> Document:
    return _admitted(received).document
