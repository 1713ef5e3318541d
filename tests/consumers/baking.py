"""A job on the workbench: ports in memory around one job's parts, for `pack` and `bake`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from builders.parts import KIND, encode_part, part_name
from consumers.runtime.contract import Handle, Outcome, Ports, Received
from engines.extraction.parsers import InProcess
from infra.archive.memory import MemoryArchive
from infra.ledger import DocumentRow, DocumentState, ImageRecord
from infra.parameters import Customer
from infra.staging.memory import MemoryStaging
from infra.staging.sealed import SealedStaging
from schemas.errors import Permanent
from schemas.ids import content_id
from schemas.messages import Chunk, ChunksMade, Document, EmbeddingsMade, Message, Vectors
from schemas.parameters import ChunkingConfig, EmbeddingConfig, InstallationParameters
from schemas.sealing import seal
from tests.builders.corpus import Book

KEY = bytes(range(32))
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMER = "acme"


@dataclass
class Bench:
    """One job; every method a stage may call on its ports, recorded."""

    home: Path
    id: UUID = field(default_factory=uuid4)
    objects: MemoryStaging = field(default_factory=MemoryStaging)
    rows: list[DocumentRow] = field(default_factory=list)
    images: list[tuple[int, ImageRecord]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    base_image: str = ""
    extends: str | None = None
    fold: bool = False
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    now: datetime = NOW
    nonces: int = 0

    @property
    def staging(self) -> SealedStaging:
        return SealedStaging(self.objects, key=self.key, entropy=self.entropy)

    @property
    def ports(self) -> Ports:
        anything: Any = self
        return Ports(
            staging=self.staging,
            jobs=_Jobs(self),  # type: ignore[arg-type]
            ledger=anything,
            parameters=anything,
            archive=self.archive,
            engines=anything,
            parsers=InProcess(),
            source=anything,
            home=self.home,
            base_image=self.base_image,
            clock=lambda: self.now,
            entropy=self.entropy,
        )

    def entropy(self, size: int) -> bytes:
        self.nonces += 1
        return self.nonces.to_bytes(size, "big")

    async def key(self, job: UUID) -> bytes:
        return KEY

    # -- the ledger, the parameters and the archive

    async def job(self, job: UUID) -> Any:
        return SimpleNamespace(customer=CUSTOMER, extends=self.extends)

    async def documents(self, job: UUID) -> list[DocumentRow]:
        return sorted(self.rows, key=lambda row: row.id)

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        self.images.append((generation, image))

    async def failed(self, job: UUID, reason: str, *, generation: int | None = None) -> None:
        self.failures.append(reason)

    async def customer(self, customer: str) -> Customer:
        return Customer(customer, retain_hours=48)

    # -- what stands before the stage

    def admit(
        self, document: Document, state: DocumentState = DocumentState.DONE, *, same_as: str | None = None
    ) -> None:
        sealed = seal(KEY, document.path.encode(), associated=document.id.encode(), nonce=self.entropy(12))
        content = content_id(KEY, document.sha256, document.media_type)
        self.rows.append(DocumentRow(document.id, state, sealed, None, None, content=content, same_as=same_as))

    async def stage_parts(self, parts: Sequence[EmbeddingsMade]) -> None:
        for part in parts:
            await self.staging.put(self.id, KIND, part_name(part), encode_part(part))


@dataclass
class _Jobs:
    bench: Bench

    async def key(self, job: UUID) -> bytes:
        return await self.bench.key(job)

    async def fingerprint(self, job: UUID) -> str:
        return "f" * 64

    async def parameters(self, job: UUID) -> InstallationParameters:
        return InstallationParameters(
            customer_id=CUSTOMER,
            embedding_config=EmbeddingConfig(model="fake"),
            chunking_config=ChunkingConfig(fold_duplicates=self.bench.fold),
        )


class ErasedBench(Bench):
    async def key(self, job: UUID) -> bytes:
        raise Permanent("key.destroyed")


def parts_of(one: Book, sizes: Sequence[int] = (100,), overlap: int = 0) -> list[EmbeddingsMade]:
    """Its chunks in runs of these sizes, the last repeated; each stretch reaches `overlap` characters further back."""
    runs: list[tuple[Chunk, ...]] = []
    left = one.chunks
    while left:
        size = sizes[min(len(runs), len(sizes) - 1)]
        runs.append(left[:size])
        left = left[size:]
    starts = [0, *(run[0].start for run in runs[1:])]
    ends = [*starts[1:], len(one.text)]
    return [_part(one, run, max(0, start - overlap), end) for run, start, end in zip(runs, starts, ends, strict=True)]


def _part(one: Book, chunks: tuple[Chunk, ...], start: int, end: int) -> EmbeddingsMade:
    rows = one.vectors[chunks[0].ordinal : chunks[-1].ordinal + 1]
    return EmbeddingsMade(
        chunks=ChunksMade(
            document=one.document,
            title=one.title or one.document.path,
            language="de",
            text_length=len(one.text),
            text_start=start,
            text=one.text[start:end],
            pages=one.pages,
            chunks=chunks,
        ),
        vectors=Vectors(shape=rows.shape, data=rows.tobytes()),
    )


async def outcomes(handle: Handle, *messages: Message, job: UUID) -> list[Outcome]:
    received = [Received(uuid4(), job, message) for message in messages]
    return [outcome async for outcome in cast(AsyncIterator[Outcome], handle(received))]
