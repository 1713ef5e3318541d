"""A hop: CPU time of one message through the runtime, beside a bare aiokafka loop that does the same work.

Both read sealed messages from a topic of Apache Kafka, open them, ask the ledger which are finished, seal one answer
each, publish it with acks=all, record the outcomes in PostgreSQL in one transaction a poll, and commit the offsets.
What the bare loop lacks is what the runtime is for: FastStream, the stage contract, attempts, dead letters, metrics.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.services import kafka_url
from benchmarks.table import Row
from consumers.runtime import Done, Options, Outcome, Output, Ports, Received, Runtime
from consumers.runtime.worker import Worker
from infra import ledger
from infra.broker import OutgoingRecord, open_broker
from infra.keys import open_keys
from infra.ledger import open_ledger
from infra.ledger.migrations import migrate
from infra.local.postgres import EmbeddedPostgres
from infra.progress import open_progress
from infra.staging import open_staging
from schemas import envelope, ids
from schemas.messages import Chunk, ChunksMade, Document, Message
from schemas.topology import Key, Stage, Topic, Topology

MESSAGES = 2000
ROUNDS = 5
POLL = 64
TEXT = "The heat pump's second stage starts when the buffer falls below its lower limit. " * 20
BAR = 1.25


class OneKey:
    """The runtime's view of jobs: one key for all."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    async def key(self, job: UUID) -> bytes:
        return self._key


@dataclass(frozen=True)
class Bench:
    runtime: Runtime
    stage: str
    bare_group: str
    inputs: dict[str, str]
    """Input topic of each contender."""
    job: UUID


async def measure() -> tuple[float, float]:
    """CPU seconds a message: the runtime's and the bare loop's, medians over rounds that take turns."""
    async with _bench() as bench:
        taken: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
        for _ in range(ROUNDS):
            for contender, contend in CONTENDERS.items():
                await _publish_inputs(bench, bench.inputs[contender])
                taken[contender].append(await contend(bench) / MESSAGES)
        return statistics.median(taken["runtime"]), statistics.median(taken["bare"])


async def echo(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        yield Done(one, (Output(one.message, document=one.document),), items=1)


async def _through_runtime(bench: Bench) -> float:
    worker = Worker(bench.stage, echo, bench.runtime)
    await worker.start()
    begun = time.process_time()
    while worker.metrics.done._value.get() < MESSAGES:  # type: ignore[attr-defined]  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    taken = time.process_time() - begun
    await worker.stop()
    return taken


async def _through_bare_loop(bench: Bench) -> float:
    runtime = bench.runtime
    jobs, store = runtime.ports.jobs, runtime.ports.ledger
    consumer = AIOKafkaConsumer(
        bench.inputs["bare"],
        bootstrap_servers=runtime.broker_url.removeprefix("kafka://"),
        group_id=bench.bare_group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    begun, count = time.process_time(), 0
    while count < MESSAGES:
        polled = await consumer.getmany(timeout_ms=200, max_records=POLL)
        records = [record for batch in polled.values() for record in batch]
        if not records:
            continue
        opened = []
        for record in records:
            address = envelope.address(record.headers)
            key = await jobs.key(address.job)
            opened.append((address, envelope.open_sealed(record.headers, record.value, key=key)))
        finished = await store.finished(bench.bare_group, [address.id for address, _ in opened])
        await store.erased_jobs(list({address.job for address, _ in opened}))
        outgoing, outcomes = [], []
        for address, message in opened:
            if address.id in finished:
                continue
            outgoing.append(_sealed(bench, "answers", message, ids.message_id(address.job, "bare", address.id, 0), key))
            outcomes.append(ledger.Outcome(message=address.id, job=address.job, document=address.document, items=1))
        await runtime.broker.publish(outgoing)
        await store.record(bench.bare_group, outcomes, now=runtime.ports.clock())
        await consumer.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        count += len(records)
    taken = time.process_time() - begun
    await consumer.stop()
    return taken


CONTENDERS = {"runtime": _through_runtime, "bare": _through_bare_loop}


def _sealed(bench: Bench, topic: str, message: Message, message_id: UUID, key: bytes) -> OutgoingRecord:
    address = envelope.Address(
        id=message_id,
        type=message.TYPE,
        source="/cradle/bench",
        job=bench.job,
        time=bench.runtime.ports.clock(),
        key_id=str(bench.job),
        document="0" * 32,
    )
    headers, value = envelope.close(message, address, key=key, nonce=os.urandom(12))
    return OutgoingRecord(topic if topic != "answers" else f"answers-{bench.stage}", b"0" * 32, value, headers)


async def _publish_inputs(bench: Bench, topic: str) -> None:
    key = await bench.runtime.ports.jobs.key(bench.job)
    message = ChunksMade(
        document=Document(id="0" * 32, path="manual.txt", sha256="0" * 64, media_type="text/plain", size=len(TEXT)),
        text_length=len(TEXT),
        text_start=0,
        text=TEXT,
        chunks=tuple(Chunk(ordinal=n, start=n * 80, end=n * 80 + 79, tokens=16) for n in range(20)),
    )
    for start in range(0, MESSAGES, 500):
        batch = [_sealed(bench, topic, message, uuid4(), key) for _ in range(start, start + 500)]
        await bench.runtime.broker.publish(batch)


@asynccontextmanager
async def _bench() -> AsyncIterator[Bench]:
    name = uuid4().hex[:8]
    stage = f"hop{name}"
    topic = Topic(type=ChunksMade.TYPE, key=Key.DOCUMENT, partitions=4, retention="1h", max_bytes="1MiB")  # type: ignore[arg-type]
    inputs = {"runtime": f"questions-{stage}", "bare": f"bare-questions-{stage}"}
    answers = f"answers-{stage}"
    topology = Topology(
        topics={inputs["runtime"]: topic, answers: topic},
        stages={stage: Stage(reads=(inputs["runtime"],), writes=(answers,), version=1)},
    )
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cradle-bench-")))
        postgres = EmbeddedPostgres(home / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        postgres.create_database("bench")
        migrate(postgres.url("bench"))
        broker = await stack.enter_async_context(open_broker(kafka_url()))
        for created in (*inputs.values(), answers):
            await broker.create_topic(created, partitions=4, replication=1, config={"max.message.bytes": "2097152"})
        store = await stack.enter_async_context(open_ledger(postgres.url("bench")))
        ports = Ports(
            staging=cast(Any, None),
            jobs=cast(Any, OneKey()),
            ledger=store,
            parameters=cast(Any, None),
            archive=cast(Any, None),
            engines=cast(Any, None),
            source=cast(Any, None),
            home=home,
            base_image="",
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
        )
        runtime = Runtime(
            topology=topology,
            ports=ports,
            broker=broker,
            broker_url=kafka_url(),
            keys=await stack.enter_async_context(open_keys("memory:")),
            staging=await stack.enter_async_context(open_staging("memory:")),
            progress=await stack.enter_async_context(open_progress("memory:")),
            options=Options(poll_records=POLL),
        )
        yield Bench(runtime, stage, f"bare{name}", inputs, uuid4())


def run() -> list[Row]:
    runtime, bare = asyncio.run(measure())
    ratio = runtime / bare
    return [
        Row(
            name="hop on Apache Kafka: CPU a message",
            measured=f"{runtime * 1e6:.0f} µs",
            baseline=f"{bare * 1e6:.0f} µs, bare aiokafka loop",
            ratio=ratio,
            bar=f"at most {BAR}",
            passed=ratio <= BAR,
        )
    ]
