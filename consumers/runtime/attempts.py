"""Step 2: runs the stage, and gives a message whose stage fails in an unforeseen way a bounded number of attempts."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import cast
from uuid import UUID

import structlog

from consumers.runtime.contract import Failed, Handle, Outcome, Piece, Received, Underway
from schemas.errors import Permanent, Retryable
from schemas.messages import Message

log = structlog.get_logger()

Inputs = dict[UUID, Received[Message]]


class Died(Exception):
    """The process that a message was alone in is gone. No attempt, but a strike."""


class Unforeseen(Exception):
    """An error that nobody foresaw, told by another process. Its text stayed there: it may quote a document."""

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(kind, place)
        self.kind = kind
        self.place = place


def unforeseen(error: Exception) -> Unforeseen:
    """The error's kind and place, without its text."""
    if isinstance(error, Unforeseen):
        return error
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else "?"
    return Unforeseen(type(error).__name__, place)


class Attempts:
    """Runs `handle`, the stage's function, at most `most` times a message. `beat` is called at each of its answers."""

    def __init__(self, stage: str, handle: Handle, *, most: int, beat: Callable[[], None]) -> None:
        self._stage = stage
        self._handle = handle
        self._most = most
        self._beat = beat

    async def outcomes(self, inputs: Inputs) -> AsyncGenerator[tuple[Outcome, int], None]:
        """Each input's outcome with the number of the attempt that gave it. Raises Retryable or Died, at any point.

        The first attempt is the whole poll. If it ends in an error that nobody foresaw, what has no outcome yet is
        tried one message at a time, so that a poisoned one cannot take its neighbours along.
        """
        left = dict(inputs)
        try:
            async for outcome in self._run(left):
                yield outcome, 1
        except (Retryable, Died):
            raise
        except Exception as error:
            self._tell(error, messages=len(left), attempt=1)
        for message in [*left]:
            async for outcome_and_attempt in self._alone(message, left[message]):
                yield outcome_and_attempt

    async def _alone(self, message: UUID, received: Received[Message]) -> AsyncIterator[tuple[Outcome, int]]:
        kind = "Exception"
        for attempt in range(2, self._most + 1):
            try:
                async for outcome in self._run({message: received}):
                    yield outcome, attempt
                return
            except (Retryable, Died):
                raise
            except Exception as error:
                self._tell(error, messages=1, attempt=attempt)
                kind = unforeseen(error).kind
        unexpected = Permanent("delivery.unexpected", stage=self._stage, attempts=self._most, kind=kind)
        yield Failed(received, unexpected), self._most

    async def _run(self, left: Inputs) -> AsyncIterator[Outcome]:
        """Takes each input out of `left` as its own outcome comes."""
        if not left:
            return
        handled = cast(AsyncGenerator[Outcome | Underway, None], self._handle([*left.values()]))
        async with aclosing(handled) as outcomes:
            async for outcome in outcomes:
                self._beat()
                if isinstance(outcome, Underway):
                    continue
                if not isinstance(outcome, Piece):  # the input's own is still to come
                    del left[outcome.input.id]
                yield outcome
        if left:
            raise RuntimeError(f"the {self._stage} stage gave no outcome for {len(left)} inputs")

    def _tell(self, error: Exception, *, messages: int, attempt: int) -> None:
        told = unforeseen(error)
        log.error(
            "unexpected error",
            stage=self._stage,
            kind=told.kind,
            at=told.place,
            messages=messages,
            attempt=attempt,
        )
