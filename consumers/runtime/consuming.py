"""FastStream on aiokafka, bent to our delivery: polls of raw records, and no acknowledgement but our own commits.

FastStream's own acknowledgement is off: by default it commits before the work is done. Its parser is replaced, since
it decodes headers and drops a whole poll for one that is not text. What a handler raises it swallows, after which the
consumer would go on past the failed poll; so a handler must raise nothing.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from consumers.runtime.offsets import Partition
from consumers.runtime.runtime import Runtime
from infra.broker import StoredRecord

SESSION_MS = 10_000
"""After how long without a heartbeat the group gives a member's partitions to others."""
NAMED_SESSION_MS = 30_000
"""The same for a member with a name of its own, which comes back: longer than a drain and a start take together."""
EMPTY_FETCH_SECONDS = 0.1
EMPTY_POLL_MS = 10
"""What FastStream sleeps after a poll that brought nothing, besides what the poll itself has waited."""
LEAVING_SECONDS = 1.0
"""What FastStream may take to end the poll loop, after the poll in hand was drained or cut off."""


def subscription(
    stage: str, runtime: Runtime, *, client_id: str, listener: ConsumerRebalanceListener
) -> tuple[KafkaBroker, Any]:
    """FastStream's broker, and its subscriber to a stage's topics in the group named after the stage; not started."""
    options = runtime.options
    broker = KafkaBroker(
        runtime.broker_url.removeprefix("kafka://").split(","),
        logger=_quiet(),
        client_id=client_id,
        graceful_timeout=LEAVING_SECONDS,
        allow_auto_create_topics=False,
        apply_types=False,
    )
    subscriber = broker.subscriber(
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
        listener=listener,
        parser=_raw_poll,
        decoder=_records,
    )
    return broker, subscriber


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka tells no types
    def __init__(
        self, lose: Callable[[Collection[Partition]], None], gain: Callable[[Collection[Partition]], None]
    ) -> None:
        self._lose, self._gain = lose, gain

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._lose({(partition.topic, partition.partition) for partition in revoked})

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._gain({(partition.topic, partition.partition) for partition in assigned})


def keep_polling(consumer: AIOKafkaConsumer) -> None:
    """Lets the client believe that somebody waits for records at all times.

    Otherwise it leaves the group when a poll is worked on for longer than the poll interval, as if to say that nobody
    is there. Its heartbeats say that we are, and our own beats whether the stage moves.
    """
    consumer._subscription._fetch_count += 1


def pace_empty_fetches(consumer: AIOKafkaConsumer) -> None:
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


def stored(record: Any) -> StoredRecord:
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
