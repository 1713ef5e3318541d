"""Whether the engine is well: it is if it just did some work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from schemas.errors import CradleError, Retryable

FRESH_SECONDS: Final = 5.0
"""For which a finding is told again."""


class Health:
    """Tries the engine at most once every FRESH_SECONDS, however many ask.

    An engine that was well when it was last tried and was unloaded since, for nobody needed it, is not loaded again
    only to be tried.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[object]],
        is_loaded: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`attempt` runs a real inference, and is bounded in time. It raises a CradleError where that fails."""
        self._attempt = attempt
        self._is_loaded = is_loaded
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._tried_at: float | None = None
        self._failure: str | None = None

    async def check(self) -> None:
        """Raises Retryable `service.unwell` if the last attempt failed."""
        async with self._one_at_a_time:
            if not self._is_known():
                await self._try()
        if self._failure is not None:
            raise Retryable("service.unwell", failing=self._failure)

    def _is_known(self) -> bool:
        if self._tried_at is None:
            return False
        resting = self._failure is None and not self._is_loaded()
        return resting or self._clock() < self._tried_at + FRESH_SECONDS

    async def _try(self) -> None:
        try:
            await self._attempt()
        except CradleError as error:
            self._failure = error.code
        else:
            self._failure = None
        self._tried_at = self._clock()
