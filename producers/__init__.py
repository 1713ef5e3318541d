"""How documents enter: `Producer` seals them into staging and submits references to the `ingest` topic.

`batching` says which references travel together, and under which message id; it is pure.
"""

from producers.producer import Producer, Sealed, Submitted, source_uri

__all__ = ["Producer", "Sealed", "Submitted", "source_uri"]
