"""All jobs: what the ledger waits for, held against what the topics still hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from infra.ledger import JobState, JobView
from operations.reconcile.looking import Looked, Unit, look
from operations.reconcile.mending import Mended, completion, mend
from operations.reconcile.ports import Bench
from schemas.errors import Permanent

WAITING: Final = frozenset({JobState.OPEN, JobState.PROCESSING, JobState.COMPLETE})
MOST_JOBS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Reconciled:
    jobs: tuple[Mended, ...]
    """Every job that was at work, the newest first."""
    published: Mapping[UUID, int]
    """By job: events that the ledger had forgotten, published again as they were."""
    unknown: tuple[UUID, ...]
    """Jobs with sealed documents in staging that the ledger does not know, and no event that would open them anew."""

    @property
    def needs_upstream(self) -> bool:
        """Whether something is lost that only its upstream can send again."""
        return bool(self.unknown) or any(one.unreadable or one.missing or one.stranded for one in self.jobs)


async def reconcile(bench: Bench, *, job: UUID | None = None) -> Reconciled:
    """Finds work that no record stands for, and has it done again; of one job, or of all.

    Raises Permanent `job.unknown`, Retryable `dependency.away`: then it may be called again.
    """
    views = await _views(job, bench)
    units = {view.id: await _units(view, bench) for view in views}
    looked = await look(frozenset().union(*units.values()), bench, job=job)
    if job is not None and not views and not looked.published[job] and job not in looked.coming:
        await bench.ledger.job(job)
    jobs = [await mend(view, units[view.id] - looked.left, looked, bench) for view in views]
    unknown = await _unknown(looked, bench) if job is None else ()
    return Reconciled(tuple(jobs), dict(looked.published), unknown)


def report(done: Reconciled) -> dict[str, Any]:
    """As plain values, for `cradle reconcile --json`: jobs that lacked something, and those that nobody closed."""
    return {
        "jobs": [_job_report(one) for one in done.jobs if not one.whole or one.missing is None],
        "events": {str(job): number for job, number in done.published.items()},
        "unknown": [str(job) for job in done.unknown],
    }


def _job_report(mended: Mended) -> dict[str, Any]:
    return {
        "job": str(mended.view.id),
        "customer": mended.view.customer,
        "reference": mended.view.reference,
        "admitted_again": mended.documents,
        "announced_again": mended.announced,
        "unreadable": [{"document": document, "code": code} for document, code in mended.unreadable],
        "unmet": mended.unmet,
        "stranded": mended.stranded,
        "key_destroyed": mended.gone,
        "closed": mended.missing is not None,
        "missing": mended.missing or 0,
    }


async def _views(job: UUID | None, bench: Bench) -> list[JobView]:
    """The jobs that wait for something. A job that the ledger does not know may still have events."""
    if job is None:
        found = await bench.ledger.jobs(limit=MOST_JOBS)
    else:
        try:
            found = [await bench.ledger.job(job)]
        except Permanent:
            found = []
    return [view for view in found if view.state in WAITING]


async def _units(view: JobView, bench: Bench) -> set[Unit]:
    """What it waits for: its open work, or that its completion is heard of. What stands in the outbox is not lost."""
    if view.state is not JobState.COMPLETE:
        rows = await bench.ledger.work(view.id, open_only=True)
        return {(row.stage, row.message) for row in rows if row.stage in bench.topology.stages}
    outbox = {one.job for one in await bench.ledger.announcements()}
    return set() if view.id in outbox else {completion(view, bench)}


async def _unknown(looked: Looked, bench: Bench) -> tuple[UUID, ...]:
    """Told by what they staged, which is listed once."""
    folders = {name.split("/", 2)[1] async for name in bench.staging.list("jobs/")}
    jobs = [UUID(folder) for folder in sorted(folders)]
    heard_of = looked.coming | looked.published.keys()
    return tuple([job for job in jobs if job not in heard_of and await _is_unknown(job, bench)])


async def _is_unknown(job: UUID, bench: Bench) -> bool:
    """Whether the ledger does not know a job whose key lives."""
    try:
        await bench.ledger.job(job)
    except Permanent:
        pass
    else:
        return False
    try:
        await bench.key(job)
    except Permanent:
        return False
    return True
