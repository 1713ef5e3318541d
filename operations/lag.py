"""How far each stage is behind: what its consumer group has not committed yet. Works while no consumer runs."""

from dataclasses import dataclass

from infra.broker import Broker, PartitionLag
from schemas.topology import Topology


@dataclass(frozen=True, slots=True)
class StageLag:
    stage: str
    partitions: tuple[PartitionLag, ...]
    """By topic and partition."""

    @property
    def records_behind(self) -> int:
        return sum(partition.records_behind for partition in self.partitions)

    @property
    def seconds_behind(self) -> float:
        """Age of the oldest record that waits; 0 where none does."""
        return max((partition.seconds_behind for partition in self.partitions), default=0.0)


async def measure_lag(broker: Broker, flow: Topology) -> list[StageLag]:
    """In the flow's order. A stage's consumer group bears its name. Raises Retryable `dependency.away`."""
    return [StageLag(name, tuple(await broker.lag(name, stage.reads))) for name, stage in flow.stages.items()]
