"""What a checker is given: where things are, the job's key, and what became of which document in truth."""

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tests.chaos.documents import Fact


@dataclass(frozen=True, slots=True)
class Evidence:
    servers: str
    """Kafka, host:port."""
    ledger: str
    """PostgreSQL, as libpq reads it."""
    job: UUID
    key: bytes = field(repr=False)
    image: Path | None
    """OCI layout; None: there is none."""
    calm_image: Path | None
    facts: tuple[Fact, ...]
