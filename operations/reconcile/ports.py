"""What it takes to reconcile."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from infra.broker import Broker
from infra.ledger import Ledger
from infra.staging import Staging
from schemas.topology import Origin, Topology


class Unsealed(Protocol):
    """Staged objects with their seal off, as `infra.staging.sealed.SealedStaging`."""

    def stream(self, job: UUID, name: str) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """The ports. With `dry_run` nothing is changed: every answer says what would be done."""

    broker: Broker
    ledger: Ledger
    staging: Staging
    unsealed: Unsealed
    key: Callable[[UUID], Awaitable[bytes]]
    """A job's key. Raises Permanent `key.destroyed` or `key.unknown`."""
    topology: Topology
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    dry_run: bool = False

    def topic_of(self, origin: Origin) -> str:
        """The topic that only producers write, or only the ledger's outbox."""
        return next(name for name, topic in self.topology.topics.items() if topic.origin is origin)
