"""Replay: what a topic still holds of a finished job becomes a new job, its child.

- `asking`      what a person may ask for
- `finding`     reads the topic, without touching any consumer's offsets, and notes what is there of which job
- `refusing`    what cannot be replayed from there, and from where it can; pure
- `planning`    which documents are replayed, which inherited, and which stay failed
- `rewriting`   a message and its objects under the new job's names; pure
- `carrying`    the plan carried out: objects copied, records published, the ledger told

The parent is only read. Every id follows from the parent's and from what was asked, so a replay that died goes on when
it is asked for again.
"""

from operations.replay.asking import OffsetSpan, Request
from operations.replay.carrying import Replayed, carry_out
from operations.replay.planning import Plan, Refusal, plan
from operations.replay.ports import ReplayPorts

__all__ = ["OffsetSpan", "Plan", "Refusal", "ReplayPorts", "Replayed", "Request", "carry_out", "plan"]
