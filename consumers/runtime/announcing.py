"""The outbox and the sweep: what any process of any stage does on the side.

A completed job stands in the ledger's outbox until its `bake-ready` is published. Several processes may publish it;
the id is the same, so it is baked once.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from consumers.runtime.runtime import Runtime
from consumers.runtime.settling import seal_message
from infra.ledger import Announcement
from operations import erasure
from schemas import envelope, ids
from schemas.errors import Permanent, Retryable
from schemas.messages import JobCompleted
from schemas.topology import Origin

log = structlog.get_logger()


async def announce_completed(
    runtime: Runtime, waiting: Callable[[float], None] = lambda count: None, told: set[UUID] | None = None
) -> int:
    """Publishes what the outbox holds and returns how many jobs that were. Raises Retryable.

    A job that cannot be announced stays in the outbox, and keeps no other one there. `waiting` hears how many wait
    there, before and after. Of the jobs in `told` no error is logged again.
    """
    told = set() if told is None else told
    announced = 0
    found = await runtime.ports.ledger.announcements()
    waiting(len(found))
    for announcement in found:
        try:
            await _announce(announcement, runtime)
        except Permanent as error:
            if announcement.job not in told:
                log.error("a completed job cannot be announced", job=str(announcement.job), code=error.code)
                told.add(announcement.job)
        else:
            announced += 1
    waiting(len(found) - announced)
    return announced


async def keep_announcing(
    runtime: Runtime, *, every: float = 0.5, waiting: Callable[[float], None] = lambda count: None
) -> None:
    """Announces until cancelled. A dependency that is away is the poll's to report; here it only costs time."""
    told: set[UUID] = set()
    while True:
        try:
            await announce_completed(runtime, waiting, told)
        except Retryable:
            pass
        except Exception as error:  # a mistake of ours must not end the announcing for good
            log.error("completed jobs cannot be announced", kind=type(error).__name__)
        await asyncio.sleep(every)


async def keep_sweeping(runtime: Runtime, *, done: Callable[[], None] = lambda: None) -> None:
    """Erases jobs whose retention is over, until cancelled. `done` is called when a sweep has left none."""
    while True:
        try:
            swept = await erasure.sweep(
                ledger=runtime.ports.ledger, keys=runtime.keys, staging=runtime.staging, clock=runtime.ports.clock
            )
            for erased in swept.erased:
                log.info("erased", job=str(erased.job), objects=erased.objects)
            for job, code in swept.failed:
                log.warning("not erased", job=str(job), code=code)
            if not swept.failed:
                done()
        except Retryable:
            pass  # the next sweep finds the same jobs
        except Exception as error:  # nor the erasing
            log.error("jobs cannot be swept", kind=type(error).__name__)
        await asyncio.sleep(runtime.options.sweep_seconds)


async def _announce(announcement: Announcement, runtime: Runtime) -> None:
    job = announcement.job
    topic = next(name for name, topic in runtime.topology.topics.items() if topic.origin is Origin.COMPLETION)
    to = envelope.Address(
        id=ids.message_id(job, "completion", job, announcement.generation),
        type=JobCompleted.TYPE,
        source="/cradle/completion",
        job=job,
        time=runtime.ports.clock(),
        key_id=str(job),
    )
    message = JobCompleted(customer=announcement.customer, generation=announcement.generation)
    try:
        key = await runtime.ports.jobs.key(job)
    except Permanent as error:
        if error.code != "key.destroyed":
            raise
    else:
        await runtime.broker.publish([seal_message(message, topic=topic, key=key, to=to, runtime=runtime)])
    await runtime.ports.ledger.announced(announcement)
