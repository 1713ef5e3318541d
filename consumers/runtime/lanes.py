"""Lanes: what belongs together and keeps its order. Between them a stage may work on several at one time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from consumers.runtime.contract import Received
from schemas.messages import DocumentsSubmitted, Message
from schemas.topology import Key

Group = TypeVar("Group")
Made = TypeVar("Made")


def lane_of(received: Received[Message], key: Key) -> str:
    """What a topic is keyed by, told by the message itself: a foreign client may key its records by anything."""
    if key is Key.DOCUMENT and received.document is not None:
        return received.document
    if key is Key.CUSTOMER and isinstance(received.message, DocumentsSubmitted):
        event = received.message  # a manifest alone brings no work: it waits behind nobody
        return event.customer if event.documents else f"{event.customer}, closing"
    return str(received.job)


async def side_by_side(
    groups: Sequence[Group], run: Callable[[Group], AsyncGenerator[Made, None]], *, at_once: int
) -> AsyncGenerator[Made, None]:
    """What `run` makes of each group, as it comes, of at most `at_once` groups at one time.

    Raises what the first `run` raises, after giving what was made before; the others are ended then.
    """
    waiting = iter(groups)
    made: asyncio.Queue[Made | _Ended] = asyncio.Queue()

    async def work() -> None:
        try:
            for group in waiting:  # shared by all: each group is taken once
                async with aclosing(run(group)) as outcomes:
                    async for one in outcomes:
                        made.put_nowait(one)
        except Exception as error:
            made.put_nowait(_Ended(error))
        else:
            made.put_nowait(_Ended())

    working = [asyncio.create_task(work()) for _ in range(min(at_once, len(groups)))]
    try:
        left = len(working)
        while left:
            one = await made.get()
            if not isinstance(one, _Ended):
                yield one
            elif one.error is not None:
                raise one.error
            else:
                left -= 1
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


class _Ended:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
