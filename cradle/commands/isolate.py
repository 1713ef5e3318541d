"""`cradle isolate`, hidden: runs one stage on one message at a time, for a worker that suspects these messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumers.runtime import Handle
    from cradle.settings import Settings
    from schemas.topology import Topology


def isolate(stage: str) -> None:
    """Answers a worker's messages on stdin and stdout; see consumers/runtime/cell.py. Nothing to run by hand."""
    from consumers.runtime.cell import live_in_cell
    from cradle.logs import configure_logs

    @asynccontextmanager
    async def opened(opening: "tuple[Settings, Topology]") -> "AsyncIterator[Handle]":
        from consumers.app import stage_factory
        from cradle.compose import open_runtime

        settings, flow = opening
        configure_logs(settings.log_level)
        async with open_runtime(settings, flow) as runtime:
            yield stage_factory(stage)(runtime.ports)

    live_in_cell(opened)
