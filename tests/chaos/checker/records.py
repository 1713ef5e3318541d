"""Topics, raw: every record of the job, opened as docs/events.md says."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgpack
import yaml
import zstandard
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.chaos.checker.evidence import Evidence

FLOW = yaml.safe_load((Path(__file__).parents[3] / "topics.yaml").read_text())
NAMESPACE = UUID("3c8a0c52-5f0e-5d0a-9a5e-6a2b1f6d7e11")
SEALED = b"application/vnd.cradle+sealed"
BOUND = (  # in the order in which they are bound
    *("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"),
    *("content-type", "ce_keyid", "ce_document"),
)


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    headers: dict[str, bytes]
    id: UUID
    type: str
    document: str | None
    """Its id."""
    content: Any
    """None: it could not be opened."""
    digest: str
    """SHA-256 of the content as it was packed."""


@dataclass(slots=True)
class Topics:
    records: dict[str, list[Record]] = field(default_factory=dict)
    """Of the job, by topic."""
    unopened: list[Record] = field(default_factory=list)
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """By stage, topic and partition."""
    reads: dict[str, list[str]] = field(default_factory=dict)
    """Topics of each stage."""


async def read_topics(evidence: Evidence) -> Topics:
    found = Topics(reads={stage: entry["reads"] for stage, entry in FLOW["stages"].items()})
    async with _consumer(evidence.servers) as consumer:
        for topic, partitions in (await _topics(evidence.servers)).items():
            found.records[topic] = []
            async for raw in _all(consumer, partitions):
                _take(raw, evidence, found)
    admin = AIOKafkaAdminClient(bootstrap_servers=evidence.servers)
    await admin.start()
    try:
        for stage in found.reads:
            for partition, at in (await admin.list_consumer_group_offsets(stage)).items():
                found.committed[stage, partition.topic, partition.partition] = at.offset
    finally:
        await admin.close()
    return found


def _take(raw: Any, evidence: Evidence, found: Topics) -> None:
    headers = {name: content or b"" for name, content in raw.headers}
    record = _clear(raw, headers, evidence) if headers.get("content-type") != SEALED else None
    if record is None:
        if headers.get("ce_subject", b"").decode() not in ("", str(evidence.job)):
            return
        record = _sealed(raw, headers, evidence.key)
    elif record.id.int == 0:
        return
    found.records[raw.topic].append(record)
    if record.content is None:
        found.unopened.append(record)


def _clear(raw: Any, headers: dict[str, bytes], evidence: Evidence) -> Record | None:
    """An event in clear JSON; with an id of 0 if it belongs to another job. None if it is something else."""
    if headers.get("content-type") != b"application/json":
        return None
    event = json.loads(raw.value)
    mine = uuid5(NAMESPACE, f"job\0{event['customer']}\0{event['reference']}") == evidence.job
    sha256 = hashlib.sha256(raw.value).hexdigest()
    identity = uuid5(NAMESPACE, f"clear\0{sha256}") if mine else UUID(int=0)
    return Record(raw.topic, raw.partition, raw.offset, headers, identity, "clear", None, event, sha256)


def _sealed(raw: Any, headers: dict[str, bytes], key: bytes) -> Record:
    try:
        packed = _unseal(raw.value, headers, key)
        content = msgpack.unpackb(packed)
    except (InvalidTag, ValueError, zstandard.ZstdError):
        packed, content = b"", None
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        headers=headers,
        id=UUID(headers["ce_id"].decode()) if "ce_id" in headers else UUID(int=0),
        type=headers.get("ce_type", b"").decode(),
        document=headers["ce_document"].decode() if "ce_document" in headers else None,
        content=content,
        digest=hashlib.sha256(packed).hexdigest(),
    )


def _unseal(value: bytes, headers: dict[str, bytes], key: bytes) -> bytes:
    """`version | nonce (12) | ciphertext and tag`, the version and the bound headers being associated data."""
    associated = value[:1] + b"".join(
        len(name).to_bytes(2, "big") + name.encode() + len(headers[name]).to_bytes(4, "big") + headers[name]
        for name in BOUND
        if name in headers
    )
    return zstandard.ZstdDecompressor().decompress(AESGCM(key).decrypt(value[1:13], value[13:], associated))


@asynccontextmanager
async def _consumer(servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _topics(servers: str) -> dict[str, list[TopicPartition]]:
    """The partitions of every topic of the flow, dead letters included."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    return {
        one["topic"]: [TopicPartition(one["topic"], partition["partition"]) for partition in one["partitions"]]
        for one in described
        if one["topic"].removesuffix(".dlq") in FLOW["topics"]
    }


async def _all(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> AsyncIterator[Any]:
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.assign([partition])
        consumer.seek(partition, begins[partition])
        while await consumer.position(partition) < ends[partition]:
            for records in (await consumer.getmany(partition, timeout_ms=1000)).values():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record
