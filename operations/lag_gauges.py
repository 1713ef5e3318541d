"""Lag for Prometheus. Labels are stages, topics and partitions: never a job, customer or document."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from operations.lag import Partition, StageLag

OF_PARTITION: Final = {
    "records_behind": "Records that wait.",
    "seconds_behind": "Age of the record at the committed offset, in seconds.",
    "rate_in": "Records written a second.",
    "rate_out": "Records committed a second.",
    "stuck": "1 where records wait and nothing is committed.",
    "retention_used": "Part of the topic's retention that the oldest unread record has used up.",
    "owned": "1 where a worker has the partition.",
}
NEVER: Final = float("inf")


class LagGauges:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["stage", "topic", "partition"]
        self._gauges = {
            name: Gauge(f"cradle_lag_{name}", help_, labels, registry=registry) for name, help_ in OF_PARTITION.items()
        }
        self._drain = Gauge(
            "cradle_lag_drain_seconds", "Until nothing waits; +Inf where it only grows.", ["stage"], registry=registry
        )
        self._open = Gauge("cradle_open_documents", "Documents with open work, by stage.", ["stage"], registry=registry)

    def set(self, measured: Sequence[StageLag]) -> None:
        for stage in measured:
            for partition in stage.partitions:
                for name, gauge in self._gauges.items():
                    value = _value(partition, name)
                    if value is not None:
                        gauge.labels(stage.stage, partition.topic, str(partition.number)).set(value)
            drain = stage.drain_seconds
            if drain is not None or stage.rate_out is not None:
                self._drain.labels(stage.stage).set(NEVER if drain is None else drain)

    def set_open_documents(self, stages: Sequence[tuple[str, int]]) -> None:
        for stage, documents in stages:
            self._open.labels(stage).set(documents)


def _value(partition: Partition, name: str) -> float | None:
    if name == "owned":
        return float(partition.owner is not None)
    value = getattr(partition, name)
    return None if value is None else float(value)
