"""What any process of any stage does once an hour: the ledger forgets jobs that were erased long ago."""

import asyncio
from typing import Final

import structlog

from consumers.runtime.runtime import Runtime
from operations.forgetting import forget
from schemas.errors import Retryable

EVERY_SECONDS: Final = 3600.0

log = structlog.get_logger()


async def keep_forgetting(runtime: Runtime, *, every: float = EVERY_SECONDS) -> None:
    """Forgets until cancelled. Several processes may do so at one time."""
    while True:
        try:
            forgotten = await forget(
                runtime.options.forget_after,
                ledger=runtime.ports.ledger,
                topology=runtime.topology,
                clock=runtime.ports.clock,
            )
            if forgotten:
                log.info("forgot erased jobs", jobs=forgotten)
        except Retryable:
            pass  # the poll reports it; the next hour finds the same jobs
        except Exception as error:  # a mistake of ours must not end the forgetting for good
            log.error("erased jobs cannot be forgotten", kind=type(error).__name__)
        await asyncio.sleep(every)
