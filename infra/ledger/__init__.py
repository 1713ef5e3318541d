"""The ledger port: jobs, documents and the outcomes of messages. Never content.

Completion is arithmetic. Each output of a stage opens one unit of work for each stage that reads it; the outcome of
that stage closes it again. A job whose manifest is known, whose manifest's documents are all admitted and whose open
work is zero is complete. Every method that moves these counters does so once per outcome, under the job's row lock,
and in the same transaction puts a completed job's announcement into the outbox.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.ledger.memory:open_memory",
    "postgresql": "infra.ledger.postgres:open_postgres",
}


class JobState(StrEnum):
    OPEN = "open"  # no manifest yet
    PROCESSING = "processing"  # manifest known, work left
    COMPLETE = "complete"  # no work left; announced to bake
    BAKED = "baked"
    PACKAGED = "packaged"
    ERASED = "erased"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DocumentState(StrEnum):
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    EXPANDED = "expanded"  # an archive: its members are the documents


@dataclass(frozen=True, slots=True)
class NewJob:
    id: UUID
    customer: str
    reference: str
    parameters: int
    fingerprint: str
    opened_at: datetime
    parent: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document that `admit` met: let in, refused, or an archive that became its members."""

    id: str
    sealed_path: bytes
    """Its path, sealed under the job's key (`schemas.sealing.seal`, associated data = the document's id)."""
    state: DocumentState = DocumentState.OPEN
    code: str | None = None
    """Why it failed, where it did."""
    member: bool = False
    """True for what came out of an archive or mail: the manifest counts sources only."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one stage made of one message."""

    message: UUID
    job: UUID
    document: str | None
    closes: bool
    """Whether the message was an open unit of work: true but for what producers or the outbox published."""
    outputs: tuple[UUID, ...] = ()
    opens: Mapping[str, int] = field(default_factory=dict)
    """Units of work opened, by document: outputs times reading stages."""
    documents: tuple[NewDocument, ...] = ()
    """Documents met. One the job knows already changes nothing: neither its row nor, by `opens`, its open work."""
    manifest: int | None = None
    """The number of documents the job's manifest states, where this message carried it."""
    items: int = 0
    """How many things it made, for display: chunks, vectors."""
    code: str | None = None
    """None: done. Otherwise the error it failed with."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    digest: str
    """`sha256:...` of the image's manifest."""
    chunks: int
    merkle: Mapping[str, str]
    """Root of each stage, hex."""
    baked_at: datetime
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class Announcement:
    job: UUID
    customer: str
    generation: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    id: str
    state: DocumentState
    sealed_path: bytes
    stage: str | None
    """Where it failed."""
    code: str | None


@dataclass(frozen=True, slots=True)
class JobView:
    id: UUID
    customer: str
    reference: str
    state: JobState
    parameters: int
    fingerprint: str
    parent: UUID | None
    generation: int
    manifest: int | None
    total: int
    """Documents known so far: members of archives count, archives do not."""
    done: int
    failed: int
    open_work: int
    items: Mapping[str, int]
    """Items made so far, by stage."""
    outcomes: Mapping[str, int]
    """Messages finished so far, by stage."""
    reason: str | None
    """Error code of a failed or cancelled job."""
    image: str | None
    merkle: Mapping[str, str]
    opened_at: datetime
    completed_at: datetime | None
    baked_at: datetime | None
    erased_at: datetime | None
    retain_until: datetime | None


class Ledger(Protocol):
    """Every method raises Retryable `dependency.away` when the database does not answer."""

    async def open_job(self, job: NewJob) -> JobView:
        """Records the job unless it is known; returns it as it stands: the first parameters and fingerprint stay."""

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        """Which of these messages have an outcome at this stage."""

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        """Which of these jobs are erased or cancelled: their records are skipped."""

    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Records the outcomes in one transaction and moves the counters; an outcome already recorded changes nothing.

        A failed outcome marks its document failed. A job that completes here is announced (outbox); one that completes
        without a single document that is done becomes FAILED with reason `job.empty` and is not announced.
        The first manifest recorded counts; a later one that differs is ignored (`admit` refuses it beforehand).
        """

    async def announcements(self) -> list[Announcement]:
        """Completed jobs whose `bake-ready` is not known to be published, oldest first."""

    async def announced(self, announcement: Announcement) -> None:
        """Takes it out of the outbox. Twice is harmless."""

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        """The job is BAKED. Twice is harmless; an erased job stays erased."""

    async def failed(self, job: UUID, reason: str) -> None:
        """The job as a whole is FAILED with that error code."""

    async def erased(self, job: UUID, *, now: datetime) -> None:
        """The job is ERASED: paths are dropped, counters and outcomes stay."""

    async def due_for_erasure(self, *, now: datetime) -> list[UUID]:
        """Baked, packaged, failed or cancelled jobs whose retention is over."""

    async def open_documents(self, customer: str) -> int:
        """How many of the customer's documents have open work, over all its jobs."""

    async def job(self, job: UUID) -> JobView:
        """Raises Permanent `job.unknown`."""

    async def jobs(self, customer: str | None = None, *, limit: int = 100) -> list[JobView]:
        """The newest first."""

    async def documents(self, job: UUID) -> list[DocumentRow]:
        """By id."""

    async def ping(self) -> None: ...


def open_ledger(url: str) -> AbstractAsyncContextManager[Ledger]:
    """`postgresql://...` (migrated beforehand: `infra.ledger.migrations`), `memory:`."""
    context: AbstractAsyncContextManager[Ledger] = adapter("ledger", url, ADAPTERS)(url)
    return context
