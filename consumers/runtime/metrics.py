"""What a stage's process tells Prometheus. Labels are stages, results and codes: never a job, customer or document.

docs/alerts.yaml calls a person by these.
"""

from collections.abc import Collection

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
        self.strikes = Counter(
            "cradle_strikes", "Processes that ended with one message alone in them.", ["stage"], registry=self.registry
        ).labels(stage)
        self.stuck_used = Gauge(
            "cradle_stuck_used",
            "Part of its `stuck` time for which the stage has made no progress; from 1 on it hangs.",
            ["stage"],
            registry=self.registry,
        ).labels(stage)
        started = Gauge(
            "cradle_started_seconds", "When the worker began, since 1970.", ["stage"], registry=self.registry
        )
        started.labels(stage).set_to_current_time()
        self._stage = stage
        self._waiting = Gauge(
            "cradle_waiting",
            "1 while the stage waits, by the code of what for: a dependency, or the end of a storm.",
            ["stage", "code"],
            registry=self.registry,
        )
        self._waited_for: set[str] = set()

    def wait_for(self, codes: Collection[str]) -> None:
        """These are all that is waited for now."""
        self._waited_for.update(codes)
        for code in self._waited_for:
            self._waiting.labels(self._stage, code).set(1 if code in codes else 0)


class ChoreMetrics:
    """Of what each process does on the side (`announcing.py`), whichever stages it runs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outbox = Gauge(
            "cradle_outbox", "Completed jobs whose announcement is not published yet.", registry=registry
        )
        self.swept = Gauge(
            "cradle_swept_seconds",
            "When a sweep last left no job that is due for erasure, since 1970.",
            registry=registry,
        )
