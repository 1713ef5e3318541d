"""What a stage waits for, and for how long: its partitions are paused, so it stays in its group and fetches nothing.

A wait begins with a poll that met a Retryable error, grows with each that meets one again, and ends with the first that
does not. That the broker is away no poll can tell, since there is none; so it is asked every other second.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.health import Health
from consumers.runtime.metrics import Metrics
from infra.waits import WaitNote
from schemas.errors import Retryable

log = structlog.get_logger()

LOOK_SECONDS: Final = 2.0
_POLL: Final = "poll"
_BROKER: Final = "broker"
_CLIENT: Final = "client"


class Waiting:
    """One stage's. Says what it waits for in its health, in its metrics, in a note for `cradle doctor`, and once, at
    the beginning and at the end, in the log."""

    def __init__(
        self, health: Health, metrics: Metrics, *, seconds: tuple[float, float], note: WaitNote | None = None
    ) -> None:
        """`seconds`: the first and the longest wait."""
        self._health = health
        self._metrics = metrics
        self._first, self._longest = seconds
        self._note = note
        self._reasons: dict[str, Retryable] = {}
        self._tries = 0
        self._until = 0.0
        self._paused: set[TopicPartition] = set()

    def begin(self, reason: Retryable) -> None:
        """A poll met it. The next one waits: longer each time, with jitter, so that processes do not return at once."""
        seconds = min(self._longest, self._first * 2**self._tries) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._tries += 1
        self._until = time.monotonic() + seconds
        self._tell(_POLL, reason)

    def end(self) -> None:
        """A poll went through."""
        self._tries = 0
        self._until = 0.0
        self._tell(_POLL, None)

    @property
    def over(self) -> bool:
        """Whether the next try is due. Not while the broker is away: a stage would do its work over and over, with
        nowhere to publish it."""
        broker = self._reasons.get(_BROKER)
        return time.monotonic() >= self._until and (broker is None or broker.code != "dependency.away")

    def pause(self, consumer: AIOKafkaConsumer) -> None:
        """To be called before each fetch. Pauses what is assigned, also what came by a rebalance meanwhile, and lets it
        go when the next try is due. What others have paused stays so."""
        mine = consumer.assignment()
        if not self.over:
            new = mine - consumer.paused()
            consumer.pause(*new)
            self._paused |= new
        elif self._paused:
            consumer.resume(*self._paused & mine)
            self._paused.clear()

    async def look_out(self, ping: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Asks the broker until cancelled. While it is away nothing can move, and that is no hang."""
        while True:
            try:
                await ping()
            except Retryable as away:
                self._health.beat()
                self._tell(_BROKER, away)
            else:
                self._tell(_BROKER, None)
            await asyncio.sleep(LOOK_SECONDS)

    def begin_for_client(self, error: KafkaError) -> None:
        """The group's own connection tells an error: it was refused its group, or it broke."""
        self._tell(_CLIENT, Retryable("dependency.refused", name="Kafka", kind=type(error).__name__))

    def end_for_client(self) -> None:
        self._tell(_CLIENT, None)

    def close(self) -> None:
        """The stage ends, and waits for nothing any more."""
        for whose in [*self._reasons]:
            self._tell(whose, None)

    def _tell(self, whose: str, reason: Retryable | None) -> None:
        before = self._by_sentence()
        if reason is None:
            self._reasons.pop(whose, None)
        else:
            self._reasons[whose] = reason
        after = self._by_sentence()
        if before.keys() == after.keys():
            return
        for wait in _only_in(after, before):
            log.warning("waiting", stage=self._health.stage, code=wait.code, what=wait.sentence, next=wait.next_step)
        for wait in _only_in(before, after):
            log.info("no longer waiting", stage=self._health.stage, code=wait.code, what=wait.sentence)
        self._health.waits = tuple(after.values())
        self._metrics.wait_for({wait.code for wait in after.values()})
        if self._note is not None:
            self._note.tell(self._health.waits)

    def _by_sentence(self) -> dict[str, Retryable]:
        """Each reason once: a poll and the look-out may both have met the broker's absence."""
        return {reason.sentence: reason for reason in self._reasons.values()}


def _only_in(these: Mapping[str, Retryable], those: Mapping[str, Retryable]) -> list[Retryable]:
    return [reason for sentence, reason in these.items() if sentence not in those]
