"""The steps of one poll: open and skip, run, publish, record. Committing is the caller's, from what is returned.

At least once from the broker, effectively once by ids and the ledger: an output published twice has the same id, and
an outcome recorded twice counts once. So a crash between any two steps costs only time.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from uuid import UUID

from consumers.runtime import dead_letters
from consumers.runtime.attempts import Attempts, Inputs
from consumers.runtime.contract import Handle, Held, Outcome
from consumers.runtime.isolation import Isolation
from consumers.runtime.lanes import side_by_side
from consumers.runtime.metrics import Metrics
from consumers.runtime.offsets import Offset, offset_of
from consumers.runtime.opening import OpenedPoll, open_poll
from consumers.runtime.runtime import Runtime
from consumers.runtime.settling import Settled, settle
from consumers.runtime.storms import Storms
from infra import ledger
from infra.broker import StoredRecord
from schemas.errors import Permanent, Retryable
from schemas.ids import NO_JOB
from schemas.messages import JobCompleted
from schemas.topology import Origin


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """To be offered again after `seconds`, ahead of what comes of its lane later."""

    record: StoredRecord
    lane: str
    seconds: float


@dataclass(slots=True)
class Delivered:
    """What became of a poll. A record that is not finished has no outcome yet and is to be delivered again."""

    finished: set[Offset] = field(default_factory=set)
    held: list[HeldRecord] = field(default_factory=list)
    away: Retryable | None = None
    """The dependency that ended the poll early."""

    def finish(self, records: Sequence[StoredRecord]) -> None:
        self.finished.update(map(offset_of, records))


class Delivery:
    """Delivers polls to one stage. `beat` is called whenever there is progress."""

    def __init__(
        self, stage: str, handle: Handle, runtime: Runtime, metrics: Metrics, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._stage = stage
        self._runtime = runtime
        self._metrics = metrics
        self._beat = beat
        self._attempts = Attempts(stage, handle, most=runtime.options.attempts, beat=beat)
        self._isolation = Isolation(stage, handle, runtime, beat=beat, struck=metrics.strikes.inc)
        self._storms = Storms(runtime.options.storm_limit)

    async def deliver(self, poll: Sequence[StoredRecord], *, behind: Collection[str] = ()) -> Delivered:
        """Steps 1 to 4. Raises nothing that a record, a stage or a dependency can cause.

        What is of a lane in `behind` is held at once: older records of the lane wait, and it would overtake them.
        """
        delivered = Delivered()
        opened = OpenedPoll()
        try:
            opened = await open_poll(self._stage, poll, self._runtime, behind=behind)
            delivered.held += [HeldRecord(one.record, one.lane, 0.0) for one in opened.queued]
            self._drop(opened.skipped, delivered)
            await self._quarantine(opened, delivered)
            await self._run(opened, delivered)
            self._wait_out_storm()
        except Retryable as away:
            delivered.away = away
        except (Exception, asyncio.CancelledError):
            await self._put_down(opened)
            raise
        await self._put_down(opened)
        return delivered

    async def _run(self, opened: OpenedPoll, delivered: Delivered) -> None:
        """Step 2 and on: the poll in company, then its suspects, each alone. In a storm one message of all."""
        tried = self._storms.narrowed(opened.messages, random.random())  # noqa: S311 - any will do
        suspects = {
            message: strikes for message, strikes in self._isolation.suspects(opened).items() if message in tried
        }
        inputs = {message: one.received for message, one in tried.items() if message not in suspects}
        async with aclosing(self._outcomes(inputs, opened)) as outcomes:
            await self._settle_all(outcomes, opened, delivered)
        if suspects:
            async with aclosing(self._isolation.outcomes(suspects, opened)) as outcomes:
                await self._settle_all(outcomes, opened, delivered)

    def _note_for_storms(self, settled: Settled) -> None:
        """Raises Retryable `delivery.storm` for an outcome that is kept back."""
        code = self._storms.holds_back(settled.outcome.message, settled.dead_letters, time.monotonic())
        if code is not None:
            raise Retryable("delivery.storm", stage=self._stage, failing=code)

    def _wait_out_storm(self) -> None:
        if self._storms.code is not None:
            raise Retryable("delivery.storm", stage=self._stage, failing=self._storms.code)

    def _outcomes(self, inputs: Inputs, opened: OpenedPoll) -> AsyncGenerator[tuple[Outcome, int], None]:
        """Of the whole poll at once, or lane by lane where the stage works on several of them at one time."""
        at_once = self._runtime.topology.stages[self._stage].at_once
        if at_once == 1:
            return self._attempts.outcomes(inputs)
        lanes: dict[str, Inputs] = defaultdict(dict)
        for message, received in inputs.items():
            lanes[opened.messages[message].lane][message] = received
        return side_by_side([*lanes.values()], self._attempts.outcomes, at_once=at_once)

    async def _put_down(self, opened: OpenedPoll) -> None:
        """We live, so what has no outcome is not to be suspected for it. A suspect stays one."""
        left = [message for message in opened.in_hand if not self._isolation.suspects_still(message)]
        if left:
            with suppress(Retryable):  # then it runs alone the next time, for nothing
                await self._runtime.ports.ledger.put_down(self._stage, left, worker=self._runtime.worker)

    def _have_outcomes(self, messages: Collection[UUID], opened: OpenedPoll) -> None:
        opened.in_hand.difference_update(messages)
        self._isolation.clear(messages)

    async def _settle_all(
        self, outcomes: AsyncIterator[tuple[Outcome, int]], opened: OpenedPoll, delivered: Delivered
    ) -> None:
        """Takes outcomes as they come, in groups, so that early ones travel on while the stage still works."""
        options = self._runtime.options
        group: list[Settled] = []
        since = time.monotonic()
        away: Retryable | None = None
        try:
            async for outcome, attempt in outcomes:
                source = opened.messages[outcome.input.id]
                records = [source.record, *opened.duplicates.get(outcome.input.id, ())]
                if isinstance(outcome, Held):
                    delivered.held += [HeldRecord(record, source.lane, outcome.seconds) for record in records]
                    self._metrics.held.inc()
                    continue
                try:
                    settled = await settle(self._stage, outcome, source, attempt, self._runtime)
                    self._note_for_storms(settled)
                    group.append(settled)
                except Permanent as error:
                    if error.code != "key.destroyed":
                        raise  # no outcome was made of it, so it may not count as finished
                    self._drop(records, delivered)  # the job was erased while the stage worked
                if len(group) >= options.flush_outcomes or time.monotonic() - since >= options.flush_seconds:
                    ready, group, since = group, [], time.monotonic()
                    await self._flush(ready, opened, delivered)  # where it fails, the end does not try it again
        except Retryable as error:
            away = error
        await self._flush(group, opened, delivered)  # what the stage finished before its dependency went away
        if away is not None:
            raise away

    async def _flush(self, group: list[Settled], opened: OpenedPoll, delivered: Delivered) -> None:
        """Publishes a group whole, then records it in one transaction: steps 3 and 4."""
        if not group:
            return
        await self._runtime.broker.publish([record for settled in group for record in settled.records])
        outcomes = [settled.outcome for settled in group]
        await self._fail_jobs(group)
        await self._runtime.ports.ledger.record(self._stage, outcomes, now=self._runtime.ports.clock())
        self._have_outcomes([outcome.message for outcome in outcomes], opened)
        for settled in group:
            message = settled.source.received.id
            if not settled.whole:
                continue
            delivered.finish([settled.source.record, *opened.duplicates.get(message, ())])
            (self._metrics.failed if settled.outcome.code else self._metrics.done).inc()
        for code in (code for settled in group for code in settled.dead_letters):
            self._metrics.dead_letters.labels(self._stage, code).inc()
        self._beat()
        for job in {outcome.job for outcome in outcomes}:
            await self._runtime.progress.changed(job)

    async def _fail_jobs(self, group: Sequence[Settled]) -> None:
        """A job whose completion can never be acted upon has failed: nothing else would ever end it."""
        for settled in group:
            topic = self._runtime.topology.topics[settled.source.record.topic]
            if settled.outcome.code is not None and topic.origin is Origin.COMPLETION:
                message = settled.source.received.message
                generation = message.generation if isinstance(message, JobCompleted) else None
                await self._runtime.ports.ledger.failed(
                    settled.outcome.job, settled.outcome.code, generation=generation
                )

    async def _quarantine(self, opened: OpenedPoll, delivered: Delivered) -> None:
        unreadable = opened.unreadable
        if not unreadable:
            return
        letters = [await dead_letters.seal_unreadable(self._stage, one, self._runtime) for one in unreadable]
        await self._runtime.broker.publish(letters)
        outcomes = [
            ledger.Outcome(message=one.id, job=NO_JOB, document=None, code=one.error.code) for one in unreadable
        ]
        await self._runtime.ports.ledger.record(self._stage, outcomes, now=self._runtime.ports.clock())
        self._have_outcomes([outcome.message for outcome in outcomes], opened)
        delivered.finish([one.record for one in unreadable])
        for one in unreadable:
            self._storms.holds_back(one.id, [one.error.code], time.monotonic())  # never: but it is one of all outcomes
            self._metrics.failed.inc()
            self._metrics.dead_letters.labels(self._stage, one.error.code).inc()

    def _drop(self, records: Sequence[StoredRecord], delivered: Delivered) -> None:
        delivered.finish(records)
        self._metrics.skipped.inc(len(records))
