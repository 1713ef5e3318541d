"""The engine that all callers share, and the pages of each on their way through it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from engines.extraction import PageImage
from engines.extraction.parsers import Parsers
from engines.extraction.reading import Piece
from engines.vision import ADAPTERS, NONE, PageText, VisionEngine, identify, load_engine
from schemas.errors import CradleError, Permanent
from schemas.parameters import VisionConfig
from services.batching import Batcher, Limits
from services.health import Health
from services.problems import unexpected
from services.residence import Residence
from services.vision.pages import failed, own_page, pages, recognised_page
from services.vision.wire import EndAnswered, ErrorAnswered, Event, PageAnswered

AHEAD: Final = 2
"""Pages of one request that are drawn and wait for the engine: what bounds its memory."""
BATCH_BYTES: Final = 96 * 1024 * 1024
"""Of an engine batch's pixels: three pages of A4 at 300 dpi."""
PROBE: Final = PageImage(1, 64, 32, (b"\xff" * 96 + b"\x00" * 96) * 32, 100)
"""A picture for the engine to try: its left half white, its right one black."""
PROBE_SECONDS: Final = 60.0
"""A page takes seconds, and the engine may just have begun some."""

Coming = Awaitable[PageAnswered | ErrorAnswered]


class VisionService:
    """Works while `running()` lasts."""

    def __init__(
        self,
        config: VisionConfig,
        parsers: Parsers,
        *,
        linger: float,
        seconds: float,
        idle_seconds: float,
        load: Callable[[VisionConfig], VisionEngine] = load_engine,
    ) -> None:
        """`linger`: seconds that a batch of pages waits for company. `seconds`: that a page waits at most.
        `idle_seconds`: after which an engine that nobody used is unloaded.

        Raises Permanent `engine.*` where the engine does not exist.
        """
        if config.engine == NONE:
            raise Permanent("engine.unknown", port="vision", name=NONE, known=", ".join(ADAPTERS))
        self.identity = identify(config)
        self.config = config
        self._parsers = parsers
        self._seconds = seconds
        self._engine = Residence[VisionEngine](partial(load, config), idle_seconds=idle_seconds)
        # how many wait is bounded by the requests in hand, each of which has AHEAD pages here at most
        limits = Limits(BATCH_BYTES, config.batch_size, waiting_cost=2**62, linger=linger)
        self._batcher = Batcher[PageImage, PageText](self._compute, limits)
        self._thread = ThreadPoolExecutor(1, "engine")
        self._health = Health(self._try, lambda: self._engine.loaded)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._batcher:
            yield
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._engine.unload()

    @property
    def loaded(self) -> bool:
        return self._engine.loaded

    @property
    def retry_after(self) -> int:
        return self._batcher.retry_after

    async def check(self) -> None:
        """Raises Retryable `service.unwell`."""
        await self._health.check()

    async def read(self, files: Sequence[bytes], *, seconds: float | None = None) -> AsyncGenerator[Event, None]:
        """The pages of each file in order, an error for each that cannot be read, and the end.

        `seconds`: that the caller gives each page. Closing it drops the pages that no batch took yet.
        """
        patience = min(self._seconds, seconds or self._seconds)
        read = failures = 0
        async with aclosing(self._in_order(files, patience)) as events:
            async for event in events:
                yield event
                read += event.event == "page"
                failures += event.event == "error"
        yield EndAnswered(files=len(files), pages=read, errors=failures)

    async def _in_order(
        self, files: Sequence[bytes], patience: float
    ) -> AsyncGenerator[PageAnswered | ErrorAnswered, None]:
        """Pages are drawn while the engine reads those before."""
        coming: asyncio.Queue[Coming | None] = asyncio.Queue(AHEAD)
        reading: set[asyncio.Task[PageAnswered | ErrorAnswered]] = set()

        async def draw() -> None:
            async with aclosing(self._begun(files, patience)) as begun:
                async for work in begun:
                    task = asyncio.ensure_future(work)
                    reading.add(task)
                    task.add_done_callback(reading.discard)
                    await coming.put(task)
            await coming.put(None)

        drawing = asyncio.create_task(draw())
        try:
            while (task := await coming.get()) is not None:
                yield await task
        finally:
            for one in (drawing, *reading):
                one.cancel()
            await asyncio.gather(drawing, *reading, return_exceptions=True)

    async def _begun(self, files: Sequence[bytes], patience: float) -> AsyncGenerator[Coming, None]:
        job = uuid4()
        for number, file in enumerate(files):
            try:
                async with aclosing(pages(self._parsers, job, file, dpi=self.config.dpi)) as found:
                    async for page in found:
                        yield self._answered(number, page, patience)
            except CradleError as error:
                yield _told(failed(number, None, error))
            except Exception as error:
                yield _told(failed(number, None, unexpected(error)))

    async def _answered(self, file: int, page: PageImage | Piece, patience: float) -> PageAnswered | ErrorAnswered:
        if isinstance(page, Piece):
            return own_page(file, page)
        try:
            [text] = await self._batcher.submit([(page, len(page.pixels))], seconds=patience)
        except CradleError as error:
            return failed(file, page.number, error)
        return recognised_page(file, page.number, text, min_confidence=self.config.min_confidence)

    async def _compute(self, images: Sequence[PageImage]) -> list[PageText]:
        async with self._engine.use() as engine:
            return await asyncio.get_running_loop().run_in_executor(self._thread, engine.recognise, images)

    async def _try(self) -> None:
        await self._batcher.submit([(PROBE, len(PROBE.pixels))], seconds=PROBE_SECONDS, urgent=True)


async def _told(error: ErrorAnswered) -> ErrorAnswered:
    return error
