"""Cancelling: a job is stopped everywhere, and erased.

The ledger is told first. From then on every stage skips the job's records, within a poll, and nothing of it is
announced. Then its key goes: what a stage has in hand at that moment can be published no longer than its lease lasts,
and is skipped by whoever reads it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from infra.keys import Keys
from infra.ledger import JobState, Ledger
from infra.staging import Staging
from operations.erasure import Erased, erase
from schemas.errors import Permanent

OVER: Final = frozenset({JobState.BAKED, JobState.PACKAGED, JobState.FAILED})
"""States of a job that has come to its end by itself."""


async def cancel(job: UUID, *, ledger: Ledger, keys: Keys, staging: Staging, clock: Callable[[], datetime]) -> Erased:
    """Stops the job and erases it. Twice is harmless, and finishes what a crash in between left.

    Raises Permanent `job.unknown`, `job.erased`, or `job.over` where there is nothing to stop; Retryable
    `dependency.away`.
    """
    view = await ledger.job(job)
    if view.state is JobState.ERASED:
        raise Permanent("job.erased", when=view.erased_at)
    if view.state in OVER:
        raise Permanent("job.over", state=view.state.value, job=job)
    await ledger.cancelled(job, now=clock())
    return await erase(job, ledger=ledger, keys=keys, staging=staging, clock=clock)
