"""What is lost, what is not, and what only the upstream can mend; on a flow in memory that is driven by hand."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import cast
from uuid import UUID

import pytest

from consumers.admit.core import PIECE
from cradle.flow import read_flow
from infra.broker import OutgoingRecord, StoredRecord, open_broker
from infra.broker.memory import MemoryBroker
from infra.keys import Keys, open_keys
from infra.ledger import JobState, Ledger, NewDocument, NewJob, Outcome, Unit, open_ledger
from infra.staging import open_staging
from infra.staging.sealed import SealedStaging
from operations.jobs import seal_path
from operations.reconcile import Bench, Reconciled, reconcile
from operations.reconcile.mending import PER_EVENT
from operations.reconcile.reconciling import report
from schemas import envelope
from schemas.errors import CradleError
from schemas.ids import document_id, job_id, message_id
from schemas.letters import Postmark
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest
from schemas.sealing import NONCE_BYTES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLOW = read_flow()
SHA = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of b"foo", which every document says
JOB = job_id("acme", "r")


def entropy(count: int) -> bytes:
    return bytes(count)


@dataclass
class World:
    broker: MemoryBroker
    ledger: Ledger
    keys: Keys
    bench: Bench
    events: Iterator[int] = field(default_factory=count)

    async def open_job(self, reference: str = "r") -> UUID:
        job = job_id("acme", reference)
        await self.keys.create(job)
        await self.ledger.open_job(
            NewJob(id=job, customer="acme", reference=reference, parameters=1, fingerprint="f", opened_at=NOW)
        )
        return job

    async def submit(self, *paths: str, manifest: int | None = None, reference: str = "r") -> UUID:
        """As the producer does."""
        job = await self.open_job(reference)
        key = await self.keys.fetch(str(job))
        references = []
        for path in paths:
            name = await self.sealed.put(job, "raw", document_id(key, path, SHA), b"foo")
            references.append(DocumentReference(path=path, uri=f"staged:{name}", sha256=SHA))
        closing = None if manifest is None else Manifest(documents=manifest)
        event = DocumentsSubmitted(customer="acme", reference=reference, documents=tuple(references), manifest=closing)
        identity = message_id(job, "producer", job, next(self.events))
        await self.publish("ingest", event, identity, job, None)
        return job

    @property
    def sealed(self) -> SealedStaging:
        return cast(SealedStaging, self.bench.unsealed)

    async def publish(
        self, topic: str, message: DocumentsSubmitted | None, id_: UUID, job: UUID, document: str | None
    ) -> None:
        type_ = FLOW.topics[topic].type
        to = envelope.Address(id_, type_, "/test", job, NOW, str(job), document)
        headers: Sequence[tuple[str, bytes]] = to.headers()
        value = b"sealed"
        if message is not None:
            key = await self.keys.fetch(str(job))
            headers, value = envelope.close(message, to, key=key, nonce=bytes(NONCE_BYTES))
        await self.broker.publish([OutgoingRecord(topic, b"key", value, headers)])

    # -- the stages -----------------------------------------------------------------------------------------------

    async def unread(self, stage: str) -> list[tuple[StoredRecord, envelope.Address]]:
        """Records that the stage has no outcome of. It has read them all then."""
        found = []
        for topic in FLOW.stages[stage].reads:
            for record in self.broker.records(topic):
                if record.offset >= self.broker.committed(stage, topic, 0):
                    found.append((record, envelope.address(record.headers)))
            ends = await self.broker.ranges(topic)
            self.broker.commit(stage, topic, 0, ends[0].end)
        finished = await self.ledger.finished(stage, [to.id for _, to in found])
        return [(record, to) for record, to in found if to.id not in finished]

    async def admit(self) -> None:
        for record, to in await self.unread("admit"):
            key = await self.keys.fetch(str(to.job))
            event = cast(DocumentsSubmitted, envelope.open_sealed(record.headers, record.value, key=key))
            opens, met = [], []
            for one in event.documents:
                document = document_id(key, one.path, SHA)
                unit = Unit(message_id(to.job, "admit", UUID(document), 0), "chunk", document)
                await self.publish("chunk-ready", None, unit.message, to.job, document)
                opens.append(unit)
                met.append(NewDocument(document, seal_path(key, document, one.path, nonce=bytes(NONCE_BYTES))))
            manifest = event.manifest.documents if event.manifest else None
            outcome = Outcome(to.id, to.job, None, opens=tuple(opens), documents=tuple(met), manifest=manifest)
            await self.ledger.record("admit", [outcome], now=NOW)

    async def run(self, *stages: str) -> None:
        for stage in stages:
            for _, to in await self.unread(stage):
                opens = []
                for topic in FLOW.stages[stage].writes:
                    id_ = message_id(to.job, stage, to.id, 0)
                    await self.publish(topic, None, id_, to.job, to.document)
                    opens += [Unit(id_, reader, to.document) for reader in FLOW.readers[topic]]
                outcome = Outcome(to.id, to.job, to.document, opens=tuple(opens))
                await self.ledger.record(stage, [outcome], now=NOW)

    async def run_all(self) -> None:
        await self.admit()
        await self.run("chunk", "embed", "pack")

    # -- what is lost ---------------------------------------------------------------------------------------------

    async def lose(self, *topics: str) -> None:
        for topic in topics:
            self.broker.truncate(topic, 0, (await self.broker.ranges(topic))[0].end)

    async def reconcile(self, job: UUID | None = None) -> dict[str, object]:
        """The report; a dry run before it says the same and changes nothing."""
        dry = await reconcile(replace(self.bench, dry_run=True), job=job)
        done = await reconcile(self.bench, job=job)
        assert report(dry) == report(done)
        return report(done)

    async def job(self, job: UUID = JOB) -> tuple[str, int, int]:
        view = await self.ledger.job(job)
        return view.state.value, view.done, view.generation


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        broker = cast(MemoryBroker, await stack.enter_async_context(open_broker("memory:")))
        for topic in FLOW.topics:
            await broker.create_topic(topic, partitions=1, replication=1, config={})
        ledger = await stack.enter_async_context(open_ledger("memory:"))
        keys = await stack.enter_async_context(open_keys("memory:"))
        staging = await stack.enter_async_context(open_staging("memory:"))

        async def key(job: UUID) -> bytes:
            return await keys.fetch(str(job))

        bench = Bench(
            broker=broker,
            ledger=ledger,
            staging=staging,
            unsealed=SealedStaging(staging, key=key, entropy=entropy),
            key=key,
            topology=FLOW,
            clock=lambda: NOW,
            entropy=entropy,
        )
        yield World(broker, ledger, keys, bench)


NOTHING: dict[str, object] = {"jobs": [], "events": {}, "unknown": []}


def only(told: dict[str, object]) -> dict[str, object]:
    assert not told["events"] and not told["unknown"]
    [job] = cast(list[dict[str, object]], told["jobs"])
    return job


async def test_an_event_of_ours_is_one_piece_to_admit() -> None:
    assert PER_EVENT <= PIECE


@pytest.mark.parametrize("reached", [(), ("chunk",), ("chunk", "embed")])
async def test_what_has_its_record_is_not_lost(world: World, reached: tuple[str, ...]) -> None:
    await world.submit("a", "b", manifest=2)
    assert await world.reconcile() == NOTHING
    await world.admit()
    await world.run(*reached)
    assert await world.reconcile() == NOTHING
    assert await world.reconcile(JOB) == NOTHING


@pytest.mark.parametrize("reached", [(), ("chunk",), ("chunk", "embed")])
async def test_documents_whose_records_are_gone_are_admitted_again(world: World, reached: tuple[str, ...]) -> None:
    await world.submit("a", "b", manifest=2)
    await world.admit()
    await world.run(*reached)
    await world.lose("ingest", "chunk-ready", "chunked", "embedded")
    told = only(await world.reconcile())
    assert len(cast(list[str], told["admitted_again"])) == 2
    assert await world.reconcile() == NOTHING, "they are under way"
    await world.run_all()
    assert await world.job() == ("complete", 2, 1)
    assert await world.reconcile() == NOTHING


async def test_only_lost_documents_are_admitted_again(world: World) -> None:
    await world.submit("a")
    await world.admit()
    await world.lose("chunk-ready")
    await world.submit("b", manifest=2)
    await world.admit()
    key = await world.keys.fetch(str(JOB))
    assert only(await world.reconcile())["admitted_again"] == [document_id(key, "a", SHA)]
    await world.run_all()
    assert await world.job() == ("complete", 2, 1)


async def test_what_is_lost_again_is_admitted_again(world: World) -> None:
    await world.submit("a", "b", manifest=2)
    await world.admit()
    await world.lose("chunk-ready")
    for _ in range(3):
        assert only(await world.reconcile())["admitted_again"]
        await world.lose("ingest")
    assert only(await world.reconcile())["admitted_again"]
    await world.admit()
    for _ in range(3):
        await world.lose("chunk-ready")
        assert only(await world.reconcile())["admitted_again"]
        await world.admit()
    await world.run_all()
    assert await world.job() == ("complete", 2, 1)
    assert await world.reconcile() == NOTHING


async def test_many_documents_in_events_of_a_few(world: World) -> None:
    for start in range(0, 300, 150):
        await world.submit(*(f"{number}.txt" for number in range(start, start + 150)))
    await world.submit(manifest=300)
    await world.admit()
    await world.lose("ingest", "chunk-ready")
    assert len(cast(list[str], only(await world.reconcile())["admitted_again"])) == 300
    assert len(world.broker.records("ingest")) == 19
    await world.run_all()
    assert await world.job() == ("complete", 300, 1)


async def test_an_event_that_the_ledger_forgot_is_published_again_as_it_was(world: World) -> None:
    await world.submit("a", manifest=1)
    world.broker.commit("admit", "ingest", 0, 1)  # read, and its outcome is not in the restored ledger
    [event] = world.broker.records("ingest")
    assert await world.reconcile() == NOTHING | {"events": {str(JOB): 1}}
    [_, again] = world.broker.records("ingest")
    assert (again.key, again.value, again.headers) == (event.key, event.value, event.headers)
    await world.run_all()
    assert await world.job() == ("complete", 1, 1)
    assert await world.reconcile() == NOTHING


async def test_an_event_that_came_from_the_dead_letters_waits_for_its_letter(world: World) -> None:
    """Its redrive was cut off before the record was out, or the record was lost: nothing of it was ever admitted."""
    await world.submit("a")
    await world.admit()
    await world.submit("b", manifest=2)
    [(_, to)] = await world.unread("admit")
    await world.ledger.record("admit", [Outcome(to.id, JOB, None, code="customer.unknown")], now=NOW)
    mark = Postmark(to.id, 0, "customer.unknown", "Nobody knows it.", "admit", 1, "ingest", 0, 1, 0, 0)
    await world.broker.create_topic("ingest.dlq", partitions=1, replication=1, config={})
    await world.broker.publish([OutgoingRecord("ingest.dlq", b"acme", b"sealed", mark.headers())])
    await world.ledger.redrive("admit", to.id, job=JOB, now=NOW)
    await world.lose("ingest")
    assert only(await world.reconcile())["stranded"] == 1
    assert await world.ledger.redrive("admit", to.id, job=JOB, now=NOW), "its letter may be sent back once more"


async def test_a_foreign_event_of_a_job_that_the_ledger_does_not_know(world: World) -> None:
    value = b'{"customer": "acme", "reference": "new", "manifest": {"documents": 3}}'
    await world.broker.publish([OutgoingRecord("ingest", b"acme", value, [])])
    world.broker.commit("admit", "ingest", 0, 1)
    job = job_id("acme", "new")
    assert await world.reconcile(job) == NOTHING | {"events": {str(job): 1}}
    with pytest.raises(CradleError) as unknown:
        await reconcile(world.bench, job=job_id("acme", "never"))
    assert unknown.value.code == "job.unknown"


async def test_events_of_other_jobs_and_of_erased_ones_stay(world: World) -> None:
    await world.submit("a", manifest=1, reference="other")
    await world.submit("b", manifest=1)
    erased = await world.submit("c", manifest=1, reference="erased")
    stopped = await world.submit("d", manifest=1, reference="stopped")
    await world.broker.publish([OutgoingRecord("ingest", b"key", b"\xff", [("ce_id", b"?")])])
    world.broker.commit("admit", "ingest", 0, 5)
    await world.keys.destroy(erased)
    await world.ledger.cancelled(stopped, now=NOW)
    told = await world.reconcile(JOB)
    assert told["events"] == {str(JOB): 1}
    told = await world.reconcile()
    assert told["events"] == {str(job_id("acme", "other")): 1}, "that of JOB is still to be read"


async def test_a_completion_that_nobody_hears_of_is_announced_again(world: World) -> None:
    await world.submit("a", manifest=1)
    await world.run_all()
    assert await world.reconcile() == NOTHING, "the outbox has it"
    [announcement] = await world.ledger.announcements()
    await world.publish("bake-ready", None, message_id(JOB, "completion", JOB, 1), JOB, None)
    await world.ledger.announced(announcement)
    assert await world.reconcile() == NOTHING, "the topic has it"
    world.broker.commit("bake", "bake-ready", 0, 1)
    assert only(await world.reconcile())["announced_again"] is True
    assert await world.ledger.announcements() == [announcement]
    assert await world.reconcile() == NOTHING


async def test_a_completed_job_whose_key_is_destroyed_is_told_and_not_announced(world: World) -> None:
    await world.submit("a", manifest=1)
    await world.run_all()
    await world.ledger.announced((await world.ledger.announcements())[0])
    await world.keys.destroy(JOB)
    told = only(await world.reconcile())
    assert (told["key_destroyed"], told["announced_again"]) == (True, False)
    assert await world.ledger.announcements() == []


async def test_documents_that_never_arrived_are_for_the_upstream(world: World) -> None:
    await world.submit("a")
    await world.submit("b", "c")
    await world.submit(manifest=3)
    world.broker.truncate("ingest", 0, 2)  # the manifest alone is left
    assert await world.reconcile() == NOTHING, "it is not admitted yet"
    await world.run_all()
    told = only(await world.reconcile())
    assert (told["missing"], told["closed"], told["reference"]) == (3, True, "r")
    await world.submit("a")
    await world.run_all()
    assert only(await world.reconcile())["missing"] == 2
    await world.submit("b", "c")
    assert await world.reconcile() == NOTHING
    await world.run_all()
    assert await world.job() == ("complete", 3, 1)


async def test_a_job_that_nobody_closed_is_told(world: World) -> None:
    await world.submit("a")
    await world.run_all()
    done = await reconcile(world.bench)
    assert only(report(done))["closed"] is False
    assert not done.needs_upstream, "its upstream may not be through"


async def test_what_staging_lost_is_named_and_the_rest_goes_on(world: World) -> None:
    await world.submit("a", "b", manifest=2)
    await world.admit()
    await world.lose("ingest", "chunk-ready")
    key = await world.keys.fetch(str(JOB))
    a, b = (document_id(key, path, SHA) for path in "ab")
    await world.bench.staging.delete(f"jobs/{JOB}/raw/{a}")
    done = await reconcile(world.bench)
    told = only(report(done))
    assert (told["admitted_again"], told["unreadable"]) == ([b], [{"document": a, "code": "staging.missing"}])
    assert done.needs_upstream
    await world.submit("a")
    await world.run_all()
    assert await world.job() == ("complete", 2, 1)


async def test_an_erased_job_of_a_restored_ledger_is_told(world: World) -> None:
    await world.submit("a", manifest=1)
    await world.admit()
    await world.lose("chunk-ready")
    await world.keys.destroy(JOB)
    assert only(await world.reconcile())["key_destroyed"] is True


async def test_a_job_that_only_staging_knows(world: World) -> None:
    await world.submit("a", manifest=1)
    lost = job_id("acme", "lost")
    erased = job_id("acme", "erased")
    for job in (lost, erased):
        await world.keys.create(job)
        await world.sealed.put(job, "raw", "0" * 32, b"foo")
    await world.keys.destroy(erased)
    assert await world.reconcile() == NOTHING | {"unknown": [str(lost)]}
    assert await world.reconcile(JOB) == NOTHING


async def test_a_committed_offset_that_a_new_disk_never_reached(world: World) -> None:
    await world.submit("a", manifest=1)
    await world.admit()
    world.broker.commit("chunk", "chunk-ready", 0, 100)
    assert await world.reconcile() == NOTHING, "Kafka lets the stage begin at the beginning"


async def test_work_done_while_it_looks_is_not_lost(world: World) -> None:
    """Read from the ledger, then finished and committed, and then not found in the topic."""
    await world.submit("a", manifest=1)
    await world.admit()
    scan = world.broker.scan

    async def finishing(topic: str, **bounds: object) -> AsyncIterator[StoredRecord]:
        if topic == "chunk-ready":
            world.broker.scan = scan  # type: ignore[method-assign]
            await world.run("chunk")
            return
        async for record in scan(topic):
            yield record

    world.broker.scan = finishing  # type: ignore[method-assign, assignment]
    done: Reconciled = await reconcile(world.bench)
    assert report(done) == NOTHING
    assert (await world.ledger.job(JOB)).state is JobState.PROCESSING
