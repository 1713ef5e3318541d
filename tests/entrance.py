"""An installation in memory for what stands at the entrance: real sealing, jobs, ledger and folders, no broker."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from consumers.runtime.contract import Done, Piece, Ports, piece_id
from cradle.flow import read_flow
from infra.archive.memory import MemoryArchive
from infra.broker import OutgoingRecord
from infra.keys.memory import MemoryKeys
from infra.ledger import Outcome, Unit
from infra.ledger.memory import MemoryLedger
from infra.parameters import Customer
from infra.parameters.memory import MemoryParameters
from infra.paths import file_url
from infra.sources.files import FileSource
from infra.staging.memory import MemoryStaging
from infra.staging.sealed import SealedStaging
from operations.jobs import PinnedJobs, open_path
from producers import Producer
from schemas import envelope
from schemas.ids import message_id
from schemas.messages import DocumentsSubmitted, Message
from schemas.parameters import EmbeddingConfig, InstallationParameters, VisionConfig
from tests.fakes import NOW, fake_ports

TOPOLOGY = read_flow()


@dataclass
class Published:
    """A broker that keeps what it is told to publish."""

    records: list[OutgoingRecord] = field(default_factory=list)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        self.records += records


class Entrance:
    """Customer `acme`, whose foreign clients may name what lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.keys = MemoryKeys()
        self.ledger = MemoryLedger()
        self.store = MemoryParameters()
        self.staging = MemoryStaging()
        self.archive = MemoryArchive()
        self.broker = Published()
        self.jobs = PinnedJobs(
            parameters=self.store,
            ledger=self.ledger,
            keys=self.keys,
            archive=self.archive,
            topology=TOPOLOGY,
            clock=lambda: NOW,
            monotonic=lambda: self.seconds,
        )
        self.sealed = SealedStaging(self.staging, key=self.jobs.key, entropy=os.urandom)

    async def with_customer(self, *, window: int = 200) -> "Entrance":
        await self.store.put_customer(Customer("acme", roots=(f"{file_url(self.folder)}/",), window=window))
        await self.store.add_version(
            InstallationParameters(
                customer_id="acme",
                embedding_config=EmbeddingConfig(model="fake"),
                vision_config=VisionConfig(engine="fake"),
            )
        )
        return self

    @property
    def ports(self) -> Ports:
        return replace(
            fake_ports(),
            staging=self.sealed,
            jobs=self.jobs,
            ledger=self.ledger,
            parameters=self.store,
            archive=self.archive,
            source=lambda uri: FileSource(),
            entropy=os.urandom,
        )

    def producer(self, **others: object) -> Producer:
        ports = {
            "jobs": self.jobs,
            "staging": self.sealed,
            "broker": self.broker,
            "topology": TOPOLOGY,
            "source": lambda uri: FileSource(),
            "clock": lambda: NOW,
            "entropy": os.urandom,
        }
        return Producer(**{**ports, **others})  # type: ignore[arg-type]

    async def submitted(self, record: OutgoingRecord) -> tuple[envelope.Address, DocumentsSubmitted]:
        """What the Producer published, opened."""
        address = envelope.address(record.headers)
        message = envelope.open_sealed(record.headers, record.value, key=await self.jobs.key(address.job))
        assert isinstance(message, DocumentsSubmitted)
        return address, message

    def write(self, path: str, content: bytes | str) -> str:
        """A file in the customer's folder; its URI."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file_url(file)

    async def record(self, done: Done | Piece, job: UUID) -> tuple[Unit, ...]:
        """What the runtime records of `admit`'s answer; returns the work it opened."""
        id_ = done.input.id if isinstance(done, Done) else piece_id("admit", done.input, done.number)
        units = tuple(
            Unit(message_id(job, "admit", output.identity or id_, number), "chunk", output.document)
            for number, output in enumerate(done.outputs)
        )
        manifest = done.manifest if isinstance(done, Done) else None
        outcome = Outcome(id_, job, None, opens=units, documents=done.documents, manifest=manifest)
        await self.ledger.record("admit", [outcome], now=NOW)
        return units

    async def paths(self, job: UUID) -> dict[str, str]:
        """State of each document the ledger knows, by its path."""
        key = await self.jobs.key(job)
        rows = await self.ledger.documents(job)
        return {open_path(key, row.id, row.sealed_path): row.code or row.state.value for row in rows}


def paths_of(messages: Sequence[Message]) -> list[str]:
    return [reference.path for message in messages for reference in message.documents]  # type: ignore[attr-defined]
