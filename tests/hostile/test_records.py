"""100,000 hostile records at every stage that reads: each is answered, none ends a worker, and memory stays flat."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psutil
import pytest

from consumers.app import stage_factory
from consumers.runtime.delivery import Delivery
from consumers.runtime.metrics import Metrics
from consumers.runtime.runtime import Runtime
from cradle.compose import migrate, open_runtime, resolve
from cradle.flow import read_flow
from cradle.settings import Settings
from infra.broker import OutgoingRecord, StoredRecord
from operations.customers import add_customer, add_parameters
from operations.jobs import open_job
from schemas.errors import CATALOGUE
from schemas.topology import DEAD_LETTER_SUFFIX
from tests.hostile.records import hostile_records

FLOW = read_flow()
TOPICS = [topic for topic, readers in FLOW.readers.items() if readers]
SEED = 20261123
RECORDS = 100_000
POLL = 500
WARM = 20_000
"""Records after which the caches are full: memory is held against what it is then."""


@dataclass
class Sink:
    """A broker that keeps nothing but counts, so that what grows is ours."""

    codes: Counter[str] = field(default_factory=Counter)
    published: Counter[str] = field(default_factory=Counter)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        for record in records:
            self.published[record.topic] += 1
            if record.topic.endswith(DEAD_LETTER_SUFFIX):
                self.codes[dict(record.headers)["cradle_code"].decode()] += 1


@pytest.fixture
async def runtime(tmp_path: Path, postgres_url: str) -> AsyncIterator[Runtime]:
    """With a ledger on disk: what it keeps of each record is no memory of a worker's."""
    memory: dict[str, Any] = dict.fromkeys(("broker_url", "staging_url", "keys_url", "progress_url"), "memory:")
    settings = Settings(home=tmp_path, ledger_url=postgres_url, parameters_url=postgres_url, **memory)
    migrate(resolve(settings))
    async with AsyncExitStack() as exits:
        yield replace(await exits.enter_async_context(open_runtime(settings, FLOW)), broker=cast(Any, Sink()))


async def open_a_job(runtime: Runtime) -> tuple[UUID, bytes]:
    await add_customer("acme", store=runtime.ports.parameters, window=100_000)
    await add_parameters(
        "acme",
        {"embedding_config": {"model": "fake"}, "vision_config": {"engine": "fake"}},
        store=runtime.ports.parameters,
    )
    opened = await open_job(
        "acme",
        "hostile",
        parameters=runtime.ports.parameters,
        ledger=runtime.ports.ledger,
        keys=runtime.keys,
        topology=FLOW,
        clock=runtime.ports.clock,
    )
    return opened.id, opened.key


async def test_each_is_answered_and_memory_stays_flat(runtime: Runtime) -> None:
    job, key = await open_a_job(runtime)
    sink = cast(Sink, runtime.broker)
    deliveries = {
        stage: Delivery(stage, stage_factory(stage)(runtime.ports), runtime, Metrics(stage)) for stage in FLOW.stages
    }
    kinds: Counter[str] = Counter()
    resident = 0
    done = 0
    stream = islice(hostile_records(FLOW, TOPICS, seed=SEED, job=job, key=key), RECORDS)
    while records := [*islice(stream, POLL)]:
        kinds.update(kind for kind, _ in records)
        for stage, poll in by_stage([record for _, record in records], offset=done):
            delivered = await deliveries[stage].deliver(poll)
            left = [one.offset for one in poll if (one.topic, one.partition, one.offset) not in delivered.finished]
            assert not left, f"{stage}: no answer for {len(left)} of {dict(kinds)}; waits for {delivered.away}"
        done += len(records)
        if done == WARM:
            resident = settled_memory()
    assert settled_memory() < 1.05 * resident
    assert sink.codes.keys() <= CATALOGUE.keys()
    assert "delivery.unexpected" not in sink.codes, "an error that nobody foresaw"
    assert sum(sink.codes.values()) > RECORDS / 2
    print(f"\n{done} records, {len(kinds)} kinds; {resident / 2**20:.0f} MiB, then {settled_memory() / 2**20:.0f} MiB")
    print(dict(sink.codes.most_common()))


def by_stage(records: Sequence[OutgoingRecord], *, offset: int) -> Iterator[tuple[str, list[StoredRecord]]]:
    for stage, entry in FLOW.stages.items():
        mine = [record for record in records if record.topic in entry.reads]
        if mine:
            yield stage, [stored(record, offset + number) for number, record in enumerate(mine)]


def stored(record: OutgoingRecord, offset: int) -> StoredRecord:
    return StoredRecord(record.topic, 0, offset, record.key, record.value, record.headers, 1_700_000_000_000)


def settled_memory() -> int:
    """Resident bytes of this process, after a collection."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)
