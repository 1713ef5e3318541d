"""Kafka as a foreign client sees it: publish, read again, delete, compare offsets. Nothing of the product is used."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from tests.chaos.documents import Source
from tests.chaos.world import CUSTOMER, ROOT, file_url

FLOW: Final = yaml.safe_load((ROOT / "topics.yaml").read_text())
READ_BY: Final[dict[str, list[str]]] = {stage: entry["reads"] for stage, entry in FLOW["stages"].items()}
INNER: Final = tuple(topic for reads in READ_BY.values() for topic in reads if "origin" not in FLOW["topics"][topic])
"""Topics that stages write for stages."""
AWAY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Raw:
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Wire:
    def __init__(self, servers: str) -> None:
        self._servers = servers

    async def publish(self, records: Sequence[Raw], *, anywhere: random.Random | None = None) -> None:
        """Waits for a broker that is away. `anywhere`: into partitions drawn, instead of that of the key."""
        deadline = asyncio.get_running_loop().time() + AWAY_SECONDS
        left = list(records)
        while left:
            try:
                async with self._producer() as producer:
                    while left:
                        record = left[0]
                        partitions = sorted(await producer.partitions_for(record.topic))
                        await producer.send_and_wait(
                            record.topic,
                            record.value,
                            key=record.key,
                            headers=list(record.headers),
                            partition=anywhere.choice(partitions) if anywhere else None,
                        )
                        del left[0]
            except (KafkaError, OSError):
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def newest(self, topic: str, count: int) -> list[Raw]:
        """The last few records of each partition."""
        async with self._consumer() as consumer:
            found: list[Raw] = []
            for partition, (begin, end) in (await self._ranges(consumer, topic)).items():
                found += await self._read(consumer, partition, max(begin, end - count), end)
            return found

    async def truncate(self, topic: str) -> None:
        """Deletes every record the topic holds now."""
        async with self._consumer() as consumer:
            ranges = await self._ranges(consumer, topic)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        try:
            await admin.delete_records({p: RecordsToDelete(before_offset=end) for p, (_, end) in ranges.items()})
        finally:
            await admin.close()

    async def behind(self) -> int:
        """Records that some stage has not committed yet."""
        return sum([await self.unread(stage) for stage in READ_BY])

    async def unread(self, stage: str) -> int:
        """Records that the stage has not committed yet."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        try:
            committed = await admin.list_consumer_group_offsets(stage)
        finally:
            await admin.close()
        total = 0
        async with self._consumer() as consumer:
            for topic in READ_BY[stage]:
                for partition, (begin, end) in (await self._ranges(consumer, topic)).items():
                    at = committed.get(partition)
                    total += end - max(begin, at.offset if at is not None else 0)
        return total

    @asynccontextmanager
    async def _producer(self) -> Any:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, enable_idempotence=True, acks="all")
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    async def _ranges(self, consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        partitions = [TopicPartition(topic, number) for number in range(FLOW["topics"][topic]["partitions"])]
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {partition: (begins[partition], ends[partition]) for partition in partitions}

    async def _read(self, consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int) -> list[Raw]:
        consumer.assign([partition])
        consumer.seek(partition, start)
        found: list[Raw] = []
        while start < end and await consumer.position(partition) < end:
            for records in (await consumer.getmany(partition, timeout_ms=1000)).values():
                found += [
                    Raw(record.topic, record.partition, record.key, record.value, tuple(record.headers))
                    for record in records
                    if record.offset < end
                ]
        return found


def submission(reference: str, folder: Any, sources: Sequence[Source], manifest: int | None = None) -> Raw:
    """An ingest event in clear JSON, as docs/ingest.md has it."""
    event: dict[str, Any] = {"customer": CUSTOMER, "reference": reference}
    if sources:
        event["documents"] = [
            {"path": source.path, "uri": file_url(folder / source.path), "sha256": source.facts[0].sha256}
            for source in sources
        ]
    if manifest is not None:
        event["manifest"] = {"documents": manifest}
    return Raw("ingest", 0, CUSTOMER.encode(), json.dumps(event).encode(), (("content-type", b"application/json"),))
