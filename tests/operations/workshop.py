"""An installation in memory with every real stage: messages are handed on, published and recorded as by the runtime.

Nothing of delivery is here: each message is delivered once, in order, and each stage is asked with one at a time.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from consumers.app import stage_factory
from consumers.runtime.contract import Failed, Handle, Ports, Received, Underway
from engines.library import identify
from infra.broker import OutgoingRecord, StoredRecord
from infra.broker.memory import MemoryBroker
from infra.ledger import JobState, JobView, Outcome, Unit
from operations.jobs import PinnedJobs, open_path
from operations.replay import ReplayPorts
from operations.verify import VerifyPorts
from operations.versions import remember
from schemas import envelope
from schemas.errors import Permanent
from schemas.ids import message_id
from schemas.messages import DocumentsSubmitted, JobCompleted, Message
from schemas.parameters import EmbeddingConfig, InstallationParameters, VisionConfig
from schemas.topology import Topology
from schemas.versions import VersionRecord
from tests.consumers.scans import Sketches
from tests.entrance import TOPOLOGY, Entrance
from tests.fakes import NOW
from tests.remembered import record_of

SOURCES = {
    "a/lease.txt": "The rent is due on the first.\n\nNotice is given in writing, six weeks ahead.",
    "b/Prüfung.md": "# Prüfung\n\nDie Pumpe läuft.\n\n## Ergebnis\n\nAlles in Ordnung, keine Mängel.",
    "c/plan.csv": "part;days\npump;12\nseal;3\n",
}


@dataclass
class Workshop:
    entrance: Entrance
    home: Path
    topology: Topology = TOPOLOGY
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    engine: str = ""
    """Stands behind the embedding engine's identity: a change of the engine."""
    vision: str = ""
    """The same of the vision engine."""
    broken: dict[str, str] = field(default_factory=dict)
    """Codes that a stage fails with, whatever it is given."""

    @classmethod
    async def open(cls, folder: Path) -> "Workshop":
        (folder / "source").mkdir()
        entrance = await Entrance(folder / "source").with_customer()
        workshop = cls(entrance, folder / "home")
        for name, topic in TOPOLOGY.topics.items():
            await workshop.broker.create_topic(name, partitions=topic.partitions, replication=1, config={})
        return workshop

    @property
    def jobs(self) -> PinnedJobs:
        return PinnedJobs(
            parameters=self.entrance.store,
            ledger=self.entrance.ledger,
            keys=self.entrance.keys,
            archive=self.entrance.archive,
            topology=self.topology,
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
            identify=self.identify,
        )

    @property
    def ports(self) -> Ports:
        return replace(self.entrance.ports, home=self.home, jobs=self.jobs, parsers=Sketches())

    @property
    def replay_ports(self) -> ReplayPorts:
        return ReplayPorts(
            broker=self.broker,
            ledger=self.entrance.ledger,
            keys=self.entrance.keys,
            parameters=self.entrance.store,
            jobs=self.jobs,
            staging=self.entrance.sealed,
            topology=self.topology,
            clock=lambda: NOW,
            entropy=os.urandom,
            identify=self.identify,
        )

    @property
    def verify_ports(self) -> VerifyPorts:
        return VerifyPorts(self.entrance.ledger, self.entrance.keys, self.entrance.sealed, self.home)

    def identify(self, parameters: InstallationParameters) -> dict[str, str]:
        found = identify(parameters)
        return {"embedding": found["embedding"] + self.engine, "vision": found["vision"] + self.vision}

    async def add_parameters(self, **sections: Any) -> int:
        fields = {"embedding_config": EmbeddingConfig(model="fake"), "vision_config": VisionConfig(engine="fake")}
        fields |= sections
        return await self.entrance.store.add_version(InstallationParameters(customer_id="acme", **fields))

    # -- the road -----------------------------------------------------------------------------------------------------

    async def submit(
        self,
        sources: dict[str, bytes | str] | None = None,
        reference: str = "a reference",
        *,
        update: bool = False,
        removed: Iterable[str] = (),
    ) -> UUID:
        """What a producer does: seal, submit, close."""
        async with self.entrance.producer(broker=self.broker, jobs=self.jobs) as producer:
            job = await producer.open("acme", reference, update=update)
            for path in removed:
                await producer.remove(path)
            for path, content in (SOURCES if sources is None else sources).items():
                await producer.add(path, content if isinstance(content, bytes) else content.encode())
            await producer.close()
        return job

    async def finish(self, sources: dict[str, bytes | str] | None = None, reference: str = "a reference") -> UUID:
        """A job that was submitted and went all the way."""
        job = await self.submit(sources, reference)
        await self.run()
        return job

    async def update(
        self, sources: dict[str, bytes | str], *, removed: Iterable[str] = (), reference: str = "an update"
    ) -> UUID:
        """An update that was submitted and went all the way."""
        job = await self.submit(sources, reference, update=True, removed=removed)
        await self.run()
        return job

    async def remember(self, job: UUID, version: str) -> VersionRecord:
        """What packaging leaves of a baked job."""
        record = record_of(await self.baked(job), self.home, version)
        await remember(self.entrance.archive, record, None)
        await self.entrance.ledger.packaged(job, record.generation, version)
        return record

    async def run(self, *stages: str) -> None:
        """These stages, or every one, until nothing moves any more."""
        handles = {stage: stage_factory(stage)(self.ports) for stage in stages or self.topology.stages}
        moved = True
        while moved:
            moved = False
            for stage, handle in handles.items():
                for topic in self.topology.stages[stage].reads:
                    for record in self._unread(stage, self.broker.records(topic)):
                        moved |= await self._deliver(stage, handle, record)
            moved |= await self._announce()

    def _unread(self, stage: str, records: Iterable[StoredRecord]) -> list[StoredRecord]:
        fresh = [r for r in records if r.offset >= self.broker.committed(stage, r.topic, r.partition)]
        for record in fresh:
            self.broker.commit(stage, record.topic, record.partition, record.offset + 1)
        return fresh

    async def _deliver(self, stage: str, handle: Handle, record: StoredRecord) -> bool:
        identity, job, message, document = await self._opened(record)
        ledger = self.entrance.ledger
        if await ledger.finished(stage, [identity]) or await ledger.erased_jobs([job]):
            return True
        received = Received(identity, job, message, document)
        if stage in self.broken:
            await ledger.record(stage, [Outcome(identity, job, document, code=self.broken[stage])], now=NOW)
            if stage == "bake":
                await ledger.failed(job, self.broken[stage])
            return True
        [outcome] = [outcome async for outcome in handle([received]) if not isinstance(outcome, Underway)]
        if isinstance(outcome, Failed):
            await ledger.record(stage, [Outcome(identity, job, document, code=outcome.error.code)], now=NOW)
            return True
        units: list[Unit] = []
        for number, output in enumerate(outcome.outputs):  # type: ignore[union-attr]
            topic = output.topic or self.topology.topic_of(output.message.TYPE, stage)
            made = message_id(job, stage, output.identity or identity, 0 if output.identity else number)
            await self.publish(topic, output.message, job, made, output.document)
            units += [Unit(made, reader, output.document) for reader in self.topology.readers[topic]]
        row = Outcome(
            identity,
            job,
            document,
            tuple(units),
            outcome.documents,  # type: ignore[union-attr]
            outcome.manifest,  # type: ignore[union-attr]
            outcome.items,  # type: ignore[union-attr]
            counts=outcome.counts,  # type: ignore[union-attr]
        )
        await ledger.record(stage, [row], now=NOW)
        return True

    async def _opened(self, record: StoredRecord) -> tuple[UUID, UUID, Message, str | None]:
        if envelope.is_clear(record.headers, record.value):
            identity, event = envelope.open_clear(record.value)
            return identity, event.job, event, None
        at = envelope.address(record.headers)
        message = envelope.open_sealed(record.headers, record.value, key=await self.jobs.key(at.job))
        return at.id, at.job, message, at.document

    async def publish(self, topic: str, message: Message, job: UUID, identity: UUID, document: str | None) -> None:
        to = envelope.Address(identity, message.TYPE, "/test", job, NOW, str(job), document)
        headers, value = envelope.close(message, to, key=await self.jobs.key(job), nonce=os.urandom(12))
        await self.broker.publish([OutgoingRecord(topic, (document or str(job)).encode(), value, headers)])

    async def publish_clear(self, event: DocumentsSubmitted) -> None:
        """As a foreign client does."""
        headers = [("content-type", b"application/json")]
        await self.broker.publish([OutgoingRecord("ingest", b"acme", event.model_dump_json().encode(), headers)])

    async def _announce(self) -> bool:
        waiting = await self.entrance.ledger.announcements()
        for one in waiting:
            message = JobCompleted(customer=one.customer, generation=one.generation)
            identity = message_id(one.job, "completion", one.job, one.generation)
            await self.publish("bake-ready", message, one.job, identity, None)
            await self.entrance.ledger.announced(one)
        return bool(waiting)

    # -- what came of it ----------------------------------------------------------------------------------------------

    async def view(self, job: UUID) -> JobView:
        return await self.entrance.ledger.job(job)

    async def baked(self, job: UUID) -> JobView:
        view = await self.view(job)
        assert view.state is JobState.BAKED, (view, await self.states(job))
        return view

    async def states(self, job: UUID) -> dict[str, str]:
        """State of each document, or the code it failed with, by its path."""
        key = await self.jobs.key(job)
        rows = await self.entrance.ledger.documents(job)
        return {open_path(key, row.id, row.sealed_path): row.code or row.state.value for row in rows}

    async def id_of(self, job: UUID, path: str) -> str:
        key = await self.jobs.key(job)
        for row in await self.entrance.ledger.documents(job):
            if open_path(key, row.id, row.sealed_path) == path:
                return row.id
        raise Permanent("source.missing")

    def records_of(self, job: UUID, topic: str) -> list[StoredRecord]:
        subject = str(job).encode()
        return [r for r in self.broker.records(topic) if dict(r.headers).get("ce_subject") == subject]

    def committed(self, topic: str) -> dict[tuple[str, int], int]:
        partitions = range(self.topology.topics[topic].partitions)
        readers = self.topology.readers[topic]
        return {
            (stage, number): self.broker.committed(stage, topic, number) for stage in readers for number in partitions
        }

    def forget_records(self, topic: str, job: UUID) -> None:
        """As retention does: what is gone leaves a gap."""
        kept = set(map(id, self.broker.records(topic))) - set(map(id, self.records_of(job, topic)))
        for log in self.broker._partitions.values():
            log[:] = [record for record in log if record.topic != topic or id(record) in kept]
