"""How far each running job is: its documents by stage, and when it will be done."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from infra.ledger import JobState, JobView, Ledger, StageProgress

UNDER_WAY: Final = (JobState.OPEN, JobState.PROCESSING, JobState.COMPLETE)
MOST_JOBS: Final = 1000
"""Of the newest jobs: those older than that and still running are not listed."""


@dataclass(frozen=True, slots=True)
class JobLag:
    job: UUID
    customer: str
    state: JobState
    expected: int
    """Documents: as many as the manifest states, or are known by now if that is more."""
    finished: int
    """Documents that are done or failed."""
    stages: Mapping[str, int]
    """Documents with open work at each stage; one document may be at several."""
    eta_seconds: float | None
    """Until the last document is finished; None until the manifest and a rate are known."""


@dataclass(frozen=True, slots=True)
class CustomerLag:
    customer: str
    jobs: int
    expected: int
    finished: int
    stages: Mapping[str, int]
    eta_seconds: float | None
    """Of the job that is done last."""


async def running_jobs(ledger: Ledger, *, now: datetime) -> list[JobLag]:
    """The jobs under way, the newest first. Raises Retryable `dependency.away`."""
    open_work = await ledger.running()
    views = await ledger.jobs(limit=MOST_JOBS)
    return [_job_lag(view, open_work, now) for view in views if view.state in UNDER_WAY]


def by_customer(jobs: Sequence[JobLag]) -> list[CustomerLag]:
    """By customer's id."""
    of: dict[str, list[JobLag]] = defaultdict(list)
    for job in jobs:
        of[job.customer].append(job)
    return [_customer_lag(customer, of[customer]) for customer in sorted(of)]


def eta_seconds(view: JobView, now: datetime) -> float | None:
    """Seconds until every document is finished, at the rate since the first ones were.

    The time before that is left out: it filled the pipeline and tells nothing about its rate.
    """
    left = expected(view) - view.finished
    if view.manifest is None or view.first_done_at is None or view.last_done_at is None:
        return None
    if left <= 0:
        return 0.0
    finished = view.done + view.failed - view.first_done  # a duplicate says nothing of the stages
    seconds = (view.last_done_at - view.first_done_at).total_seconds()
    if finished <= 0 or seconds <= 0:
        return None
    return max(0.0, left * seconds / finished - (now - view.last_done_at).total_seconds())


def expected(view: JobView) -> int:
    return max(view.total, view.manifest or 0)


def _job_lag(view: JobView, open_work: Sequence[StageProgress], now: datetime) -> JobLag:
    return JobLag(
        job=view.id,
        customer=view.customer,
        state=view.state,
        expected=expected(view),
        finished=view.finished,
        stages={one.stage: one.open_documents for one in open_work if one.job == view.id},
        eta_seconds=eta_seconds(view, now),
    )


def _customer_lag(customer: str, jobs: Sequence[JobLag]) -> CustomerLag:
    stages: Counter[str] = Counter()
    for job in jobs:
        stages.update(job.stages)
    etas = [job.eta_seconds for job in jobs]
    return CustomerLag(
        customer=customer,
        jobs=len(jobs),
        expected=sum(job.expected for job in jobs),
        finished=sum(job.finished for job in jobs),
        stages=dict(stages),
        eta_seconds=None if None in etas else max((eta for eta in etas if eta is not None), default=None),
    )
