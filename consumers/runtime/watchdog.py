"""Ends a process in which a stage hangs, where no supervisor watches over it.

Started again, by whoever runs it, its messages are suspects (`isolation.py`), and the one that hangs is found.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from consumers.runtime.health import Health
from schemas.topology import GRACE_SECONDS

TICK_SECONDS: Final = 1.0
EXIT_CODE: Final = 75
"""EX_TEMPFAIL: trying again may help."""

log = structlog.get_logger()


class Watchdog(threading.Thread):
    """A thread: the event loop may be what hangs. It counts turns of its own, so that a stopped process ages not."""

    def __init__(
        self, healths: Sequence[Health], *, grace: float = GRACE_SECONDS, end: Callable[[int], object] = os._exit
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._healths = healths
        self._grace = grace
        self._end = end
        self._stopped = threading.Event()

    def run(self) -> None:
        seen = [health.last_beat for health in self._healths]
        still = [0.0] * len(seen)
        while not self._stopped.wait(TICK_SECONDS):
            for at, health in enumerate(self._healths):
                still[at] = still[at] + TICK_SECONDS if health.last_beat == seen[at] else 0.0
                seen[at] = health.last_beat
                if still[at] >= health.stuck_seconds + self._grace:
                    log.error("the stage hangs: ending the process", stage=health.stage, seconds=still[at])
                    self._end(EXIT_CODE)
                    return

    def stop(self) -> None:
        self._stopped.set()
