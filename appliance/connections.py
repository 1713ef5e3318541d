"""HTTP connections that may not be held open for nothing: there are few, and who holds them all shuts others out."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 10.0
"""Seconds, twice at most, in which a request has to arrive whole, or a piece of its answer to be taken: the server
itself would wait for ever."""
_ANSWERING: Final = object()


class PromptConnection(H11Protocol):
    """Looks at itself every PATIENCE seconds, and ends if it has waited since the last time for the same request, or
    for the other end to take anything of its answer."""

    _look: asyncio.TimerHandle
    _seen: object = None
    """What it waited for at the last look: the request's cycle, None before the first."""
    _untaken: int = 0
    """Bytes of the answer that were waiting at the last look."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._look = self.loop.call_later(PATIENCE, self._end_if_idle)

    def _end_if_idle(self) -> None:
        untaken = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        if untaken and untaken == self._untaken:
            self.transport.abort()  # closing would wait until it is taken
            return
        cycle = self.cycle
        waiting = cycle is None or cycle.response_complete or cycle.more_body
        if waiting and not untaken and cycle is self._seen:
            self.transport.close()
            return
        self._seen, self._untaken = (cycle if waiting else _ANSWERING), untaken
        self._look_later()
