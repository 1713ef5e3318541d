"""The `embed` stage: passages become vectors.

    chunked (ChunksMade)  ->  gather, batch by length, infer, hand back  ->  embedded (EmbeddingsMade)

- `core` gathers the chunks of many messages, and takes their vectors back to each; pure;
- `handle` runs the engine off the event loop, and answers each message as soon as its last vector is there.
"""

from consumers.embed.handle import stage

__all__ = ["stage"]
