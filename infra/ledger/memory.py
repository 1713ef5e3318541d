"""The ledger in memory, for tests and single processes: the same answers as PostgreSQL's, kept in dictionaries."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from infra.ledger import (
    ADMIT,
    BAKE,
    DEFAULT_RETENTION,
    LONGEST_WORK,
    Announcement,
    Counted,
    CountedUnit,
    DocumentRow,
    DocumentState,
    ImageRecord,
    JobState,
    JobView,
    NewDocument,
    NewJob,
    Outcome,
    StageProgress,
    Taken,
    Unit,
    WorkRow,
)
from schemas.errors import Permanent

RUNNING = (JobState.OPEN, JobState.PROCESSING)
AT_WORK = (JobState.PROCESSING, JobState.COMPLETE)
FILES = (DocumentState.OPEN, DocumentState.DONE, DocumentState.FAILED, DocumentState.DUPLICATE)
STOPPED = (JobState.ERASED, JobState.CANCELLED)


@asynccontextmanager
async def open_memory(_url: str) -> AsyncIterator["MemoryLedger"]:
    """A new, empty ledger, gone when it is closed."""
    yield MemoryLedger()


@dataclass(slots=True)
class _Work:
    job: UUID
    document: str | None
    opened: bool = False
    finished_at: datetime | None = None
    items: int = 0
    code: str | None = None
    counts: Mapping[Counted, int] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    @property
    def open(self) -> bool:
        return self.opened and not self.finished

    def reopen(self) -> None:
        self.opened, self.finished_at, self.items, self.code, self.counts = True, None, 0, None, {}


@dataclass(slots=True)
class _InHand:
    worker: UUID | None = None
    since: datetime | None = None
    strikes: int = 0


@dataclass(slots=True)
class _Document:
    introduction: NewDocument | None = None
    """None: only its messages are known, which ran ahead of its admission, or it is to be admitted anew."""
    member: bool | None = None
    """None: never met. What it was met as first stays."""
    forgotten_path: bytes | None = None
    """Its sealed path while it is to be met again."""
    content: str | None = None
    same_as: str | None = None
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
        if self.same_as is not None:
            return DocumentState.DUPLICATE
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
    counts: Counter[str] = field(default_factory=Counter)
    image: ImageRecord | None = None
    first_done_at: datetime | None = None
    first_done: int = 0
    last_done: int = 0
    last_done_at: datetime | None = None
    completed_at: datetime | None = None
    erased_at: datetime | None = None
    version: str | None = None

    @property
    def retain_until(self) -> datetime:
        if self.image is not None:
            return self.image.retain_until
        return self.opened.retain_until or self.opened.opened_at + DEFAULT_RETENTION

    @property
    def sources(self) -> int:
        """Source documents met, less the members that are to be met again: those are waited for as well."""
        sources = sum(document.introduction is not None and not document.member for document in self.documents.values())
        return sources - sum(
            document.introduction is None and bool(document.member) for document in self.documents.values()
        )

    @property
    def all_met(self) -> bool:
        return self.manifest is not None and self.sources >= self.manifest

    @property
    def ready(self) -> bool:
        """Nothing is left to do before it is baked."""
        return self.all_met and not self.open_work

    @property
    def verdict(self) -> str | None:
        """Why it cannot be baked as it stands, if so."""
        failed, limit = self.count(DocumentState.FAILED), self.opened.max_failed
        removes_only = self.opened.extends is not None and not self.count(*FILES)
        if not self.count(DocumentState.DONE) and not removes_only:
            return "job.empty"
        if limit is not None and failed > limit.most(self.count(*FILES)):
            return "job.too-many-failed"
        return None

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
        self._in_hand: dict[tuple[UUID, str], _InHand] = {}
        self._discarded: dict[UUID, datetime] = {}

    async def open_job(self, job: NewJob) -> JobView:
        if job.id not in self._jobs:
            self._jobs[job.id] = _Job(job)
            self._work = {
                (message, stage): work
                for (message, stage), work in self._work.items()
                if work.job != job.id or stage == ADMIT
            }
        return await self.job(job.id)

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        known = ((message, self._work.get((message, stage))) for message in messages)
        return {message for message, work in known if work is not None and work.finished}

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        return {job for job in jobs if self._in(job, *STOPPED)}

    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        for outcome in outcomes:
            self._in_hand.pop((outcome.message, stage), None)
        fresh = [outcome for outcome in outcomes if self._finish(stage, outcome, now)]
        for outcome in fresh:
            if job := self._jobs.get(outcome.job):
                self._count(job, stage, outcome)
        for job_id in dict.fromkeys(outcome.job for outcome in fresh):
            if job := self._jobs.get(job_id):
                _follow_originals(job)
                self._settle(job, now)

    async def take(self, stage: str, messages: Sequence[UUID], *, worker: UUID, now: datetime) -> Taken:
        finished = await self.finished(stage, messages)
        suspects = {}
        for message in dict.fromkeys(messages):
            if message in finished:
                continue
            held = self._in_hand.setdefault((message, stage), _InHand())
            if held.strikes or held.worker not in (None, worker):
                suspects[message] = held.strikes
            held.worker, held.since = worker, now
        return Taken(frozenset(finished), suspects)

    async def put_down(self, stage: str, messages: Sequence[UUID], *, worker: UUID) -> None:
        for message in messages:
            held = self._in_hand.get((message, stage))
            if held is not None and held.worker == worker:
                held.worker = None
                if not held.strikes:
                    del self._in_hand[message, stage]

    async def strike(self, stage: str, message: UUID) -> int:
        held = self._in_hand.setdefault((message, stage), _InHand())
        held.strikes += 1
        return held.strikes

    async def redrive(
        self, stage: str, message: UUID, *, job: UUID, now: datetime, document: str | None = None
    ) -> bool:
        if job not in self._jobs:
            return self._forget_failure(None, stage, message)
        mended = self._living(job, now)
        if stage == BAKE:
            return self._redrive_announcement(mended, message)
        work = self._work.setdefault((message, stage), _Work(job, None))
        if work.finished and work.code is None:
            return False
        if not work.open:
            work.document = work.document or document
            self._reopen(mended, stage, work)
        _follow_originals(mended)
        self._resume(mended)
        return True

    async def readmit(self, job: UUID, documents: Sequence[str], *, event: UUID, now: datetime) -> None:
        mended = self._living(job, now)
        work = self._work.setdefault((event, ADMIT), _Work(job, None))
        if work.finished and work.code is None:
            return
        if not work.open:
            self._reopen(mended, ADMIT, work)
        self._drop_work(mended, set(documents))
        for document in documents:
            if (known := mended.documents.get(document)) is not None:
                if known.introduction is not None:
                    known.forgotten_path = known.introduction.sealed_path
                known.introduction = known.stage = known.code = None
        _follow_originals(mended)
        self._resume(mended)

    async def announce_again(self, job: UUID) -> bool:
        if not self._in(job, JobState.COMPLETE):
            return False
        self._withdraw(job)
        self._announce(self._jobs[job])
        return True

    async def cancelled(self, job: UUID, *, now: datetime) -> None:
        if job in self._jobs and not self._in(job, *STOPPED):
            self._jobs[job].state, self._jobs[job].reason = JobState.CANCELLED, "job.cancelled"
            self._withdraw(job)

    async def discard(self, letters: Sequence[UUID], *, now: datetime) -> None:
        for letter in letters:
            self._discarded.setdefault(letter, now)

    async def discarded(self, letters: Sequence[UUID]) -> set[UUID]:
        return self._discarded.keys() & set(letters)

    async def originals(self, job: UUID, contents: Sequence[str]) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        wanted = set(contents)
        for id_, document in self._jobs[job].documents.items() if job in self._jobs else ():
            if document.content in wanted and _is_original(document):
                found.setdefault(str(document.content), set()).add(id_)
        return {content: frozenset(documents) for content, documents in found.items()}

    async def counted(self, job: UUID) -> list[CountedUnit]:
        units = [
            CountedUnit(stage, work.document, dict(work.counts))
            for (_, stage), work in self._work.items()
            if work.job == job and work.counts
        ]
        return sorted(units, key=lambda unit: (unit.stage, unit.document or ""))

    async def outcomes(self, stage: str, messages: Sequence[UUID]) -> dict[UUID, str | None]:
        return {message: self._work[message, stage].code for message in await self.finished(stage, messages)}

    async def work(self, job: UUID, *, open_only: bool = False) -> list[WorkRow]:
        rows = [
            WorkRow(message, stage, work.document, work.opened, work.finished, work.code)
            for (message, stage), work in self._work.items()
            if work.job == job and (work.open or not open_only)
        ]
        return sorted(rows, key=lambda row: (row.stage, row.message))

    async def running(self) -> list[StageProgress]:
        units: Counter[tuple[UUID, str]] = Counter()
        documents: dict[tuple[UUID, str], set[str]] = {}
        for (_, stage), work in self._work.items():
            if work.open and self._in(work.job, *RUNNING):
                units[work.job, stage] += 1
                documents.setdefault((work.job, stage), set()).update([work.document] if work.document else [])
        return [
            StageProgress(job, self._jobs[job].opened.customer, stage, len(documents[job, stage]), units[job, stage])
            for job, stage in sorted(units)
        ]

    async def forget(self, *, erased_before: datetime) -> int:
        def is_old(time: datetime | None) -> bool:
            return time is not None and time < erased_before

        old = [job.opened.id for job in self._jobs.values() if is_old(job.erased_at)]
        for job in old:
            del self._jobs[job]
            self._withdraw(job)
        self._work = {
            key: work
            for key, work in self._work.items()
            if work.job not in old and (work.job in self._jobs or not is_old(work.finished_at))
        }
        self._in_hand = {key: held for key, held in self._in_hand.items() if held.since and not is_old(held.since)}
        self._discarded = {letter: time for letter, time in self._discarded.items() if not is_old(time)}
        return len(old)

    async def announcements(self) -> list[Announcement]:
        return list(self._outbox)

    async def announced(self, announcement: Announcement) -> None:
        self._outbox = [one for one in self._outbox if one != announcement]

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        if self._in(job, JobState.COMPLETE) and self._jobs[job].generation == generation:
            self._jobs[job].state = JobState.BAKED
            self._jobs[job].image = image

    async def packaged(self, job: UUID, generation: int, version: str) -> None:
        if self._in(job, JobState.BAKED) and self._jobs[job].generation == generation:
            self._jobs[job].state = JobState.PACKAGED
            self._jobs[job].version = version

    async def failed(self, job: UUID, reason: str, *, generation: int | None = None) -> None:
        if generation is not None and not (
            self._in(job, JobState.COMPLETE) and self._jobs[job].generation == generation
        ):
            return
        if self._in(job, *RUNNING, JobState.COMPLETE):
            self._jobs[job].state = JobState.FAILED
            self._jobs[job].reason = reason
            self._withdraw(job)

    async def erased(self, job: UUID, *, now: datetime) -> None:
        if job not in self._jobs or self._jobs[job].erased_at is not None:
            return
        erased = self._jobs[job]
        erased.erased_at = now
        if erased.state is not JobState.CANCELLED:
            erased.state = JobState.ERASED
        for document in erased.documents.values():
            if document.introduction is not None:
                document.introduction = replace(document.introduction, sealed_path=b"")
            if document.forgotten_path is not None:
                document.forgotten_path = b""
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
            DocumentRow(
                document_id,
                document.state,
                document.introduction.sealed_path,
                document.stage,
                document.code,
                bool(document.member),
                document.content,
                document.same_as,
            )
            for document_id, document in sorted(self._jobs[job].documents.items())
            if document.state is not None and document.introduction is not None
        ]

    async def awaited(self, job: UUID) -> list[DocumentRow]:
        known = self._jobs[job].documents.items() if job in self._jobs else ()
        return [
            DocumentRow(
                document, DocumentState.OPEN, one.forgotten_path, None, None, bool(one.member), one.content, one.same_as
            )
            for document, one in sorted(known)
            if one.forgotten_path is not None
        ]

    async def ping(self) -> None:
        pass

    def _in(self, job: UUID, *states: JobState) -> bool:
        return job in self._jobs and self._jobs[job].state in states

    def _withdraw(self, job: UUID) -> None:
        self._outbox = [one for one in self._outbox if one.job != job]

    def _announce(self, job: _Job) -> None:
        self._outbox.append(Announcement(job.opened.id, job.opened.customer, job.generation))

    def _finish(self, stage: str, outcome: Outcome, now: datetime) -> bool:
        """Whether this outcome is the first of its message at the stage."""
        work = self._work.setdefault((outcome.message, stage), _Work(outcome.job, outcome.document))
        if work.finished:
            return False
        work.finished_at, work.items, work.code = now, outcome.items, outcome.code
        work.counts = dict(outcome.counts)
        if work.opened and (job := self._jobs.get(outcome.job)):
            self._move_work(job, work.document, -1)
        return True

    def _count(self, job: _Job, stage: str, outcome: Outcome) -> None:
        for unit in outcome.opens:
            self._open(job, unit)
        for introduced in outcome.documents:
            document = job.document(introduced.id)
            if document.introduction is None:
                path = introduced.sealed_path if job.erased_at is None else b""
                document.introduction, document.forgotten_path = replace(introduced, sealed_path=path), None
                document.content, document.same_as = introduced.content, introduced.same_as
                if document.member is None:
                    document.member = introduced.member
                _fail(document, stage, introduced.code)
        if outcome.document is not None:
            _fail(job.document(outcome.document), stage, outcome.code)
        if job.manifest is None:
            job.manifest = outcome.manifest
        job.items[stage] += outcome.items
        job.outcomes[stage] += 1
        job.counts.update(_by_name(outcome.counts))

    def _open(self, job: _Job, unit: Unit) -> None:
        work = self._work.setdefault((unit.message, unit.stage), _Work(job.opened.id, unit.document))
        if not work.opened:
            work.opened = True
            if not work.finished:
                self._move_work(job, work.document, +1)

    def _move_work(self, job: _Job, document: str | None, units: int) -> None:
        job.open_work += units
        if document is not None:
            job.document(document).open_work += units

    def _settle(self, job: _Job, now: datetime) -> None:
        over = job.count(DocumentState.DONE, DocumentState.FAILED)
        if job.count(DocumentState.DONE) and job.first_done_at is None:
            job.first_done_at, job.first_done = now, over
        if job.first_done_at is not None and over > job.last_done:
            job.last_done_at = now
        job.last_done = over
        if job.state not in RUNNING or job.manifest is None:
            return
        job.state = JobState.PROCESSING
        if not job.ready:
            return
        job.completed_at, job.reason = now, job.verdict
        if job.reason is not None:
            job.state = JobState.FAILED
            return
        job.state = JobState.COMPLETE
        job.generation += 1
        self._announce(job)

    def _living(self, job: UUID, now: datetime) -> _Job:
        """The job that is to be mended."""
        if job not in self._jobs:
            raise Permanent("job.unknown", job=job)
        if self._in(job, *STOPPED):
            raise Permanent("job.erased", when=self._jobs[job].erased_at or now)
        return self._jobs[job]

    def _resume(self, job: _Job) -> None:
        job.state = JobState.OPEN if job.manifest is None else JobState.PROCESSING
        job.reason = job.version = None
        job.last_done = job.count(DocumentState.DONE, DocumentState.FAILED)
        self._withdraw(job.opened.id)

    def _reopen(self, job: _Job, stage: str, work: _Work) -> None:
        """Opens a unit that failed, or that nobody opened."""
        failure = work.code
        if work.finished:
            self._uncount(job, stage, work)
        work.reopen()
        self._move_work(job, work.document, +1)
        if work.document is not None and failure is not None:
            document = job.document(work.document)
            if (document.stage, document.code) == (stage, failure):
                document.stage, document.code = self._failure(job.opened.id, work.document)

    def _failure(self, job: UUID, document: str) -> tuple[str | None, str | None]:
        """The stage and code of the first of the document's units that failed."""
        failed = [
            (work.finished_at, message, stage, work.code)
            for (message, stage), work in self._work.items()
            if work.job == job and work.document == document and work.finished_at is not None and work.code is not None
        ]
        return min(failed)[2:] if failed else (None, None)

    def _redrive_announcement(self, job: _Job, message: UUID) -> bool:
        if job.state is JobState.FAILED and not job.ready:  # its next completion is announced anew
            self._resume(job)
            return False
        failed_late = job.state is JobState.FAILED and job.generation > 0 and job.verdict is None
        if not (failed_late or job.state is JobState.COMPLETE) or not self._forget_failure(job, BAKE, message):
            return False
        job.state, job.reason = JobState.COMPLETE, None
        return True

    def _forget_failure(self, job: _Job | None, stage: str, message: UUID) -> bool:
        """Drops a failed outcome; False where it is done."""
        work = self._work.get((message, stage))
        if work is None:
            return True
        if work.code is None:
            return not work.finished
        if job is not None:
            self._uncount(job, stage, work)
        del self._work[message, stage]
        return True

    def _drop_work(self, job: _Job, documents: set[str]) -> None:
        """Drops all units of these documents."""
        for (message, stage), work in list(self._work.items()):
            if work.job == job.opened.id and work.document in documents:
                if work.open:
                    self._move_work(job, work.document, -1)
                if work.finished:
                    self._uncount(job, stage, work)
                del self._work[message, stage]

    def _uncount(self, job: _Job, stage: str, work: _Work) -> None:
        """Takes an outcome back from what is displayed: it will be counted again."""
        job.outcomes[stage] -= 1
        job.items[stage] -= work.items
        job.counts.subtract(_by_name(work.counts))


def _fail(document: _Document, stage: str, code: str | None) -> None:
    """The first failure counts."""
    if document.code is None and code is not None:
        document.stage, document.code = stage, code


def _follow_originals(job: _Job) -> None:
    """A duplicate is failed as its original is."""
    for document in job.documents.values():
        if document.introduction is not None and document.same_as is not None:
            original = job.document(document.same_as) if document.same_as in job.documents else _Document()
            document.stage, document.code = original.stage, original.code


def _is_original(document: _Document) -> bool:
    met = document.introduction is not None or document.forgotten_path is not None
    return met and document.code is None and document.same_as is None


def _by_name(counts: Mapping[Counted, int]) -> dict[str, int]:
    return {name.value: number for name, number in counts.items()}


def _is_due(job: _Job, now: datetime) -> bool:
    if job.erased_at is not None:
        return False
    if job.state is JobState.CANCELLED:
        return True
    if job.retain_until > now:
        return False
    return job.state not in AT_WORK or job.opened.opened_at + LONGEST_WORK <= now


def _view(job: _Job) -> JobView:
    image = job.image
    counts = job.counts if image is None else job.counts + Counter(_by_name(image.counts))
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
        total=job.count(*FILES),
        done=job.count(DocumentState.DONE),
        failed=job.count(DocumentState.FAILED),
        open_work=job.open_work,
        items={stage: items for stage, items in job.items.items() if items},
        outcomes={stage: outcomes for stage, outcomes in job.outcomes.items() if outcomes},
        reason=job.reason,
        image=None if image is None else image.digest,
        merkle={} if image is None else dict(image.merkle),
        opened_at=job.opened.opened_at,
        completed_at=job.completed_at,
        baked_at=None if image is None else image.baked_at,
        erased_at=job.erased_at,
        retain_until=job.retain_until,
        chunks=None if image is None else image.chunks,
        first_done_at=job.first_done_at,
        first_done=job.first_done,
        last_done_at=job.last_done_at,
        max_failed=job.opened.max_failed,
        extends=job.opened.extends,
        version=job.version,
        duplicates=job.count(DocumentState.DUPLICATE),
        counts={name: number for name, number in counts.items() if number},
    )
