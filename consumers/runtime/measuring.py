"""How far a stage is behind, for its process's /metrics. `cradle lag` shows the same, also while no stage runs."""

import asyncio
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry

from consumers.runtime.runtime import Runtime
from operations.lag import LagMeter
from operations.lag_gauges import LagGauges
from schemas.errors import CradleError

EVERY_SECONDS: Final = 15.0
"""About as often as Prometheus asks."""


async def keep_measuring(
    stage: str, registry: CollectorRegistry, runtime: Runtime, *, every: float = EVERY_SECONDS
) -> None:
    """Measures until cancelled. A broker that is away is the poll's to report; the gauges keep what they last said."""
    meter = LagMeter(runtime.broker, runtime.topology)
    gauges = LagGauges(registry)
    while True:
        with suppress(CradleError):
            gauges.set(await meter.look([stage], now=runtime.ports.clock().timestamp()))
        await asyncio.sleep(every)
