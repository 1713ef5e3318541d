"""What a stage's process tells Prometheus. Labels are stages, results and codes: never a job, customer or document."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    def __init__(self, stage: str) -> None:
        self.registry = CollectorRegistry()
        messages = Counter("cradle_messages", "Messages finished.", ["stage", "result"], registry=self.registry)
        self.done = messages.labels(stage, "done")
        self.failed = messages.labels(stage, "failed")
        self.skipped = messages.labels(stage, "skipped")
        self.held = messages.labels(stage, "held")
        self.dead_letters = Counter(
            "cradle_dead_letters", "Dead letters written.", ["stage", "code"], registry=self.registry
        )
        self.poll_seconds = Histogram(
            "cradle_poll_seconds",
            "From a poll's first record to its commit.",
            ["stage"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=self.registry,
        ).labels(stage)
        self.parked = Gauge(
            "cradle_parked", "Records kept in memory until the stage takes them.", ["stage"], registry=self.registry
        ).labels(stage)
        self.waiting = Gauge(
            "cradle_waiting", "1 while the stage waits for a dependency.", ["stage"], registry=self.registry
        ).labels(stage)
