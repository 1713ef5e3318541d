"""The ledger port: jobs, documents and the outcomes of messages. Never content.

Completion is arithmetic over units of work. A unit is a message at a stage that reads it. The outcome that made the
message opens the unit; the outcome of the message at that stage finishes it. A job is complete once its manifest is
known, as many source documents as it states are known, and no unit is open. All of it moves once an outcome, under the
job's row lock, and in the same transaction a completed job's announcement goes into the outbox.

Outcomes arrive in any order. Outputs are published before their outcome is recorded, so a quick stage may finish a
unit that nobody has opened yet. A counter that subtracted then would pass through zero too early: one input open, one
output finished ahead of its opening, and 1 - 1 looks like an end. Therefore a unit is a row, and a unit is open while
it is opened and not finished; one that was finished first is never open. Why that cannot be fooled: take any message
that is still to be dealt with at some stage. Either the outcome that made it is recorded, and then its unit is open; or
that outcome is itself still to come, and the same holds of the message it is an outcome of. This ends at an open unit,
or at a submission that is not admitted, whose documents the manifest counts and the ledger does not know yet.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from infra.adapters import adapter

ADAPTERS: Final = {
    "memory": "infra.ledger.memory:open_memory",
    "postgresql": "infra.ledger.postgres:open_postgres",
}

DEFAULT_RETENTION: Final = timedelta(hours=24)
"""How long after its opening a job is due for erasure, where nobody said otherwise and nothing was baked."""
LONGEST_WORK: Final = timedelta(days=7)
"""How long after its opening a job that is closed but not yet baked is due: its retention must not cut work short."""

ADMIT: Final = "admit"
"""The stage that meets documents, and so the one to meet them again."""
BAKE: Final = "bake"
"""The stage that reads announcements, which no unit stands for: a job is complete before it."""


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
    EXPANDED = "expanded"  # an archive: its members are the documents; or a path that an update removes
    DUPLICATE = "duplicate"  # the same bytes as another document of the job, under another name


class Counted(StrEnum):
    """What outcomes count by name, and a job's status tells."""

    RECOGNISED = "recognised"  # pages
    DOUBTFUL = "doubtful"  # pages recognised with too little confidence
    HIDDEN = "hidden"  # chunks that hold text a reader does not see
    FOLDED = "folded"  # chunks folded into one that they nearly repeat


@dataclass(frozen=True, slots=True)
class NewJob:
    id: UUID
    customer: str
    reference: str
    parameters: int
    fingerprint: str
    opened_at: datetime
    parent: UUID | None = None
    retain_until: datetime | None = None
    """When to erase it if it is never baked; None: DEFAULT_RETENTION after `opened_at`."""
    max_failed: "Limit | None" = None
    """How many documents may fail before the job as a whole does; None: all but one."""
    extends: str | None = None
    """The version that this job updates; None: a full job."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A count of documents, or a share of those the job knows; exactly one of the two."""

    count: int | None = None
    share: float | None = None
    """From 0 to 1."""

    def __post_init__(self) -> None:
        if (self.count is None) == (self.share is None):
            raise ValueError("a limit is a count or a share")

    def most(self, documents: int) -> float:
        """How many of that many documents may fail."""
        return self.count if self.share is None else self.share * documents  # type: ignore[return-value]


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
    content: str | None = None
    """Its bytes' name within the job (`schemas.ids.content_id`), by which a second document of them is known."""
    same_as: str | None = None
    """Of a duplicate: the id of the document that is worked on for both. It fails while that one is failed."""

    def __post_init__(self) -> None:
        if (self.state is DocumentState.FAILED) != (self.code is not None):
            raise ValueError("a failed document has a code, and no other has one")
        if (self.state is DocumentState.DUPLICATE) != (self.same_as is not None):
            raise ValueError("a duplicate names its original, and no other names one")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work: a message at one of the stages that read it."""

    message: UUID
    stage: str
    document: str | None = None
    """The document it belongs to, where it belongs to one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one stage made of one message."""

    message: UUID
    job: UUID
    document: str | None
    opens: tuple[Unit, ...] = ()
    """One for each output and stage that reads it. Opening a unit twice opens it once."""
    documents: tuple[NewDocument, ...] = ()
    """Documents met. One the job knows already changes nothing: neither its row nor, by `opens`, its open work."""
    manifest: int | None = None
    """The number of documents the job's manifest states, where this message carried it."""
    items: int = 0
    """How many things it made, for display: chunks, vectors."""
    code: str | None = None
    """None: done. Otherwise the error it failed with."""
    counts: Mapping[Counted, int] = field(default_factory=dict)
    """What it counts by name. It counts as the outcome does: once, and no longer where its unit is dropped."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    digest: str
    """`sha256:...` of the image's manifest."""
    chunks: int
    merkle: Mapping[str, str]
    """Root of each stage, hex."""
    baked_at: datetime
    retain_until: datetime
    counts: Mapping[Counted, int] = field(default_factory=dict)
    """What baking counts by name; the next generation's take their place."""


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
    member: bool = False
    """Whether it came out of an archive or mail: the manifest counts sources only."""
    content: str | None = None
    """Its bytes' name within the job, where it was let in."""
    same_as: str | None = None
    """Of a duplicate, failed or not: the document that is worked on for it."""


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
    """Number of the newest announced image; 0 before the first."""
    manifest: int | None
    total: int
    """Documents known so far: members of archives and duplicates count, archives do not."""
    done: int
    failed: int
    open_work: int
    """Units of work that are opened and not finished."""
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
    retain_until: datetime
    chunks: int | None = None
    """How many the newest image holds; None before it is baked."""
    first_done_at: datetime | None = None
    """When documents first were done."""
    first_done: int = 0
    """How many were done or failed by then."""
    last_done_at: datetime | None = None
    """When one was done or failed last, once some are done."""
    max_failed: Limit | None = None
    extends: str | None = None
    """The version that this job updates; None: a full job."""
    version: str | None = None
    """The version that its newest image was packaged as."""
    duplicates: int = 0
    """Documents that need no work of their own, beside those that are done or failed."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was counted by name (`Counted`), where it is not 0; what baking counted is the newest image's."""

    @property
    def finished(self) -> int:
        """Documents of which nothing is left to do."""
        return self.done + self.failed + self.duplicates

    @property
    def listed(self) -> int:
        """Documents that an image of it lists."""
        return self.done + self.duplicates


@dataclass(frozen=True, slots=True)
class CountedUnit:
    """What one unit counted."""

    stage: str
    document: str | None
    counts: Mapping[Counted, int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker finds when it takes messages in hand."""

    finished: frozenset[UUID]
    """Have an outcome at this stage; not taken."""
    suspects: Mapping[UUID, int]
    """Were still in the hand of another worker, which may have died of them, or have strikes: how often each killed a
    process when it was alone in it."""


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A unit of work as it stands."""

    message: UUID
    stage: str
    document: str | None
    opened: bool
    finished: bool
    code: str | None


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far one stage of one running job is."""

    job: UUID
    customer: str
    stage: str
    open_documents: int
    """Documents with an open unit at this stage."""
    open_units: int


class Ledger(Protocol):
    """Every method raises Retryable `dependency.away` when the database does not answer, and `database.tables` where it
    is not migrated."""

    async def open_job(self, job: NewJob) -> JobView:
        """Records the job unless it is known; returns it as it stands: the first parameters and fingerprint stay.

        Outcomes that were kept of it before (`record`) are dropped, but for those of `admit`: what they made was opened
        by nobody, so the work is to be done again.
        """

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        """Which of these messages have an outcome at this stage."""

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        """Which of these jobs are erased or cancelled: their records are skipped."""

    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Records the outcomes in one transaction and moves the counters; an outcome already recorded changes nothing.

        A failed outcome marks its document failed, and a failed document stays failed; any other is done once it has
        been let in and no unit of its own is open. A duplicate has no unit: while its original is failed it is failed
        too, with the same stage and code, and else it stays a duplicate.

        A job that completes here is announced (outbox); one that completes without a single document that is done
        becomes FAILED with reason `job.empty`, unless it is an update that brought none and only removes some; one of
        which more documents failed than it allows FAILED with `job.too-many-failed`; neither is announced.
        The first manifest recorded counts; a later one that differs is ignored (`admit` refuses it beforehand).
        A job that is over stays so: counters still move, its state does not. For a job the ledger does not know the
        outcome is kept and nothing else moves. An erased job keeps no path of a document met afterwards.
        """

    # -- in hand: which messages a process died of ------------------------------------------------------------------

    async def take(self, stage: str, messages: Sequence[UUID], *, worker: UUID, now: datetime) -> Taken:
        """Notes that `worker` (an id drawn anew at each start of a process) works on what of these is not finished.

        An outcome that is recorded puts its message down. This is kept in an unlogged table: a crash of the database
        forgets it, which costs nothing but a suspicion.
        """

    async def put_down(self, stage: str, messages: Sequence[UUID], *, worker: UUID) -> None:
        """The worker lives and has let go of these without an outcome. Strikes stay."""

    async def strike(self, stage: str, message: UUID) -> int:
        """The message was alone in a process that died. Returns how often that has happened by now."""

    # -- mending ----------------------------------------------------------------------------------------------------

    async def redrive(
        self, stage: str, message: UUID, *, job: UUID, now: datetime, document: str | None = None
    ) -> bool:
        """A failed unit is open again, its document too unless another of its messages failed, and the job PROCESSING
        (OPEN without a manifest), so that its next completion is the next generation. What is to be baked is withdrawn.

        `document`: whose unit it is, should the ledger have forgotten it.

        A failed announcement (`bake`) makes the job COMPLETE again, of the same generation. Of no job (NO_JOB) only the
        outcome is dropped. True if the message is now to be worked on: also where it was open already, so that a crash
        after this call is mended by calling again; False where it is done. Raises Permanent `job.erased`, also for a
        cancelled job.
        """

    async def readmit(self, job: UUID, documents: Sequence[str], *, event: UUID, now: datetime) -> None:
        """The documents are to be admitted anew, by the message `event` at `admit`.

        Their units and failures are dropped and they count as not met, so the job waits for them; a member stays a
        member. `event` is opened as a unit of no document. The job is PROCESSING (OPEN without a manifest). Twice is
        harmless. Raises Permanent `job.erased`, also for a cancelled job.
        """

    async def announce_again(self, job: UUID) -> bool:
        """Puts a COMPLETE job's announcement back into the outbox; False for any other job."""

    async def cancelled(self, job: UUID, *, now: datetime) -> None:
        """The job is CANCELLED (reason `job.cancelled`) unless it is erased; its announcement is taken back.

        Erasing it later leaves it CANCELLED, with `erased_at`.
        """

    async def discard(self, letters: Sequence[UUID], *, now: datetime) -> None:
        """Dead letters that an operator has dealt with: by their own ids. Twice is harmless."""

    async def discarded(self, letters: Sequence[UUID]) -> set[UUID]:
        """Which of these were discarded."""

    async def originals(self, job: UUID, contents: Sequence[str]) -> dict[str, frozenset[str]]:
        """By content: the documents of these contents that others may be duplicates of. Those are what was let in, or
        is to be admitted anew, and neither failed nor is a duplicate itself. A content that has none is left out."""

    async def counted(self, job: UUID) -> list[CountedUnit]:
        """The job's units that counted something, by stage and document."""

    async def outcomes(self, stage: str, messages: Sequence[UUID]) -> dict[UUID, str | None]:
        """Of those of these messages that have an outcome at the stage: its code, None for done."""

    async def work(self, job: UUID, *, open_only: bool = False) -> list[WorkRow]:
        """The job's units by stage and message; with `open_only` those that are opened and not finished."""

    async def running(self) -> list[StageProgress]:
        """Of every open and processing job: each stage with open units."""

    async def forget(self, *, erased_before: datetime) -> int:
        """Deletes all that is known of jobs erased before then; returns how many.

        Outcomes of no known job, notes of what is in hand, and discarded letters go where they are as old.
        """

    # -- completion -------------------------------------------------------------------------------------------------

    async def announcements(self) -> list[Announcement]:
        """Completed jobs whose `bake-ready` is not known to be published, oldest first."""

    async def announced(self, announcement: Announcement) -> None:
        """Takes it out of the outbox. Twice is harmless."""

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        """A complete job is BAKED. Twice is harmless; any other job, or an older generation, changes nothing."""

    async def packaged(self, job: UUID, generation: int, version: str) -> None:
        """A baked job is PACKAGED as that version (`v1.0-init`). Twice is harmless; any other job, or an older
        generation, changes nothing. A redriven job is PROCESSING again and has no version until it is packaged anew.
        """

    async def failed(self, job: UUID, reason: str, *, generation: int | None = None) -> None:
        """An unfinished job as a whole is FAILED with that error code; its announcement is taken back.

        With `generation`, that of an announcement which could not be acted upon, only a complete job of that
        generation: one that was redriven meanwhile goes on.
        """

    async def erased(self, job: UUID, *, now: datetime) -> None:
        """The job is ERASED: paths and any announcement are dropped, counters and outcomes stay. Twice is harmless."""

    async def due_for_erasure(self, *, now: datetime) -> list[UUID]:
        """Jobs whose `retain_until` is over, those nobody closed as well, oldest first. Not the erased ones.

        A job at work (processing or complete) is due LONGEST_WORK after its opening, if that is later.
        """

    async def open_documents(self, customer: str) -> int:
        """How many of the customer's documents have open work, over its open and processing jobs."""

    async def job(self, job: UUID) -> JobView:
        """Raises Permanent `job.unknown`."""

    async def jobs(self, customer: str | None = None, *, limit: int = 100) -> list[JobView]:
        """The newest first."""

    async def documents(self, job: UUID) -> list[DocumentRow]:
        """By id."""

    async def awaited(self, job: UUID) -> list[DocumentRow]:
        """Documents that are to be admitted anew (`readmit`) and were not met since, as open ones; by id."""

    async def ping(self) -> None: ...


def open_ledger(url: str) -> AbstractAsyncContextManager[Ledger]:
    """`postgresql://...` (migrated beforehand: `infra.ledger.migrations`), `memory:`."""
    context: AbstractAsyncContextManager[Ledger] = adapter("ledger", url, ADAPTERS)(url)
    return context
