"""The ledger in memory, for tests and single processes: the same answers as PostgreSQL's, kept in dictionaries."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from infra.ledger import (
    DEFAULT_RETENTION,
    LONGEST_WORK,
    Announcement,
    DocumentRow,
    DocumentState,
    ImageRecord,
    JobState,
    JobView,
    NewDocument,
    NewJob,
    Outcome,
    Unit,
)
from schemas.errors import Permanent

RUNNING = (JobState.OPEN, JobState.PROCESSING)
AT_WORK = (JobState.PROCESSING, JobState.COMPLETE)


@asynccontextmanager
async def open_memory(_url: str) -> AsyncIterator["MemoryLedger"]:
    """A new, empty ledger, gone when it is closed."""
    yield MemoryLedger()


@dataclass(slots=True)
class _Work:
    document: str | None
    opened: bool = False
    finished: bool = False


@dataclass(slots=True)
class _Document:
    introduction: NewDocument | None = None
    """None: only its messages are known, which ran ahead of its admission."""
    stage: str | None = None
    code: str | None = None
    open_work: int = 0

    @property
    def state(self) -> DocumentState | None:
        if self.introduction is None:
            return None
        if self.introduction.state is DocumentState.EXPANDED:
            return DocumentState.EXPANDED
        if self.code is not None:
            return DocumentState.FAILED
        return DocumentState.OPEN if self.open_work else DocumentState.DONE


@dataclass(slots=True)
class _Job:
    opened: NewJob
    state: JobState = JobState.OPEN
    reason: str | None = None
    generation: int = 0
    manifest: int | None = None
    open_work: int = 0
    documents: dict[str, _Document] = field(default_factory=dict)
    items: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    image: ImageRecord | None = None
    completed_at: datetime | None = None
    erased_at: datetime | None = None

    @property
    def retain_until(self) -> datetime:
        if self.image is not None:
            return self.image.retain_until
        return self.opened.retain_until or self.opened.opened_at + DEFAULT_RETENTION

    @property
    def sources(self) -> int:
        introductions = [document.introduction for document in self.documents.values()]
        return sum(one is not None and not one.member for one in introductions)

    def count(self, *states: DocumentState) -> int:
        return sum(document.state in states for document in self.documents.values())

    def document(self, document: str) -> _Document:
        return self.documents.setdefault(document, _Document())


class MemoryLedger:
    """No method waits for anything, so each is one transaction."""

    def __init__(self) -> None:
        self._jobs: dict[UUID, _Job] = {}
        self._work: dict[tuple[UUID, str], _Work] = {}
        self._outbox: list[Announcement] = []

    async def open_job(self, job: NewJob) -> JobView:
        self._jobs.setdefault(job.id, _Job(job))
        return await self.job(job.id)

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        known = ((message, self._work.get((message, stage))) for message in messages)
        return {message for message, work in known if work is not None and work.finished}

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        return {job for job in jobs if self._in(job, JobState.ERASED, JobState.CANCELLED)}

    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        fresh = [outcome for outcome in outcomes if self._finish(stage, outcome)]
        for outcome in fresh:
            if job := self._jobs.get(outcome.job):
                self._count(job, stage, outcome)
        for job_id in dict.fromkeys(outcome.job for outcome in fresh):
            if job := self._jobs.get(job_id):
                self._settle(job, now)

    async def announcements(self) -> list[Announcement]:
        return list(self._outbox)

    async def announced(self, announcement: Announcement) -> None:
        self._outbox = [one for one in self._outbox if one != announcement]

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        if self._in(job, JobState.COMPLETE) and self._jobs[job].generation == generation:
            self._jobs[job].state = JobState.BAKED
            self._jobs[job].image = image

    async def failed(self, job: UUID, reason: str) -> None:
        if self._in(job, *RUNNING, JobState.COMPLETE):
            self._jobs[job].state = JobState.FAILED
            self._jobs[job].reason = reason
            self._withdraw(job)

    async def erased(self, job: UUID, *, now: datetime) -> None:
        if job not in self._jobs or self._in(job, JobState.ERASED):
            return
        erased = self._jobs[job]
        erased.state, erased.erased_at = JobState.ERASED, now
        for document in erased.documents.values():
            if document.introduction is not None:
                document.introduction = replace(document.introduction, sealed_path=b"")
        self._withdraw(job)

    async def due_for_erasure(self, *, now: datetime) -> list[UUID]:
        due = [job for job in self._jobs.values() if _is_due(job, now)]
        return [job.opened.id for job in sorted(due, key=lambda job: (job.retain_until, job.opened.id))]

    async def open_documents(self, customer: str) -> int:
        running = [job for job in self._jobs.values() if job.opened.customer == customer and job.state in RUNNING]
        return sum(document.open_work > 0 for job in running for document in job.documents.values())

    async def job(self, job: UUID) -> JobView:
        if job not in self._jobs:
            raise Permanent("job.unknown", job=job)
        return _view(self._jobs[job])

    async def jobs(self, customer: str | None = None, *, limit: int = 100) -> list[JobView]:
        wanted = [job for job in self._jobs.values() if customer in (None, job.opened.customer)]
        wanted.sort(key=lambda job: job.opened.id)
        wanted.sort(key=lambda job: job.opened.opened_at, reverse=True)
        return [_view(job) for job in wanted[:limit]]

    async def documents(self, job: UUID) -> list[DocumentRow]:
        if job not in self._jobs:
            return []
        return [
            DocumentRow(document_id, document.state, document.introduction.sealed_path, document.stage, document.code)
            for document_id, document in sorted(self._jobs[job].documents.items())
            if document.state is not None and document.introduction is not None
        ]

    async def ping(self) -> None:
        pass

    def _in(self, job: UUID, *states: JobState) -> bool:
        return job in self._jobs and self._jobs[job].state in states

    def _withdraw(self, job: UUID) -> None:
        self._outbox = [one for one in self._outbox if one.job != job]

    def _finish(self, stage: str, outcome: Outcome) -> bool:
        """Whether this outcome is the first of its message at the stage."""
        work = self._work.setdefault((outcome.message, stage), _Work(outcome.document))
        if work.finished:
            return False
        work.finished = True
        if work.opened and (job := self._jobs.get(outcome.job)):
            self._move_work(job, work.document, -1)
        return True

    def _count(self, job: _Job, stage: str, outcome: Outcome) -> None:
        for unit in outcome.opens:
            self._open(job, unit)
        for introduced in outcome.documents:
            document = job.document(introduced.id)
            if document.introduction is None:
                path = b"" if job.state is JobState.ERASED else introduced.sealed_path
                document.introduction = replace(introduced, sealed_path=path)
                _fail(document, stage, introduced.code)
        if outcome.document is not None:
            _fail(job.document(outcome.document), stage, outcome.code)
        if job.manifest is None:
            job.manifest = outcome.manifest
        job.items[stage] += outcome.items
        job.outcomes[stage] += 1

    def _open(self, job: _Job, unit: Unit) -> None:
        work = self._work.setdefault((unit.message, unit.stage), _Work(unit.document))
        if not work.opened:
            work.opened = True
            if not work.finished:
                self._move_work(job, work.document, +1)

    def _move_work(self, job: _Job, document: str | None, units: int) -> None:
        job.open_work += units
        if document is not None:
            job.document(document).open_work += units

    def _settle(self, job: _Job, now: datetime) -> None:
        if job.state not in RUNNING or job.manifest is None:
            return
        job.state = JobState.PROCESSING
        if job.sources < job.manifest or job.open_work:
            return
        job.completed_at = now
        if not job.count(DocumentState.DONE):
            job.state, job.reason = JobState.FAILED, "job.empty"
            return
        job.state = JobState.COMPLETE
        job.generation += 1
        self._outbox.append(Announcement(job.opened.id, job.opened.customer, job.generation))


def _fail(document: _Document, stage: str, code: str | None) -> None:
    """The first failure counts."""
    if document.code is None and code is not None:
        document.stage, document.code = stage, code


def _is_due(job: _Job, now: datetime) -> bool:
    if job.state is JobState.ERASED or job.retain_until > now:
        return False
    return job.state not in AT_WORK or job.opened.opened_at + LONGEST_WORK <= now


def _view(job: _Job) -> JobView:
    image = job.image
    return JobView(
        id=job.opened.id,
        customer=job.opened.customer,
        reference=job.opened.reference,
        state=job.state,
        parameters=job.opened.parameters,
        fingerprint=job.opened.fingerprint,
        parent=job.opened.parent,
        generation=job.generation,
        manifest=job.manifest,
        total=job.count(DocumentState.OPEN, DocumentState.DONE, DocumentState.FAILED),
        done=job.count(DocumentState.DONE),
        failed=job.count(DocumentState.FAILED),
        open_work=job.open_work,
        items={stage: items for stage, items in job.items.items() if items},
        outcomes=dict(job.outcomes),
        reason=job.reason,
        image=None if image is None else image.digest,
        merkle={} if image is None else dict(image.merkle),
        opened_at=job.opened.opened_at,
        completed_at=job.completed_at,
        baked_at=None if image is None else image.baked_at,
        erased_at=job.erased_at,
        retain_until=job.retain_until,
        chunks=None if image is None else image.chunks,
    )
