"""What it takes to replay."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from engines.library import identify
from infra.broker import Broker
from infra.keys import Keys
from infra.ledger import Ledger
from infra.parameters import ParameterStore
from infra.staging.sealed import SealedStaging
from operations.jobs import Identify, PinnedJobs
from schemas.topology import Topology


@dataclass(frozen=True, slots=True)
class ReplayPorts:
    """What it takes to replay."""

    broker: Broker
    ledger: Ledger
    keys: Keys
    parameters: ParameterStore
    jobs: PinnedJobs
    staging: SealedStaging
    topology: Topology
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    identify: Identify = identify
