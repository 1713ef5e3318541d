"""Tries again, in place and within two seconds, what can pass a second time: a dropped connection, a lost race.

It spares the stage a pause and the work of the poll. Whatever lasts longer is the runtime's to wait out. The S3 client
and the Kafka producer have tries of their own, bounded as well; they need none of these.
"""

from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

import stamina

from schemas.errors import Retryable

ATTEMPTS: Final = 3
SECONDS: Final = 2.0
"""No try begins later than this after the first."""
PASSING: Final = frozenset({"dependency.away", "dependency.busy"})

P = ParamSpec("P")
T = TypeVar("T")

stamina.instrumentation.set_on_retry_hooks(())  # they would log a call's arguments, and these may hold a path


def tried_again(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """An adapter's method with up to three tries, 0.1 to 0.7 s apart. Only for one that is harmless when repeated: of a
    connection that dropped nobody knows whether the server had done the work."""
    again = stamina.retry(
        on=_can_pass, attempts=ATTEMPTS, timeout=SECONDS, wait_initial=0.1, wait_max=0.5, wait_jitter=0.2
    )
    return again(method)


def _can_pass(error: Exception) -> bool:
    return isinstance(error, Retryable) and error.code in PASSING
