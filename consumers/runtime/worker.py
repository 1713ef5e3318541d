"""Consumes a stage's topics with FastStream on aiokafka: batches, manual acknowledgement with explicit offsets.

FastStream's own acknowledgement is off: by default it commits before the work is done. Its parser is replaced, since
it decodes headers and drops a whole poll for one that is not text. What a handler raises it swallows, after which the
consumer would go on past the failed poll; so nothing is raised here.

No partition is ever sought back. What a poll leaves unfinished is kept in memory and offered to the stage again before
the next fetch: what a dependency kept back as soon as the wait is over, what the stage held when its time has come.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from consumers.runtime.contract import Handle
from consumers.runtime.delivery import Delivered, Delivery
from consumers.runtime.health import Health
from consumers.runtime.metrics import Metrics
from consumers.runtime.offsets import Offsets, Partition, offset_of, partition_of
from consumers.runtime.ownership import Ownership, worker_name
from consumers.runtime.parking import Parking
from consumers.runtime.runtime import Runtime
from consumers.runtime.waiting import Waiting
from infra.broker import StoredRecord
from infra.broker.header_names import read_any_header_name
from infra.waits import WaitNote
from schemas.errors import Retryable

log = structlog.get_logger()

SESSION_MS = 10_000
"""After how long without a heartbeat the group gives a member's partitions to others."""
NAMED_SESSION_MS = 30_000
"""The same for a member with a name of its own, which comes back: longer than a drain and a start take together."""
BEAT_SECONDS = 1.0
EMPTY_FETCH_SECONDS = 0.1
EMPTY_POLL_MS = 10
"""What FastStream sleeps after a poll that brought nothing, besides what the poll itself has waited."""
POLL_ERROR_SECONDS = 1.0
"""Between two polls that end in an error of the client. It may never come back, so such a poll is no progress."""
PUTTING_DOWN_SECONDS = 1.0
"""What a poll that was cut off may take to tell the ledger what is no longer in hand."""
LEAVING_SECONDS = 1.0
"""What FastStream may take to end the poll loop, after the poll in hand was drained or cut off."""


class Worker:
    """One member of a stage's consumer group, named after the stage."""

    def __init__(self, stage: str, handle: Handle, runtime: Runtime) -> None:
        self.stage = stage
        self.metrics = Metrics(stage)
        self.health = Health(stage, runtime.stuck_seconds(stage), beat_file=runtime.options.beat_file)
        self._runtime = runtime
        self._delivery = Delivery(stage, handle, runtime, self.metrics, self.health.beat)
        options = runtime.options
        self._offsets = Offsets()
        self._ownership = Ownership(worker_name(stage, options.instance))
        self._parking = Parking(most_records=options.parked_records, most_bytes=options.parked_bytes)
        self._again: list[StoredRecord] = []
        self._crowded: set[TopicPartition] = set()
        self._stopping = False
        note = WaitNote(options.waiting_notes, stage) if options.waiting_notes else None
        self._waiting = Waiting(self.health, self.metrics, seconds=options.retry_seconds, note=note)
        self._lookout: asyncio.Task[None] | None = None
        self._poll: asyncio.Task[None] | None = None
        self._broker = KafkaBroker(
            runtime.broker_url.removeprefix("kafka://").split(","),
            logger=_quiet(),
            client_id=self._ownership.worker,
            graceful_timeout=LEAVING_SECONDS,
            allow_auto_create_topics=False,
            apply_types=False,
        )
        self._subscriber = self._broker.subscriber(
            *runtime.topology.stages[stage].reads,
            batch=True,
            group_id=stage,
            group_instance_id=options.instance,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            max_records=options.poll_records,
            batch_timeout_ms=EMPTY_POLL_MS,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            max_poll_interval_ms=int(options.poll_interval * 1000),
            session_timeout_ms=NAMED_SESSION_MS if options.instance else SESSION_MS,
            heartbeat_interval_ms=2_000,
            listener=_Listener(self._lose, self._gain),
            parser=_raw_poll,
            decoder=_records,
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
        _keep_polling(self._consumer)
        self._watch_polls(self._consumer)
        _pace_empty_fetches(self._consumer)
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
        await self._broker.stop()
        self._waiting.close()

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        assert consumer is not None
        return consumer

    async def _on_poll(self, records: tuple[Any, ...]) -> None:
        if self._stopping:
            return
        poll = [_stored(record) for record in records]
        self._let_go(self._offsets.read(poll))
        await self._deliver(poll, behind=self._parking.lanes)

    async def _deliver(self, poll: list[StoredRecord], *, behind: Collection[str] = ()) -> None:
        """One delivery at a time: FastStream's loop fetches, then hands over, then fetches again."""
        self._poll = asyncio.create_task(self._deliver_and_commit(poll, behind))
        try:
            await self._poll
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    async def _deliver_and_commit(self, poll: list[StoredRecord], behind: Collection[str]) -> None:
        with self.metrics.poll_seconds.time():
            try:
                delivered = await self._delivery.deliver(poll, behind=behind)
            except Exception as error:  # a mistake of ours: nothing is committed, and the poll is tried again
                delivered = Delivered(away=Retryable("delivery.broken", kind=type(error).__name__))
            self._keep(poll, delivered)
            await self._commit()
        if delivered.away is not None:
            self._waiting.begin(delivered.away)
        else:
            self._waiting.end()

    def _keep(self, poll: list[StoredRecord], delivered: Delivered) -> None:
        """Parks what the stage held, and keeps what has no outcome: not what went to another worker meanwhile."""
        now = time.monotonic()
        self._offsets.finish(delivered.finished)
        self._parking.finish(delivered.finished)
        for held in delivered.held:
            if self._offsets.is_unfinished(held.record):
                self._parking.park(held.record, held.lane, now + held.seconds)
        self._again = [
            record
            for record in {offset_of(record): record for record in (*self._again, *poll)}.values()
            if self._offsets.is_unfinished(record) and record not in self._parking
        ]
        self.metrics.parked.set(len(self._parking))

    async def _commit(self) -> None:
        """Commits what is finished. A refusal (the group has moved on) costs one skip by whoever has the partition."""
        mine = self._consumer.assignment()
        offsets = {p: offset for p, offset in self._offsets.committable().items() if TopicPartition(*p) in mine}
        if await self._commit_with_notes(offsets):
            self._offsets.committed(offsets)

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
                if offset is not None and not self._offsets.has_moved(partition, offset):
                    committed[partition] = offset
            await self._commit_with_notes(committed)

    async def _offer_again(self) -> None:
        """What earlier polls left, where its time has come."""
        if self._stopping or not self._waiting.over:
            return
        if self._again:
            await self._deliver(self._again, behind=self._parking.lanes)
            return
        options = self._runtime.options
        due = self._parking.due(time.monotonic(), each=options.offer_records, most=options.poll_records)
        if due:
            await self._deliver(due)

    def _make_room(self) -> None:
        """While too much is parked, nothing more is read of where it came from."""
        mine = self._consumer.assignment()
        if self._parking.is_full:
            crowding = {TopicPartition(*partition) for partition in self._parking.partitions} & mine
            new = crowding - self._consumer.paused()
            self._consumer.pause(*new)
            self._crowded |= new
        elif self._crowded:
            self._consumer.resume(*self._crowded & mine)
            self._crowded.clear()

    def _fetch_options(self) -> dict[str, int]:
        """How long the next fetch may wait for a record, and how many it may bring."""
        options = self._runtime.options
        due = self._parking.next_due
        if due is None:
            return {"timeout_ms": int(options.poll_wait * 1000), "max_records": options.poll_records}
        seconds = min(options.poll_wait, max(0.0, due - time.monotonic()))
        return {"timeout_ms": int(seconds * 1000), "max_records": max(options.poll_records, options.read_ahead)}

    def _gain(self, partitions: Collection[Partition]) -> None:
        self._ownership.keep_only(partitions)
        self._ownership.gain(partitions, self._runtime.ports.clock())

    def _lose(self, partitions: Collection[Partition]) -> None:
        """They are another worker's, or read anew from what is committed."""
        self._offsets.forget(partitions)
        self._let_go(partitions)

    def _let_go(self, partitions: Collection[Partition]) -> None:
        self._parking.forget(partitions)
        self._again = [record for record in self._again if partition_of(record) not in partitions]

    async def _wait_for_broker(self) -> None:
        self._waiting.begin(Retryable("dependency.away", name="Kafka"))
        while not self._stopping and not self._waiting.over:
            self.health.beat()
            await asyncio.sleep(0.1)

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
            await self._offer_again()
            await self._say_whose()
            self._waiting.pause(consumer)
            self._make_room()
            options |= self._fetch_options()
            try:
                found = await self._beating(getmany(*partitions, **options))
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


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka tells no types
    def __init__(
        self, lose: Callable[[Collection[Partition]], None], gain: Callable[[Collection[Partition]], None]
    ) -> None:
        self._lose, self._gain = lose, gain

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._lose({(partition.topic, partition.partition) for partition in revoked})

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._gain({(partition.topic, partition.partition) for partition in assigned})


def _keep_polling(consumer: AIOKafkaConsumer) -> None:
    """Lets the client believe that somebody waits for records at all times.

    Otherwise it leaves the group when a poll is worked on for longer than the poll interval, as if to say that nobody
    is there. Its heartbeats say that we are, and our own beats whether the stage moves.
    """
    consumer._subscription._fetch_count += 1


def _pace_empty_fetches(consumer: AIOKafkaConsumer) -> None:
    """Lets a fetch that brings nothing take EMPTY_FETCH_SECONDS.

    Kafka holds such a fetch back by itself; the embedded broker answers at once, and an idle consumer would ask it
    again some 400 times a second.
    """
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def paced(*request: Any) -> bool:
        begun = time.monotonic()
        found: bool = await fetch(*request)
        if not found:
            with contextlib.suppress(asyncio.CancelledError):  # the fetcher cancels its requests, and awaits an answer
                await asyncio.sleep(EMPTY_FETCH_SECONDS - (time.monotonic() - begun))
        return found

    fetcher._proc_fetch_request = paced


async def _raw_poll(records: tuple[Any, ...]) -> KafkaMessage:
    """FastStream's parser, replaced: headers stay bytes."""
    return KafkaMessage(raw_message=records, body=b"", consumer=FAKE_CONSUMER)


async def _records(message: KafkaMessage) -> Any:
    """FastStream's decoder, replaced: the handler gets the records as they are."""
    return message.raw_message


def _stored(record: Any) -> StoredRecord:
    headers: list[tuple[str, bytes]] = [(name, content or b"") for name, content in record.headers]
    return StoredRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value or b"",
        headers=headers,
        timestamp_ms=record.timestamp,
    )


def _quiet() -> logging.Logger:
    """FastStream's own log: errors only, since it would tell every poll and warn of topics that we make ourselves."""
    logger = logging.getLogger("cradle.faststream")
    logger.setLevel(logging.ERROR)
    return logger
