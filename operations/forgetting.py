"""Forgetting: what the ledger keeps of an erased job goes in the end as well."""

from collections.abc import Callable
from datetime import datetime, timedelta

from infra.ledger import Ledger
from operations.topics import DEAD_LETTER_SECONDS
from schemas.topology import Topology


def kept_for(wanted: timedelta, topology: Topology) -> timedelta:
    """How long an erased job is remembered: as long as wanted, but never shorter than any topic keeps its records.

    A record that outlived the ledger's word of its job would look like one of a job that is yet to come, and a dead
    letter that outlived its discarding like one that nobody has dealt with.
    """
    longest = max(topic.retention for topic in topology.topics.values())
    return max(wanted, timedelta(seconds=max(longest, DEAD_LETTER_SECONDS)))


async def forget(wanted: timedelta, *, ledger: Ledger, topology: Topology, clock: Callable[[], datetime]) -> int:
    """Forgets the jobs that were erased longer ago; returns how many. Raises Retryable `dependency.away`."""
    return await ledger.forget(erased_before=clock() - kept_for(wanted, topology))
