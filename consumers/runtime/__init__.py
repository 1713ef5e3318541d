"""Delivery: polls, opens, skips, publishes, seals, records, commits, retries, dead-letters. Knows no stage."""

from consumers.runtime.contract import (
    Done,
    Failed,
    Handle,
    Held,
    Outcome,
    Output,
    Ports,
    Received,
    Refused,
    StageFactory,
)

__all__ = [
    "Done",
    "Failed",
    "Handle",
    "Held",
    "Outcome",
    "Output",
    "Ports",
    "Received",
    "Refused",
    "StageFactory",
]
