"""Delivery: polls, opens, skips, publishes, seals, records, commits, retries, dead-letters. Knows no stage.

One concern a file, in the order of a poll: `worker` polls and commits, `delivery` takes the steps, `opening` opens and
skips, `attempts` runs the stage, `settling` and `dead_letters` seal what it made, `offsets` says what may be committed.
"""

from consumers.runtime.contract import (
    Done,
    Failed,
    Handle,
    Held,
    Outcome,
    Output,
    Piece,
    Ports,
    Received,
    Refused,
    StageFactory,
)
from consumers.runtime.runtime import Options, Runtime

__all__ = [
    "Done",
    "Failed",
    "Handle",
    "Held",
    "Options",
    "Outcome",
    "Output",
    "Piece",
    "Ports",
    "Received",
    "Refused",
    "Runtime",
    "StageFactory",
]
