"""An engine that is in memory only while somebody needs it: loaded once for all who wait, unloaded after idle time."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from schemas.errors import CradleError, Retryable

E = TypeVar("E")

PAUSE: Final = 5.0
"""Seconds for which a load that failed is not tried again: those who waited for it are all told at once."""


class Residence(Generic[E]):
    def __init__(
        self, load: Callable[[], E], *, idle_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`load` runs in a thread. `idle_seconds`: after the last use the engine stays for as long; 0: for ever."""
        self._load = load
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._engine: E | None = None
        self._loading: asyncio.Task[E] | None = None
        self._failed: CradleError | None = None
        self._failed_at = 0.0
        self._users = 0
        self._unloading: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        return self._engine is not None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[E]:
        """The engine, which stays at least until the block ends.

        Raises what loading it raises; an error without a code as Retryable `service.engine`.
        """
        self._users += 1
        self._stay()
        try:
            yield await self._loaded()
        finally:
            self._users -= 1
            self._rest()

    def unload(self) -> None:
        """Lets the engine go, unless somebody uses it."""
        if self._users:
            return
        self._stay()
        self._engine = None
        gc.collect()
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.empty_cache()

    def _rest(self) -> None:
        """Unloads it after a while, unless somebody uses it."""
        if not self._users and self._idle_seconds:
            self._stay()
            self._unloading = asyncio.get_running_loop().call_later(self._idle_seconds, self.unload)

    def _stay(self) -> None:
        if self._unloading is not None:
            self._unloading.cancel()
            self._unloading = None

    async def _loaded(self) -> E:
        if self._engine is not None:
            return self._engine
        if self._failed is not None and self._clock() < self._failed_at + PAUSE:
            raise self._failed
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_once())
        # shielded: who goes away does not take it from those who stay
        return await asyncio.shield(self._loading)

    async def _load_once(self) -> E:
        self._failed = None
        try:
            self._engine = await asyncio.to_thread(self._load)
        except CradleError as error:
            self._failed, self._failed_at = error, self._clock()
            raise
        except Exception as error:
            self._failed = Retryable("service.engine", kind=type(error).__name__)
            self._failed_at = self._clock()
            raise self._failed from None
        finally:
            self._loading = None
        self._rest()  # whoever wanted it may be gone
        return self._engine
