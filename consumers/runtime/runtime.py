"""What the runtime works with: opened adapters and a few numbers. `cradle.compose` makes it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from consumers.runtime.contract import Handle, Ports
from infra.broker import Broker
from infra.keys import Keys
from infra.progress import Progress
from infra.staging import Staging
from schemas.topology import Topology


@dataclass(frozen=True, slots=True)
class Options:
    poll_records: int = 64
    """Most records of one poll."""
    read_ahead: int = 1024
    """The same while records are parked: what only queues behind them costs little, and others may come after it."""
    poll_wait: float = 0.2
    """Seconds a poll waits for its first record."""
    offer_records: int = 16
    """Of the records that wait in one lane, how many of the oldest are offered to the stage at a time."""
    parked_records: int = 100_000
    """Most records that a worker keeps in memory because the stage holds them; then their partitions pause."""
    parked_bytes: int = 64 * 1024 * 1024
    """The same, in bytes."""
    flush_outcomes: int = 64
    """Outcomes gathered before they are published and recorded."""
    flush_seconds: float = 1.0
    """Longest that a finished outcome waits for others to be published and recorded with it."""
    attempts: int = 3
    """How often a message is tried whose stage raises an error it does not know."""
    stuck_seconds: float | None = None
    """Without progress for this long, `/livez` turns bad; None: as topics.yaml says of the stage."""
    beat_file: Path | None = None
    """Touched while there is progress, for a supervisor to watch; None: the process ends itself when it hangs."""
    drain_seconds: float = 6.0
    """How long a poll in hand may go on after SIGTERM."""
    retry_seconds: tuple[float, float] = (0.5, 10.0)
    """First and longest wait while a dependency is away."""
    waiting_notes: Path | None = None
    """Folder for notes of what a stage waits for, which `cradle doctor` reads; None: none are written."""
    storm_limit: int = 20
    """Failures of one code within a minute that become dead letters before the stage pauses; 0: it never does."""
    sweep_seconds: float = 60.0
    """How often jobs whose retention is over are looked for."""
    forget_after: timedelta = timedelta(days=30)
    """How long the ledger remembers an erased job; longer where a topic keeps its records for longer."""
    health: tuple[str, int] | None = None
    """Host and port of /livez, /readyz and /metrics."""
    instance: str | None = None
    """A name of this process that outlives it: started again under it, it has its partitions back at once. No other
    process may bear it at the same time."""
    poll_interval: float = 300.0
    """Seconds between polls that Kafka's clients expect. Work may take longer: no partition is given up for it."""


class Isolate(Protocol):
    """How to run a stage in a process of its own."""

    def __call__(self, stage: str, *, stuck: float, beat: Callable[[], None]) -> AbstractAsyncContextManager[Handle]:
        """The stage's function, run elsewhere. The process starts at the first call, and again after each that it died
        of. `stuck`: seconds without progress after which it is ended; `beat` is called while it is waited for.

        What is called raises `attempts.Died` besides what the stage raises.
        """


@dataclass(frozen=True, slots=True)
class Runtime:
    topology: Topology
    ports: Ports
    broker: Broker
    broker_url: str
    keys: Keys
    staging: Staging
    progress: Progress
    options: Options = field(default_factory=Options)
    isolate: Isolate | None = None
    """For messages that a worker may have died of; None: they run alone, but in the worker itself."""
    worker: UUID = field(default_factory=uuid4)
    """By which the ledger knows this process, as long as it lives."""

    def stuck_seconds(self, stage: str) -> float:
        """How long the stage may make no progress."""
        if self.options.stuck_seconds is not None:
            return self.options.stuck_seconds
        return self.topology.stages[stage].stuck
