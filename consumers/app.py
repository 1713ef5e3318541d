"""Runs stages until the process is told to stop."""

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import structlog

from consumers.runtime.announcing import keep_announcing, keep_sweeping
from consumers.runtime.contract import StageFactory
from consumers.runtime.forgetting import keep_forgetting
from consumers.runtime.health import HealthServer
from consumers.runtime.measuring import keep_measuring
from consumers.runtime.metrics import ChoreMetrics
from consumers.runtime.runtime import Runtime
from consumers.runtime.watchdog import Watchdog
from consumers.runtime.worker import Worker
from schemas.errors import CradleError

log = structlog.get_logger()


def stage_factory(name: str) -> StageFactory:
    """The `stage` function of consumers/<name>/. Raises CradleError `topology.no-folder`."""
    try:
        module = import_module(f"consumers.{name}")
    except ModuleNotFoundError as missing:
        if missing.name == f"consumers.{name}":
            raise CradleError("topology.no-folder", stage=name) from None
        raise
    factory: StageFactory = module.stage
    return factory


async def serve(stages: Sequence[str], runtime: Runtime) -> None:
    """Consumes for `stages` in this process until SIGTERM or SIGINT, then drains and returns.

    With several stages, only the first has health endpoints' port; the next ones count up from it.
    Raises CradleError `topology.no-folder`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    workers = [Worker(name, stage_factory(name)(runtime.ports), runtime) for name in stages]
    async with AsyncExitStack() as stack:
        for position, worker in enumerate(workers):
            if runtime.options.health is not None:
                host, port = runtime.options.health
                server = HealthServer(worker.health, worker.metrics, host, port + position)
                _in_background(server.serve(), stack)
                _in_background(keep_measuring(worker.stage, worker.metrics.registry, runtime), stack)
        if runtime.options.beat_file is None:
            watchdog = Watchdog([worker.health for worker in workers])
            watchdog.start()
            stack.callback(watchdog.stop)
        chores = ChoreMetrics(workers[0].metrics.registry)
        _in_background(keep_announcing(runtime, waiting=chores.outbox.set), stack)
        _in_background(keep_sweeping(runtime, done=chores.swept.set_to_current_time), stack)
        _in_background(keep_forgetting(runtime), stack)
        starting = asyncio.create_task(_start(workers))
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        await stopped
        log.info("draining", stages=list(stages))
        await asyncio.gather(*(worker.stop() for worker in workers))


async def _start(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.start() for worker in workers))
    log.info("consuming", stages=[worker.stage for worker in workers])


def _in_background(work: Coroutine[None, None, None], stack: AsyncExitStack) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
