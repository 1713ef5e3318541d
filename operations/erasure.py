"""Erasure: the key first, since with it everything that was sealed is gone, wherever copies of it lie."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from infra.keys import Keys
from infra.ledger import Ledger
from infra.staging import Staging
from schemas.errors import CradleError


@dataclass(frozen=True, slots=True)
class Erased:
    job: UUID
    key_destroyed: bool
    """False where it was destroyed before."""
    objects: int
    """Staged objects deleted now."""
    erased_at: datetime


@dataclass(frozen=True, slots=True)
class Swept:
    erased: tuple[Erased, ...]
    failed: tuple[tuple[UUID, str], ...]
    """Jobs that could not be erased this time, with the error's code; the next sweep tries them again."""


async def erase(job: UUID, *, ledger: Ledger, keys: Keys, staging: Staging, clock: Callable[[], datetime]) -> Erased:
    """Destroys the job's key, deletes what it staged, and records that. The image that was delivered stays.

    The order makes a crash harmless: nothing can be read from the first step on, and the ledger says so only once all
    of it is done, so the next call or sweep finishes the rest. Erasing an erased job again removes what a process that
    still had a lease staged meanwhile. Kafka's copies outlive this, sealed under a key that no longer exists.

    Raises Permanent `job.unknown`, Retryable `dependency.away`.
    """
    view = await ledger.job(job)
    key_destroyed = await keys.destroy(job)
    objects = await staging.delete(f"jobs/{job}/")
    if view.erased_at is not None:
        return Erased(job, key_destroyed, objects, view.erased_at)
    now = clock()
    await ledger.erased(job, now=now)
    return Erased(job, key_destroyed, objects, now)


async def sweep(*, ledger: Ledger, keys: Keys, staging: Staging, clock: Callable[[], datetime]) -> Swept:
    """Erases every job whose retention is over. One that cannot be erased does not keep the others."""
    erased: list[Erased] = []
    failed: list[tuple[UUID, str]] = []
    for job in await ledger.due_for_erasure(now=clock()):
        try:
            erased.append(await erase(job, ledger=ledger, keys=keys, staging=staging, clock=clock))
        except CradleError as error:
            failed.append((job, error.code))
    return Swept(tuple(erased), tuple(failed))
