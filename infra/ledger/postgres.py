"""The ledger on PostgreSQL 16 or newer. Its statements stand in sql/, its tables in migrations/versions/.

`record` locks the jobs of its outcomes in order of their ids, and so two polls never wait for each other in a ring.
It takes the same few round trips for one outcome as for hundreds.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

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
    Limit,
    NewDocument,
    NewJob,
    Outcome,
    StageProgress,
    Taken,
    WorkRow,
)
from infra.postgres import Database, Statements, load_queries
from infra.retries import tried_again
from schemas.errors import Permanent


@asynccontextmanager
async def open_postgres(url: str) -> AsyncIterator["PostgresLedger"]:
    """`url` as libpq reads it. No server need answer yet."""
    database = Database(url, load_queries("infra.ledger"))
    await database.open()
    try:
        yield PostgresLedger(database)
    finally:
        await database.close()


class PostgresLedger:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_job(self, job: NewJob) -> JobView:
        await self._database.fetch(
            "open_job",
            id=job.id,
            customer=job.customer,
            reference=job.reference,
            parameters=job.parameters,
            fingerprint=job.fingerprint,
            parent=job.parent,
            opened_at=job.opened_at,
            retain_until=job.retain_until or job.opened_at + DEFAULT_RETENTION,
            max_failed_count=job.max_failed.count if job.max_failed else None,
            max_failed_share=job.max_failed.share if job.max_failed else None,
            extends=job.extends,
            admit=ADMIT,
        )
        return await self.job(job.id)

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        rows = await self._database.fetch("finished", stage=stage, messages=list(messages))
        return {row["message"] for row in rows}

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        return {row["id"] for row in await self._database.fetch("erased_jobs", jobs=list(jobs))}

    @tried_again
    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        once = {outcome.message: outcome for outcome in reversed(outcomes)}  # the first of a message counts
        if once:
            async with self._database.transaction() as statements:
                await _record(statements, stage, list(once.values()), now)

    async def take(self, stage: str, messages: Sequence[UUID], *, worker: UUID, now: datetime) -> Taken:
        rows = await self._database.fetch("take", stage=stage, messages=list(messages), worker=worker, now=now)
        return Taken(
            finished=frozenset(row["message"] for row in rows if row["finished"]),
            suspects={row["message"]: row["strikes"] for row in rows if not row["finished"]},
        )

    async def put_down(self, stage: str, messages: Sequence[UUID], *, worker: UUID) -> None:
        await self._database.fetch("put_down", stage=stage, messages=list(messages), worker=worker)

    async def strike(self, stage: str, message: UUID) -> int:
        async with self._database.transaction() as statements:  # whose queries run once: a strike must not count twice
            (row,) = await statements.fetch("strike", stage=stage, message=message)
        return int(row["strikes"])

    @tried_again
    async def redrive(
        self, stage: str, message: UUID, *, job: UUID, now: datetime, document: str | None = None
    ) -> bool:
        async with self._database.transaction() as statements:
            standing = await _lock_job(statements, job, now)
            if standing is None:
                return await _forget_failure(statements, stage, message)
            if stage == BAKE:
                return await _redrive_announcement(statements, job, message, standing)
            return await _redrive_unit(statements, stage, message, job, document)

    @tried_again
    async def readmit(self, job: UUID, documents: Sequence[str], *, event: UUID, now: datetime) -> None:
        async with self._database.transaction() as statements:
            if await _lock_job(statements, job, now) is None:
                raise Permanent("job.unknown", job=job)
            await _readmit(statements, job, documents, event)

    async def announce_again(self, job: UUID) -> bool:
        return bool(await self._database.fetch("announce_again", job=job))

    @tried_again
    async def cancelled(self, job: UUID, *, now: datetime) -> None:
        async with self._database.transaction() as statements:
            await statements.fetch("cancel_job", job=job)
            await statements.fetch("withdraw_announcements", job=job)

    async def discard(self, letters: Sequence[UUID], *, now: datetime) -> None:
        await self._database.fetch("discard", letters=list(letters), now=now)

    async def discarded(self, letters: Sequence[UUID]) -> set[UUID]:
        return {row["letter"] for row in await self._database.fetch("discarded", letters=list(letters))}

    async def originals(self, job: UUID, contents: Sequence[str]) -> dict[str, frozenset[str]]:
        rows = await self._database.fetch("originals", job=job, contents=list(contents))
        return {row["content"]: frozenset(row["documents"]) for row in rows}

    async def counted(self, job: UUID) -> list[CountedUnit]:
        rows = await self._database.fetch("counted", job=job)
        return [CountedUnit(row["stage"], row["document"], _counts(row["counts"])) for row in rows]

    async def outcomes(self, stage: str, messages: Sequence[UUID]) -> dict[UUID, str | None]:
        rows = await self._database.fetch("outcomes", stage=stage, messages=list(messages))
        return {row["message"]: row["code"] for row in rows}

    async def work(self, job: UUID, *, open_only: bool = False) -> list[WorkRow]:
        return [WorkRow(**row) for row in await self._database.fetch("open_units" if open_only else "work", job=job)]

    async def running(self) -> list[StageProgress]:
        return [StageProgress(**row) for row in await self._database.fetch("running")]

    async def forget(self, *, erased_before: datetime) -> int:
        async with self._database.transaction() as statements:
            jobs = [row["id"] for row in await statements.fetch("old_jobs", before=erased_before)]
            for name in ("forget_all_documents", "forget_progress", "forget_counts", "forget_outbox", "forget_jobs"):
                await statements.fetch(name, jobs=jobs)
            await statements.fetch("forget_work", jobs=jobs, before=erased_before)
            await statements.fetch("forget_in_hand", before=erased_before)
            await statements.fetch("forget_discarded", before=erased_before)
        return len(jobs)

    async def announcements(self) -> list[Announcement]:
        return [Announcement(**row) for row in await self._database.fetch("announcements")]

    async def announced(self, announcement: Announcement) -> None:
        await self._database.fetch("take_announcement", job=announcement.job, generation=announcement.generation)

    async def baked(self, job: UUID, generation: int, image: ImageRecord) -> None:
        await self._database.fetch(
            "bake_job",
            job=job,
            generation=generation,
            image=image.digest,
            chunks=image.chunks,
            merkle=Jsonb(dict(image.merkle)),
            baked_at=image.baked_at,
            retain_until=image.retain_until,
            counts=Jsonb(_by_name(image.counts)),
        )

    async def packaged(self, job: UUID, generation: int, version: str) -> None:
        await self._database.fetch("package_job", job=job, generation=generation, version=version)

    @tried_again
    async def failed(self, job: UUID, reason: str, *, generation: int | None = None) -> None:
        async with self._database.transaction() as statements:
            await statements.fetch("fail_job", job=job, reason=reason, generation=generation)
            await statements.fetch("withdraw_announcements", job=job)

    @tried_again
    async def erased(self, job: UUID, *, now: datetime) -> None:
        async with self._database.transaction() as statements:
            await statements.fetch("erase_job", job=job, now=now)  # locks the row: no later outcome brings a path
            await statements.fetch("drop_paths", job=job)
            await statements.fetch("withdraw_announcements", job=job)

    async def due_for_erasure(self, *, now: datetime) -> list[UUID]:
        rows = await self._database.fetch("due_for_erasure", now=now, opened_before=now - LONGEST_WORK)
        return [row["id"] for row in rows]

    async def open_documents(self, customer: str) -> int:
        (row,) = await self._database.fetch("open_documents", customer=customer)
        return int(row["documents"])

    async def job(self, job: UUID) -> JobView:
        rows = await self._database.fetch("job", job=job)
        if not rows:
            raise Permanent("job.unknown", job=job)
        return _view(rows[0])

    async def jobs(self, customer: str | None = None, *, limit: int = 100) -> list[JobView]:
        if customer is None:
            rows = await self._database.fetch("jobs", limit=limit)
        else:
            rows = await self._database.fetch("jobs_of_customer", customer=customer, limit=limit)
        return [_view(row) for row in rows]

    async def documents(self, job: UUID) -> list[DocumentRow]:
        rows = await self._database.fetch("documents", job=job)
        return [DocumentRow(**row | {"state": DocumentState(row["state"])}) for row in rows]

    async def awaited(self, job: UUID) -> list[DocumentRow]:
        rows = await self._database.fetch("awaited", job=job)
        return [DocumentRow(**row | {"state": DocumentState.OPEN}) for row in rows]

    async def ping(self) -> None:
        await self._database.fetch("ping")


def _view(row: DictRow) -> JobView:
    count, share = row.pop("max_failed_count"), row.pop("max_failed_share")
    limit = None if count is None and share is None else Limit(count, share)
    counts: Counter[str] = Counter(row.pop("unit_counts")) + Counter(row.pop("image_counts"))
    return JobView(**row | {"state": JobState(row["state"]), "max_failed": limit, "counts": dict(counts)})


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit that is to be worked on again, as it stands."""

    document: str | None = None
    items: int = 0
    counts: Mapping[str, int] | None = None
    code: str | None = None
    opened: bool = False
    finished: bool = False

    @property
    def done(self) -> bool:
        return self.finished and self.code is None


@dataclass(slots=True)
class _DocumentMove:
    """What one poll does to one document."""

    introduction: NewDocument | None = None
    failure: str | None = None
    open_work: int = 0

    @property
    def may_fail_others(self) -> bool:
        """Whether duplicates may have to follow: it failed, or is one."""
        met = self.introduction
        return self.failure is not None or (met is not None and (met.code is not None or met.same_as is not None))


_Moves = dict[tuple[UUID, str], _DocumentMove]


async def _record(statements: Statements, stage: str, outcomes: list[Outcome], now: datetime) -> None:
    """The steps of one transaction. Counters move for outcomes that are new and jobs that exist, for nothing else."""
    known = await statements.fetch("lock_jobs", jobs=_unique_jobs(outcomes))
    erased = {row["id"]: row["erased_at"] is not None for row in known}
    fresh = await _finish_work(statements, stage, outcomes, now)
    counted = [outcome for outcome in outcomes if outcome.message in fresh and outcome.job in erased]
    if not counted:
        return
    open_work: Counter[tuple[UUID, str | None]] = Counter()
    for outcome in counted:
        unit = fresh[outcome.message]
        open_work[outcome.job, unit["document"]] -= unit["opened"]
    for row in await _open_work(statements, counted):
        open_work[row["job"], row["document"]] += 1
    changes = await _move_documents(statements, stage, _document_moves(counted, open_work), erased)
    await _move_jobs(statements, counted, open_work, changes, now)
    await _add_progress(statements, stage, counted)
    await _add_counts(statements, counted)


async def _finish_work(
    statements: Statements, stage: str, outcomes: Sequence[Outcome], now: datetime
) -> dict[UUID, DictRow]:
    """The units that these outcomes finished for the first time, by message."""
    rows = await statements.fetch(
        "finish_work",
        stage=stage,
        now=now,
        messages=[outcome.message for outcome in outcomes],
        jobs=[outcome.job for outcome in outcomes],
        documents=[outcome.document for outcome in outcomes],
        items=[outcome.items for outcome in outcomes],
        codes=[outcome.code for outcome in outcomes],
        counts=[Jsonb(_by_name(outcome.counts)) if outcome.counts else None for outcome in outcomes],
    )
    return {row["message"]: row for row in rows}


async def _open_work(statements: Statements, outcomes: Sequence[Outcome]) -> list[DictRow]:
    """The job and document of each unit that is open now and was not before."""
    units = {(unit.message, unit.stage): (unit, outcome) for outcome in outcomes for unit in outcome.opens}
    if not units:
        return []
    return await statements.fetch(
        "open_work",
        messages=[unit.message for unit, _ in units.values()],
        stages=[unit.stage for unit, _ in units.values()],
        jobs=[outcome.job for _, outcome in units.values()],
        documents=[unit.document for unit, _ in units.values()],
        sources=[outcome.message for _, outcome in units.values()],
    )


def _document_moves(outcomes: Sequence[Outcome], open_work: Mapping[tuple[UUID, str | None], int]) -> _Moves:
    moves: _Moves = defaultdict(_DocumentMove)
    for outcome in outcomes:
        for document in outcome.documents:
            move = moves[outcome.job, document.id]
            move.introduction = move.introduction or document
        if outcome.document is not None and outcome.code is not None:
            move = moves[outcome.job, outcome.document]
            move.failure = move.failure or outcome.code
    for (job, document_id), units in open_work.items():
        if document_id is not None:
            moves[job, document_id].open_work += units
    return moves


async def _move_documents(
    statements: Statements, stage: str, moves: _Moves, erased: Mapping[UUID, bool]
) -> dict[UUID, DictRow]:
    """By how much each job's counts of documents change."""
    if not moves:
        return {}
    keys: dict[str, Any] = {"jobs": [job for job, _ in moves], "ids": [document for _, document in moves]}
    await statements.fetch("hear_of_documents", **keys)
    introductions = [move.introduction for move in moves.values()]
    rows = await statements.fetch(
        "move_documents",
        stage=stage,
        **keys,
        introduced=[one is not None for one in introductions],
        sealed_paths=[
            one.sealed_path if one is not None and not erased[job] else b""
            for one, (job, _) in zip(introductions, moves, strict=True)
        ],
        members=[one is not None and one.member for one in introductions],
        archives=[one is not None and one.state is DocumentState.EXPANDED for one in introductions],
        refusals=[None if one is None else one.code for one in introductions],
        failures=[move.failure for move in moves.values()],
        open_work=[move.open_work for move in moves.values()],
        contents=[None if one is None else one.content for one in introductions],
        originals=[None if one is None else one.same_as for one in introductions],
    )
    changes = {row["job"]: row for row in rows}
    followed = [key for key, move in moves.items() if move.may_fail_others]
    for job, change in (await _follow_originals(statements, followed)).items():
        changes[job].update({name: changes[job][name] + moved for name, moved in change.items()})
    return changes


async def _follow_originals(
    statements: Statements, documents: Sequence[tuple[UUID, str]]
) -> dict[UUID, dict[str, int]]:
    """Duplicates among these documents of these jobs, and those of them, fail as their originals do, or no longer."""
    if not documents:
        return {}
    rows = await statements.fetch(
        "follow_originals", jobs=[job for job, _ in documents], ids=[document for _, document in documents]
    )
    return {row.pop("job"): row for row in rows}


async def _move_jobs(
    statements: Statements,
    outcomes: Sequence[Outcome],
    open_work: Mapping[tuple[UUID, str | None], int],
    changes: Mapping[UUID, DictRow],
    now: datetime,
) -> None:
    jobs = _unique_jobs(outcomes)
    manifests: dict[UUID, int] = {}
    for outcome in outcomes:
        if outcome.manifest is not None:
            manifests.setdefault(outcome.job, outcome.manifest)
    units: Counter[UUID] = Counter()
    for (job, _), number in open_work.items():
        units[job] += number
    await statements.fetch(
        "move_jobs",
        now=now,
        jobs=jobs,
        manifests=[manifests.get(job) for job in jobs],
        open_work=[units[job] for job in jobs],
        **{
            count: [changes[job][count] if job in changes else 0 for job in jobs]
            for count in ("sources", "total", "done", "failed", "duplicates")
        },
    )


async def _add_progress(statements: Statements, stage: str, outcomes: Sequence[Outcome]) -> None:
    items: Counter[UUID] = Counter()
    for outcome in outcomes:
        items[outcome.job] += outcome.items
    finished = Counter(outcome.job for outcome in outcomes)
    await statements.fetch(
        "add_progress",
        stage=stage,
        jobs=list(finished),
        outcomes=list(finished.values()),
        items=[items[job] for job in finished],
    )


async def _add_counts(statements: Statements, outcomes: Sequence[Outcome]) -> None:
    numbers: Counter[tuple[UUID, str]] = Counter()
    for outcome in outcomes:
        numbers.update({(outcome.job, name): number for name, number in _by_name(outcome.counts).items()})
    if numbers:
        await statements.fetch(
            "add_counts",
            jobs=[job for job, _ in numbers],
            names=[name for _, name in numbers],
            numbers=list(numbers.values()),
        )


def _by_name(counts: Mapping[Counted, int]) -> dict[str, int]:
    return {name.value: number for name, number in counts.items()}


def _counts(by_name: Mapping[str, int]) -> dict[Counted, int]:
    """Those that this release knows."""
    return {name: by_name[name] for name in Counted if name in by_name}


def _unique_jobs(outcomes: Sequence[Outcome]) -> list[UUID]:
    return list(dict.fromkeys(outcome.job for outcome in outcomes))


async def _lock_job(statements: Statements, job: UUID, now: datetime) -> DictRow | None:
    """The job that is to be mended as it stands; None if there is none."""
    rows = await statements.fetch("lock_job", job=job)
    if rows and rows[0]["state"] in (JobState.ERASED, JobState.CANCELLED):
        raise Permanent("job.erased", when=rows[0]["erased_at"] or now)
    return rows[0] if rows else None


async def _unit(statements: Statements, stage: str, message: UUID) -> _Unit:
    """As it stands; one that nobody heard of is neither opened nor finished."""
    rows = await statements.fetch("unit", stage=stage, message=message)
    return _Unit(**rows[0]) if rows else _Unit()


async def _redrive_unit(statements: Statements, stage: str, message: UUID, job: UUID, document: str | None) -> bool:
    unit = await _unit(statements, stage, message)
    if unit.done:
        return False
    unit = replace(unit, document=unit.document or document)
    await _resume(statements, job, await _reopen(statements, stage, message, job, unit))
    return True


async def _readmit(statements: Statements, job: UUID, documents: Sequence[str], event: UUID) -> None:
    unit = await _unit(statements, ADMIT, event)
    if unit.done:
        return
    change = await _reopen(statements, ADMIT, event, job, unit)
    (dropped,) = await statements.fetch("drop_units", job=job, documents=list(documents))
    (forgotten,) = await statements.fetch("forget_documents", job=job, documents=list(documents))
    change.update(forgotten)
    change.update((await _follow_originals(statements, [(job, document) for document in documents])).get(job, {}))
    change["open_work"] -= dropped["open"]
    await _resume(statements, job, change)


async def _reopen(statements: Statements, stage: str, message: UUID, job: UUID, unit: _Unit) -> Counter[str]:
    """Opens the unit unless it is open; returns by how much the job's counters change."""
    change: Counter[str] = Counter()
    if unit.opened and not unit.finished:
        return change
    await statements.fetch("reopen_unit", stage=stage, message=message, job=job, document=unit.document)
    change["open_work"] += 1
    if unit.finished:
        await _uncount(statements, stage, job, unit)
    if unit.document is not None:
        await statements.fetch("hear_of_documents", jobs=[job], ids=[unit.document])
        about = {"job": job, "document": unit.document, "stage": stage, "code": unit.code}
        change.update(*await statements.fetch("reopen_document", **about))
        change.update((await _follow_originals(statements, [(job, unit.document)])).get(job, {}))
    return change


async def _uncount(statements: Statements, stage: str, job: UUID, unit: _Unit) -> None:
    await statements.fetch("uncount", job=job, stage=stage, items=unit.items)
    for name, number in (unit.counts or {}).items():
        await statements.fetch("add_counts", jobs=[job], names=[name], numbers=[-number])


async def _resume(statements: Statements, job: UUID, change: Mapping[str, int]) -> None:
    counters = ("sources", "total", "done", "failed", "duplicates", "open_work")
    await statements.fetch("resume_job", job=job, **{name: change.get(name, 0) for name in counters})
    await statements.fetch("withdraw_announcements", job=job)


async def _redrive_announcement(statements: Statements, job: UUID, message: UUID, standing: DictRow) -> bool:
    state = JobState(standing["state"])
    if state is JobState.FAILED and not standing["ready"]:  # its next completion is announced anew
        await _resume(statements, job, {})
        return False
    failed_late = state is JobState.FAILED and standing["generation"] > 0 and not standing["refused"]
    if not (failed_late or state is JobState.COMPLETE) or not await _forget_failure(statements, BAKE, message, job):
        return False
    await statements.fetch("complete_again", job=job)
    return True


async def _forget_failure(statements: Statements, stage: str, message: UUID, job: UUID | None = None) -> bool:
    """Drops a failed outcome; False where it is done."""
    unit = await _unit(statements, stage, message)
    if unit.done:
        return False
    if unit.finished:
        await statements.fetch("drop_unit", stage=stage, message=message)
        if job is not None:
            await _uncount(statements, stage, job, unit)
    return True
