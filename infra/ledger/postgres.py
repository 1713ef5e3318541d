"""The ledger on PostgreSQL 16 or newer. Its statements stand in sql/, its tables in migrations/versions/.

`record` locks the jobs of its outcomes in order of their ids, and so two polls never wait for each other in a ring.
It takes the same few round trips for one outcome as for hundreds.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

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
)
from infra.postgres import Database, Statements, load_queries
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
        )
        return await self.job(job.id)

    async def finished(self, stage: str, messages: Sequence[UUID]) -> set[UUID]:
        rows = await self._database.fetch("finished", stage=stage, messages=list(messages))
        return {row["message"] for row in rows}

    async def erased_jobs(self, jobs: Sequence[UUID]) -> set[UUID]:
        return {row["id"] for row in await self._database.fetch("erased_jobs", jobs=list(jobs))}

    async def record(self, stage: str, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        once = {outcome.message: outcome for outcome in reversed(outcomes)}  # the first of a message counts
        if once:
            async with self._database.transaction() as statements:
                await _record(statements, stage, list(once.values()), now)

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
        )

    async def failed(self, job: UUID, reason: str) -> None:
        async with self._database.transaction() as statements:
            await statements.fetch("fail_job", job=job, reason=reason)
            await statements.fetch("withdraw_announcements", job=job)

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

    async def ping(self) -> None:
        await self._database.fetch("ping")


def _view(row: DictRow) -> JobView:
    return JobView(**row | {"state": JobState(row["state"])})


@dataclass(slots=True)
class _DocumentMove:
    """What one poll does to one document."""

    introduction: NewDocument | None = None
    failure: str | None = None
    open_work: int = 0


_Moves = dict[tuple[UUID, str], _DocumentMove]


async def _record(statements: Statements, stage: str, outcomes: list[Outcome], now: datetime) -> None:
    """The steps of one transaction. Counters move for outcomes that are new and jobs that exist, for nothing else."""
    states = {row["id"]: row["state"] for row in await statements.fetch("lock_jobs", jobs=_unique_jobs(outcomes))}
    fresh = await _finish_work(statements, stage, outcomes, now)
    counted = [outcome for outcome in outcomes if outcome.message in fresh and outcome.job in states]
    if not counted:
        return
    open_work: Counter[tuple[UUID, str | None]] = Counter()
    for outcome in counted:
        unit = fresh[outcome.message]
        open_work[outcome.job, unit["document"]] -= unit["opened"]
    for row in await _open_work(statements, counted):
        open_work[row["job"], row["document"]] += 1
    changes = await _move_documents(statements, stage, _document_moves(counted, open_work), states)
    await _move_jobs(statements, counted, open_work, changes, now)
    await _add_progress(statements, stage, counted)


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
    statements: Statements, stage: str, moves: _Moves, states: Mapping[UUID, str]
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
            one.sealed_path if one is not None and states[job] != JobState.ERASED else b""
            for one, (job, _) in zip(introductions, moves, strict=True)
        ],
        members=[one is not None and one.member for one in introductions],
        archives=[one is not None and one.state is DocumentState.EXPANDED for one in introductions],
        refusals=[None if one is None else one.code for one in introductions],
        failures=[move.failure for move in moves.values()],
        open_work=[move.open_work for move in moves.values()],
    )
    return {row["job"]: row for row in rows}


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
            for count in ("sources", "total", "done", "failed")
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


def _unique_jobs(outcomes: Sequence[Outcome]) -> list[UUID]:
    return list(dict.fromkeys(outcome.job for outcome in outcomes))
