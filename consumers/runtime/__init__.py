"""Delivery: polls, opens, skips, publishes, seals, records, commits, retries, dead-letters. Knows no stage.

One concern a file, in the order of a poll:

- `consuming` and `worker` poll and commit, `delivery` takes the steps, `opening` opens and skips;
- `lanes` and `attempts` run the stage, `isolation` and `cell` run alone what a worker may have died of;
- `settling` and `dead_letters` seal what it made, `offsets` says what may be committed.

What is not finished with its poll: `parking` keeps what the stage holds, `backlog` all that was read and not finished.
When to stop: `waiting` for a dependency, `storms` of failures, `watchdog` for a hang. Beside the polls, `announcing`,
`forgetting` and `measuring` do what any process may; `health`, `metrics` and `ownership` tell how it stands.
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
    Underway,
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
    "Underway",
]
