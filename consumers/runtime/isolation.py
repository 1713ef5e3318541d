"""Messages that a worker may have died of: they run after all others, one at a time, each alone in a process.

The worker lives to see that process die, so it knows which message it died of: a strike. The second one makes the
message a dead letter. A killer is thus handed over three times at most, once in company and twice alone, while a
worker that is killed for another reason, however often, condemns nothing.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Final, cast
from uuid import UUID

import structlog

from consumers.runtime.attempts import Attempts, Died
from consumers.runtime.contract import Failed, Handle, Outcome, Received
from consumers.runtime.opening import OpenedPoll
from consumers.runtime.runtime import Runtime
from schemas.errors import Permanent
from schemas.messages import Message

STRIKES: Final = 2
"""How many processes a message may end that it was alone in."""

log = structlog.get_logger()


class Isolation:
    """Runs the suspects of one stage. `handle` is used where the runtime has no processes to run them in."""

    def __init__(
        self,
        stage: str,
        handle: Handle,
        runtime: Runtime,
        *,
        beat: Callable[[], None],
        struck: Callable[[], None] = lambda: None,
    ) -> None:
        """`struck` is called for each process that dies."""
        self._stage = stage
        self._handle = handle
        self._runtime = runtime
        self._beat = beat
        self._struck = struck
        self._suspected: set[UUID] = set()

    def suspects(self, opened: OpenedPoll) -> Mapping[UUID, int]:
        """The poll's suspects and their strikes: what another worker left behind, or we ourselves did not finish."""
        known = dict.fromkeys(self._suspected & opened.messages.keys(), 0) | opened.suspects
        self._suspected |= known.keys()
        return known

    def suspects_still(self, message: UUID) -> bool:
        return message in self._suspected

    def clear(self, messages: Collection[UUID]) -> None:
        """These have an outcome."""
        self._suspected.difference_update(messages)

    async def outcomes(
        self, suspects: Mapping[UUID, int], opened: OpenedPoll
    ) -> AsyncGenerator[tuple[Outcome, int], None]:
        """As `Attempts.outcomes`. Raises Retryable."""
        async with self._elsewhere() as handle:
            attempts = Attempts(self._stage, handle, most=self._runtime.options.attempts, beat=self._beat)
            for message, strikes in suspects.items():
                alone = cast(
                    AsyncGenerator[tuple[Outcome, int], None],
                    self._alone(opened.messages[message].received, strikes, attempts),
                )
                async with aclosing(alone) as outcomes:
                    async for outcome_and_attempt in outcomes:
                        yield outcome_and_attempt

    def _elsewhere(self) -> AbstractAsyncContextManager[Handle]:
        if self._runtime.isolate is None:
            return _here(self._handle)
        return self._runtime.isolate(self._stage, stuck=self._runtime.stuck_seconds(self._stage), beat=self._beat)

    async def _alone(
        self, received: Received[Message], strikes: int, attempts: Attempts
    ) -> AsyncIterator[tuple[Outcome, int]]:
        while strikes < STRIKES:
            try:
                async with aclosing(attempts.outcomes({received.id: received})) as outcomes:
                    async for outcome_and_attempt in outcomes:
                        yield outcome_and_attempt
                return
            except Died as death:
                self._struck()
                strikes = await self._runtime.ports.ledger.strike(self._stage, received.id)
                log.error(
                    "a message ended the process it was alone in",
                    stage=self._stage,
                    message=str(received.id),
                    job=str(received.job),
                    how=str(death),
                    strikes=strikes,
                )
        yield Failed(received, Permanent("delivery.killer", stage=self._stage, strikes=strikes)), strikes + 1


@asynccontextmanager
async def _here(handle: Handle) -> AsyncIterator[Handle]:
    yield handle
