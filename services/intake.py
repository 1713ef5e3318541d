"""What a service takes in: so many requests at a time, each of so many bytes, and only while their caller is there."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import Permanent, Retryable
from services.batching import Full
from services.problems import Refusal, answer, unexpected

T = TypeVar("T")

MIB: Final = 1024 * 1024


class Intake:
    """A layer around an app. A request that is one too many is refused without its body being kept.

    Whatever fails unexpectedly ends here, and the server never sees it: it would log what the error says.
    """

    def __init__(self, app: ASGIApp, *, most_requests: int, most_bytes: int, retry_after: Callable[[], int]) -> None:
        """`most_requests` that carry a body are in hand at a time. `retry_after`: the seconds told to the others."""
        self._app = app
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        self._retry_after = retry_after
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["method"] != "POST":
            return await self._quietly(scope, receive, send)
        if self._in_hand >= self._most_requests:
            return await self._refuse(scope, self._counted(receive), send)
        self._in_hand += 1
        try:
            return await self._quietly(scope, self._counted(receive), send)
        finally:
            self._in_hand -= 1

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """After its body has passed by: a caller that still sends would miss the answer."""
        try:
            while (await receive()).get("more_body"):
                pass
        except Refusal as refusal:
            return await answer(refusal.error, scope["path"])(scope, receive, send)
        return await answer(Full(self._retry_after()), scope["path"])(scope, receive, send)

    async def _quietly(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:  # the server ends, and waits no longer
            if not begun:
                await answer(Retryable("service.stopping"), scope["path"])(scope, receive, send)
        except Exception as error:
            told = unexpected(error)
            if not begun:
                await answer(told, scope["path"])(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most_bytes:
                raise Refusal(Permanent("request.size", limit=f"{self._most_bytes // MIB} MiB"))
            return message

        return counting


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it is cancelled, and ClientDisconnect raised, once the caller has gone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
