"""One member of a stage's consumer group: fetches, hands over, commits what is finished, and waits where it must.

Each turn of the poll loop delivers what is left of earlier polls, as far as its time has come, then fetches, then
delivers what is new. So there is one delivery at a time, and what was held is offered again also if nothing new comes.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Collection, Coroutine, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from consumers.runtime.backlog import Backlog, Offer
from consumers.runtime.consuming import (
    Listener,
    keep_polling,
    pace_empty_fetches,
    stored,
    subscription,
)
from consumers.runtime.contract import Handle
from consumers.runtime.delivery import Delivered, Delivery
from consumers.runtime.health import Health
from consumers.runtime.metrics import Metrics
from consumers.runtime.offsets import Partition
from consumers.runtime.ownership import Ownership, worker_name
from consumers.runtime.runtime import Runtime
from consumers.runtime.waiting import Waiting
from infra.broker.header_names import read_any_header_name
from infra.waits import WaitNote
from schemas.errors import Retryable

log = structlog.get_logger()

BEAT_SECONDS = 1.0
POLL_ERROR_SECONDS = 1.0
"""Between two polls that end in an error of the client. It may never come back, so such a poll is no progress."""
LEAVING_SECONDS = (2.0, 1.0)
"""What leaving the group may take before it is asked for once more, and before it is given up."""
PUTTING_DOWN_SECONDS = 1.0
"""What a poll that was cut off may take to tell the ledger what is no longer in hand."""


class Worker:
    """One member of a stage's consumer group, named after the stage."""

    def __init__(self, stage: str, handle: Handle, runtime: Runtime) -> None:
        self.stage = stage
        self.metrics = Metrics(stage)
        self.health = Health(stage, runtime.stuck_seconds(stage), beat_file=runtime.options.beat_file)
        self._runtime = runtime
        self._delivery = Delivery(stage, handle, runtime, self.metrics, self.health.beat)
        options = runtime.options
        self._ownership = Ownership(worker_name(stage, options.instance))
        self._backlog = Backlog(options)
        self._crowded: set[TopicPartition] = set()
        self._noted: Offer | None = None
        self._stopping = False
        note = WaitNote(options.waiting_notes, stage) if options.waiting_notes else None
        self._waiting = Waiting(self.health, self.metrics, seconds=options.retry_seconds, note=note)
        self._lookout: asyncio.Task[None] | None = None
        self._poll: asyncio.Task[None] | None = None
        self._broker, self._subscriber = subscription(
            stage, runtime, client_id=self._ownership.worker, listener=Listener(self._lose, self._gain)
        )
        self._subscriber(self._on_poll)

    async def start(self) -> None:
        """Joins the group. Waits for a broker that is away, saying so once."""
        while not self._stopping:
            try:
                await self._broker.start()
                break
            except (KafkaError, OSError):
                await self._broker.stop()
                await self._wait_for_broker()
        if self._stopping:
            return
        gc.freeze()  # what is loaded by now stays: the collector need not look through it again at every turn
        keep_polling(self._consumer)
        self._watch_polls(self._consumer)
        pace_empty_fetches(self._consumer)
        self.health.consuming = True
        self._waiting.end()
        self._lookout = asyncio.create_task(self._waiting.look_out(self._runtime.broker.ping))

    async def stop(self) -> None:
        """Lets the poll in hand finish within the drain time, then leaves the group."""
        self._stopping = True
        self.health.consuming = False
        if self._lookout is not None:
            self._lookout.cancel()
        if self._poll is not None:
            _, running = await asyncio.wait({self._poll}, timeout=self._runtime.options.drain_seconds)
            for task in running:
                task.cancel()  # nothing of it is committed: it is delivered again
            if running:
                await asyncio.wait(running, timeout=PUTTING_DOWN_SECONDS)
        await self._leave()
        self._waiting.close()

    async def _leave(self) -> None:
        """aiokafka's fetcher may not hear that it is to end, if it is just giving up partitions: it is told again. A
        broker that does not answer is not waited for: it finds out by itself that the member is gone."""
        leaving = asyncio.ensure_future(self._broker.stop())
        for seconds in LEAVING_SECONDS:
            if (await asyncio.wait({leaving}, timeout=seconds))[0]:
                await leaving
                return
            if self._subscriber.consumer is not None:
                self._subscriber.consumer._fetcher._fetch_task.cancel()
        leaving.cancel()

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        assert consumer is not None
        return consumer

    async def _on_poll(self, records: tuple[Any, ...]) -> None:
        if self._stopping:
            return
        noted, self._noted = self._noted, None  # none of a first poll, which may begin before polls are watched
        await self._deliver(noted or self._backlog.read([stored(record) for record in records]))

    async def _deliver(self, offer: Offer) -> None:
        self._poll = asyncio.create_task(self._deliver_and_commit(offer))
        try:
            await self._poll
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    async def _deliver_and_commit(self, offer: Offer) -> None:
        with self.metrics.poll_seconds.time():
            try:
                delivered = await self._delivery.deliver(offer.records, behind=offer.behind)
            except Exception as error:  # a mistake of ours: nothing is committed, and the poll is tried again
                delivered = Delivered(away=Retryable("delivery.broken", kind=type(error).__name__))
            self._backlog.keep(offer, delivered, time.monotonic())
            self.metrics.parked.set(len(self._backlog.parking))
            await self._commit()
        if delivered.away is not None:
            self._waiting.begin(delivered.away)
        else:
            self._waiting.end()

    async def _commit(self) -> None:
        """Commits what is finished. A refusal (the group has moved on) costs one skip by whoever has the partition."""
        mine = self._consumer.assignment()
        offsets = {p: offset for p, offset in self._backlog.offsets.committable().items() if TopicPartition(*p) in mine}
        if await self._commit_with_notes(offsets):
            self._backlog.offsets.committed(offsets)

    async def _commit_with_notes(self, offsets: Mapping[Partition, int]) -> bool:
        if not offsets:
            return False
        now = self._runtime.ports.clock()
        notes = {TopicPartition(*p): (offset, self._ownership.note(p, now)) for p, offset in offsets.items()}
        try:
            await self._consumer.commit(notes)
        except (KafkaError, IllegalStateError) as error:
            log.warning("offsets not committed", stage=self.stage, kind=type(error).__name__)
            return False
        return True

    async def _say_whose(self) -> None:
        """A partition that was gained says so at once, though nothing of it may be finished for long."""
        committed = {}
        with contextlib.suppress(KafkaError, IllegalStateError):
            for partition in self._ownership.take_unsaid():
                offset = await self._consumer.committed(TopicPartition(*partition))
                if offset is not None and not self._backlog.offsets.has_moved(partition, offset):
                    committed[partition] = offset
            await self._commit_with_notes(committed)

    async def _deliver_again(self) -> None:
        if self._stopping or not self._waiting.over:
            return
        offer = self._backlog.again(time.monotonic())
        if offer is not None:
            await self._deliver(offer)
        elif not self._backlog.offsets:
            self._waiting.end()  # what could not pass went to another worker, and nothing else is left to try

    def _make_room(self) -> None:
        """While too much is parked, nothing more is read of where it came from."""
        mine = self._consumer.assignment()
        crowding = {TopicPartition(*partition) for partition in self._backlog.crowding} & mine
        new = crowding - self._consumer.paused()
        self._consumer.pause(*new)
        self._consumer.resume(*(self._crowded - crowding) & mine)
        self._crowded = (self._crowded & crowding) | new

    def _gain(self, partitions: Collection[Partition]) -> None:
        self._ownership.keep_only(partitions)
        self._ownership.gain(partitions, self._runtime.ports.clock())

    def _lose(self, partitions: Collection[Partition]) -> None:
        self._backlog.forget(partitions)

    async def _wait_for_broker(self) -> None:
        self._waiting.begin(Retryable("dependency.away", name="Kafka"))
        while not self._stopping and not self._waiting.over:
            self.health.beat()
            await asyncio.sleep(0.1)

    async def _noting(self, polling: Coroutine[Any, Any, Any]) -> Any:
        """Notes a poll in the very step in which the client gives it out. Were partitions lost in between, their older
        records would be forgotten and these noted, and what is committed would pass over the older ones."""
        found = await polling
        if records := [stored(record) for records in found.values() for record in records]:
            self._noted = self._backlog.read(records)
        return found

    async def _beating(self, polling: Coroutine[Any, Any, Any]) -> Any:
        """Waits for a poll. It takes long while the group shares out its partitions anew: that is no hang."""
        task = asyncio.ensure_future(polling)
        try:
            while not (await asyncio.wait({task}, timeout=BEAT_SECONDS))[0]:
                self.health.beat()
            return task.result()
        finally:
            task.cancel()

    def _watch_polls(self, consumer: AIOKafkaConsumer) -> None:
        """What is done at each turn of FastStream's poll loop. A turn counts as progress: an idle stage is alive."""
        getmany = consumer.getmany

        async def watched(*partitions: Any, **options: Any) -> Any:
            await self._deliver_again()
            await self._say_whose()
            self._waiting.pause(consumer)
            self._make_room()
            options |= self._backlog.fetch(time.monotonic(), waiting=not self._waiting.over)
            try:
                found = await self._beating(self._noting(getmany(*partitions, **options)))
            except UnicodeDecodeError:  # FastStream would begin anew at once, and for ever
                read_any_header_name()
            except KafkaError as error:  # FastStream would sleep, and nobody would hear of it
                self._waiting.begin_for_client(error)
                await asyncio.sleep(POLL_ERROR_SECONDS)
            else:
                self.health.beat()
                self._waiting.end_for_client()
                return found
            return {}

        consumer.getmany = watched
