"""What safety costs: the real delivery on Apache Kafka and PostgreSQL, beside the same with parts of it switched off.

A delivery is driven poll by poll, as by the worker: open and skip, run the stage, publish with acks=all, record in one
transaction, commit. Switched off means: no ledger, nobody waits for what was published, and nothing is committed.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.chunker import examples
from benchmarks.services import kafka_url
from benchmarks.table import Row, paired
from consumers.app import stage_factory
from consumers.runtime import Done, Handle, Options, Outcome, Output, Ports, Received, Runtime
from consumers.runtime.delivery import Delivery
from consumers.runtime.metrics import Metrics
from consumers.runtime.worker import Worker
from cradle.flow import read_flow
from engines.extraction.parsers import InProcess
from engines.library import EngineLibrary
from infra.broker import Broker, OutgoingRecord, StoredRecord, open_broker
from infra.keys import open_keys
from infra.ledger import Ledger, NewJob, Taken, open_ledger
from infra.ledger.migrations import migrate
from infra.local.postgres import EmbeddedPostgres
from infra.progress import open_progress
from infra.staging import open_staging
from schemas import envelope
from schemas.messages import Chunk, ChunksMade, Document, DocumentAdmitted, EmbeddingsMade, Message, Vectors
from schemas.parameters import InstallationParameters
from schemas.topology import Topology
from tests.fakes import DictStore

POLL = 64
TEXT = "The heat pump's second stage starts when the buffer falls below its lower limit. " * 20
SLOW_SECONDS = 0.02
SLOW_MESSAGES = 256
AT_ONCE = 16
WARM_MESSAGES, ALL_MESSAGES = 10_000, 100_000
KEPT_BAR, BATCHED_BAR, LANES_BAR, MEMORY_BAR = 0.9, 0.1, 8.0, 1.05


# -- an installation of one job ----------------------------------------------------------------------------------------


class OneJob:
    """The runtime's view of jobs: one key and the default parameters for all."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._parameters = InstallationParameters(customer_id="acme")

    async def key(self, job: UUID) -> bytes:
        return self._key

    async def parameters(self, job: UUID) -> InstallationParameters:
        return self._parameters


class NoLedger:
    """Knows nothing and keeps nothing."""

    async def take(self, *_: Any, **__: Any) -> Taken:
        return Taken(frozenset(), {})

    async def erased_jobs(self, *_: Any) -> set[UUID]:
        return set()

    async def finished(self, *_: Any) -> set[UUID]:
        return set()

    async def record(self, *_: Any, **__: Any) -> None: ...

    async def put_down(self, *_: Any, **__: Any) -> None: ...


@dataclass
class Unwaited:
    """Publishes to the same broker, and nobody waits for its answer."""

    broker: Broker
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        task = asyncio.create_task(self.broker.publish(records))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def settle(self) -> None:
        await asyncio.gather(*self.under_way)


@dataclass(frozen=True)
class Bench:
    runtime: Runtime
    job: UUID
    committer: AIOKafkaConsumer
    suffix: str
    """Of its topics, so that no other run's records are met."""

    @property
    def unsafe(self) -> Runtime:
        runtime = self.runtime
        ports = replace(runtime.ports, ledger=cast(Ledger, NoLedger()))
        return replace(runtime, ports=ports, broker=cast(Broker, Unwaited(runtime.broker)))

    async def sealed(self, message: Message, topic: str, count: int) -> list[StoredRecord]:
        """`count` records of the message, each with an id and a key of its own."""
        key = await self.runtime.ports.jobs.key(self.job)
        made = []
        for offset in range(count):
            document = uuid4().hex
            to = envelope.Address(
                id=uuid4(),
                type=message.TYPE,
                source="/cradle/bench",
                job=self.job,
                time=self.runtime.ports.clock(),
                key_id=str(self.job),
                document=document,
            )
            headers, value = envelope.close(message, to, key=key, nonce=os.urandom(12))
            made.append(StoredRecord(topic, 0, offset, document.encode(), value, headers, 1_700_000_000_000))
        return made

    async def deliver(
        self, stage: str, handle: Handle, runtime: Runtime, records: Sequence[StoredRecord], *, poll: int = POLL
    ) -> None:
        """All of them, in polls, each committed where the runtime is the safe one."""
        delivery = Delivery(stage, handle, runtime, Metrics(stage))
        for begin in range(0, len(records), poll):
            some = records[begin : begin + poll]
            delivered = await delivery.deliver(some)
            assert len(delivered.finished) == len(some), delivered.away
            if runtime is self.runtime:
                await self.committer.commit({TopicPartition(some[0].topic, 0): some[-1].offset + 1})
        if isinstance(runtime.broker, Unwaited):
            await runtime.broker.settle()


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    suffix = f"-{uuid4().hex[:8]}"
    flow = _renamed(read_flow(), suffix)
    job = uuid4()
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cradle-bench-")))
        postgres = EmbeddedPostgres(home / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        postgres.create_database("bench")
        migrate(postgres.url("bench"))
        broker = await stack.enter_async_context(open_broker(kafka_url()))
        for name in flow.topics:
            await broker.create_topic(name, partitions=4, replication=1, config={"max.message.bytes": "2097152"})
        ledger = await stack.enter_async_context(open_ledger(postgres.url("bench")))
        await ledger.open_job(NewJob(job, "acme", "bench", 1, "f", datetime.now(UTC)))
        ports = Ports(
            staging=cast(Any, DictStore()),
            jobs=cast(Any, OneJob()),
            ledger=ledger,
            parameters=cast(Any, None),
            archive=cast(Any, None),
            engines=EngineLibrary(),
            parsers=InProcess(),
            source=cast(Any, None),
            home=home,
            base_image="",
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
        )
        runtime = Runtime(
            topology=flow,
            ports=ports,
            broker=broker,
            broker_url=kafka_url(),
            keys=await stack.enter_async_context(open_keys("memory:")),
            staging=await stack.enter_async_context(open_staging("memory:")),
            progress=await stack.enter_async_context(open_progress("memory:")),
            options=Options(poll_records=POLL),
        )
        committer = AIOKafkaConsumer(
            bootstrap_servers=kafka_url().removeprefix("kafka://"), group_id=f"bench{suffix}", enable_auto_commit=False
        )
        await committer.start()
        stack.push_async_callback(committer.stop)
        committer.assign([TopicPartition(name, 0) for name in flow.topics])
        yield Bench(runtime, job, committer, suffix)


def _renamed(flow: Topology, suffix: str) -> Topology:
    stages = {
        name: stage.model_copy(
            update={"reads": tuple(t + suffix for t in stage.reads), "writes": tuple(t + suffix for t in stage.writes)}
        )
        for name, stage in flow.stages.items()
    }
    return Topology({name + suffix: topic for name, topic in flow.topics.items()}, stages)


# -- what is measured --------------------------------------------------------------------------------------------------


def run() -> list[Row]:
    rows: list[Row] = []
    with asyncio.Runner() as runner:
        exits = AsyncExitStack()
        bench = runner.run(exits.enter_async_context(open_bench()))
        try:
            rows += [_kept("chunk", *runner.run(_documents(bench)), bench, runner)]
            rows += [_kept("embed", *runner.run(_chunks(bench)), bench, runner)]
            rows += [_batched(bench, runner), _lanes(bench, runner)]
        finally:
            runner.run(exits.aclose())
    return [*rows, _memory()]


async def _documents(bench: Bench) -> tuple[Message, str, int]:
    """A document of the examples' text, and how many of it make a round."""
    text = examples().text[:20_000].encode()
    name = await bench.runtime.ports.staging.put(bench.job, "raw", "0" * 32, text)
    document = Document(id="0" * 32, path="manual.txt", sha256="0" * 64, media_type="text/plain", size=len(text))
    return DocumentAdmitted(document=document, object=name), "chunk-ready", POLL


async def _chunks(bench: Bench) -> tuple[Message, str, int]:
    return _chunks_made(4), "chunked", POLL


def _chunks_made(count: int) -> ChunksMade:
    return ChunksMade(
        document=Document(id="0" * 32, path="manual.txt", sha256="0" * 64, media_type="text/plain", size=len(TEXT)),
        text_length=len(TEXT),
        text_start=0,
        text=TEXT,
        chunks=tuple(Chunk(ordinal=n, start=n * 80, end=n * 80 + 79, tokens=16) for n in range(count)),
    )


def _embeddings() -> EmbeddingsMade:
    return EmbeddingsMade(chunks=_chunks_made(1), vectors=Vectors(shape=(1, 8), data=bytes(32)))


def _kept(stage: str, message: Message, topic: str, count: int, bench: Bench, runner: asyncio.Runner) -> Row:
    handle = stage_factory(stage)(bench.runtime.ports)

    def through(runtime: Runtime) -> None:
        records = runner.run(bench.sealed(message, topic + bench.suffix, count))
        runner.run(bench.deliver(stage, handle, runtime, records))

    times = paired(lambda: through(bench.unsafe), lambda: through(bench.runtime), rounds=5)
    return Row(
        name=f"{stage} stage: throughput kept with ledger, acks and commits",
        measured=f"{count / times.second:.1f} messages/s",
        baseline=f"{count / times.first:.1f} messages/s, with none of them",
        ratio=times.ratio,
        bar=f"at least {KEPT_BAR}",
        passed=times.ratio >= KEPT_BAR,
    )


async def _sink(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        yield Done(one, items=1)


async def _slow(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        await asyncio.sleep(SLOW_SECONDS)
        yield Done(one, items=1)


def _batched(bench: Bench, runner: asyncio.Runner) -> Row:
    """`chunk`'s place in the flow, with a stage that answers each message with one: what is left is the hop."""
    count = 4 * POLL

    async def answer(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Done(one, (Output(_chunks_made(4), document=one.document),), items=1)

    document = Document(id="0" * 32, path="manual.txt", sha256="0" * 64, media_type="text/plain", size=1)
    message = DocumentAdmitted(document=document, object="raw/none")

    def through(poll: int) -> None:
        records = runner.run(bench.sealed(message, "chunk-ready" + bench.suffix, count))
        runner.run(bench.deliver("chunk", answer, bench.runtime, records, poll=poll))

    times = paired(lambda: through(POLL), lambda: through(1), rounds=3)
    return Row(
        name=f"hop: a message in polls of {POLL}",
        measured=f"{times.first / count * 1e3:.2f} ms",
        baseline=f"{times.second / count * 1e3:.2f} ms, one by one",
        ratio=times.ratio,
        bar=f"at most {BATCHED_BAR}",
        passed=times.ratio <= BATCHED_BAR,
    )


def _lanes(bench: Bench, runner: asyncio.Runner) -> Row:
    """One partition's records, each with a key of its own, at a stage that waits 20 ms a message."""

    def through(at_once: int) -> None:
        stages = {**bench.runtime.topology.stages}
        stages["pack"] = stages["pack"].model_copy(update={"at_once": at_once})
        runtime = replace(bench.runtime, topology=Topology(bench.runtime.topology.topics, stages))
        records = runner.run(bench.sealed(_embeddings(), "embedded" + bench.suffix, SLOW_MESSAGES))
        runner.run(bench.deliver("pack", _slow, runtime, records))

    times = paired(lambda: through(1), lambda: through(AT_ONCE), rounds=2)
    return Row(
        name=f"slow stage: rate from one partition, {AT_ONCE} documents at a time",
        measured=f"{SLOW_MESSAGES / times.second:.0f} messages/s",
        baseline=f"{SLOW_MESSAGES / times.first:.0f} messages/s, one at a time",
        ratio=times.ratio,
        bar=f"at least {LANES_BAR:.0f} times",
        passed=times.ratio >= LANES_BAR,
    )


def _memory() -> Row:
    """In a process of its own, so that nothing else is in it."""
    child = subprocess.run([sys.executable, "-m", "benchmarks.safety"], capture_output=True, text=True, check=True)
    warm, full = json.loads(child.stdout.splitlines()[-1])
    return Row(
        name=f"resident memory of a worker after {ALL_MESSAGES:,} messages",
        measured=f"{full / 2**20:.0f} MiB",
        baseline=f"{warm / 2**20:.0f} MiB, after {WARM_MESSAGES:,}",
        ratio=full / warm,
        bar=f"at most {MEMORY_BAR}",
        passed=full / warm <= MEMORY_BAR,
    )


async def _grow() -> tuple[int, int]:
    """Resident bytes of a worker after WARM_MESSAGES and after ALL_MESSAGES."""
    async with open_bench() as bench:
        worker = Worker("pack", _sink, bench.runtime)
        await worker.start()
        resident = {}
        for done in range(0, ALL_MESSAGES, 5_000):
            records = await bench.sealed(_embeddings(), "embedded" + bench.suffix, 5_000)
            await bench.runtime.broker.publish(
                [OutgoingRecord(one.topic, one.key or b"", one.value, one.headers) for one in records]
            )
            del records
            while worker.metrics.done._value.get() < done + 5_000:  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            gc.collect()
            resident[done + 5_000] = int(psutil.Process().memory_info().rss)
        await worker.stop()
        return resident[WARM_MESSAGES], resident[ALL_MESSAGES]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_grow())))
