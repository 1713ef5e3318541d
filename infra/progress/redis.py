"""Progress over Redis: one publish/subscribe channel a job, with empty messages. The ledger holds what they mean."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from schemas.errors import CradleError, Retryable

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

TIMEOUT_SECONDS: Final = 1.0
"""The longest that a dead Redis may hold up its caller."""
PAUSE_SECONDS: Final = 5.0
"""How long a Redis that did not answer is left alone."""

log = structlog.get_logger(__name__)


class RedisProgress:
    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._away_until = 0.0
        self._warned = False

    async def changed(self, job: UUID) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._client.publish(_channel(job), b"")
        except _errors():
            self._note_absence()
        else:
            self._warned = False

    async def watch(self, job: UUID, *, every: float) -> AsyncIterator[None]:
        subscription = await self._subscribe(job)
        try:
            while True:
                yield
                woken_by = time.monotonic() + every
                if subscription is None:
                    subscription = await self._subscribe(job)
                if subscription is None or not await self._wait(subscription, woken_by):
                    await self._close(subscription)
                    subscription = None
                    await asyncio.sleep(max(0.0, woken_by - time.monotonic()))
        finally:
            await self._close(subscription)

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._client.ping()
        except _errors() as error:
            raise Retryable("dependency.away", name="Redis") from error

    def _note_absence(self) -> None:
        self._away_until = time.monotonic() + PAUSE_SECONDS
        if not self._warned:
            log.warning("progress.away", next="watchers wake by their period until Redis answers again")
        self._warned = True

    async def _subscribe(self, job: UUID) -> "PubSub | None":
        """None where Redis does not answer."""
        if time.monotonic() < self._away_until:
            return None
        subscription: PubSub = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await subscription.subscribe(_channel(job))
        except _errors():
            self._note_absence()
            await self._close(subscription)
            return None
        return subscription

    async def _wait(self, subscription: "PubSub", woken_by: float) -> bool:
        """Returns on a change, several at once being one, or when it is time. False where Redis went away."""
        try:
            while (left := woken_by - time.monotonic()) > 0:
                if await subscription.get_message(timeout=left) is not None:
                    while await subscription.get_message(timeout=0) is not None:
                        pass
                    break
        except _errors():
            self._note_absence()
            return False
        return True

    async def _close(self, subscription: "PubSub | None") -> None:
        if subscription is None:
            return
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await subscription.aclose()  # type: ignore[no-untyped-call]
        except _errors():
            return


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisProgress]:
    """`redis://host:port/0`. Opening needs no Redis to answer. Raises CradleError `settings.invalid`."""
    from redis.asyncio import Redis

    try:
        client = Redis.from_url(url, socket_connect_timeout=TIMEOUT_SECONDS)
    except ValueError:
        raise CradleError("settings.invalid", what="the progress URL is redis://host:port/0") from None
    try:
        yield RedisProgress(client)
    finally:
        await client.aclose()


def _channel(job: UUID) -> str:
    return f"cradle.progress.{job}"


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)
