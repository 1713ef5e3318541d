"""What the runtime works with: opened adapters and a few numbers. `cradle.compose` makes it."""

from dataclasses import dataclass, field

from consumers.runtime.contract import Ports
from infra.broker import Broker
from infra.keys import Keys
from infra.progress import Progress
from infra.staging import Staging
from schemas.topology import Topology


@dataclass(frozen=True, slots=True)
class Options:
    poll_records: int = 64
    """Most records of one poll."""
    poll_wait: float = 0.2
    """Seconds a poll waits for its first record."""
    flush_outcomes: int = 64
    """Outcomes gathered before they are published and recorded."""
    flush_seconds: float = 1.0
    """Longest that a finished outcome waits for others to be published and recorded with it."""
    attempts: int = 3
    """How often a message is tried whose stage raises an error it does not know."""
    stuck_seconds: float = 300.0
    """Without a poll or an outcome for this long, `/livez` turns bad."""
    drain_seconds: float = 6.0
    """How long a poll in hand may go on after SIGTERM."""
    retry_seconds: tuple[float, float] = (0.5, 30.0)
    """First and longest wait while a dependency is away."""
    sweep_seconds: float = 60.0
    """How often jobs whose retention is over are looked for."""
    health: tuple[str, int] | None = None
    """Host and port of /livez, /readyz and /metrics."""
    instance: str | None = None
    """A stable name of this process for static group membership."""


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
