"""What all callers of a service share: one line of waiting work, and one engine that takes from it in batches.

- `queue` holds what waits and decides what the engine gets next; pure;
- `batcher` runs the engine, gives each caller its own results, and finds the one input that an engine fails on.
"""

from services.batching.batcher import Batcher, Full
from services.batching.queue import Limits, Pace, Queue, Request

__all__ = ["Batcher", "Full", "Limits", "Pace", "Queue", "Request"]
