"""The `pack` stage: chunks with their vectors become sealed parts in staging, where `bake` finds them.

    embedded (EmbeddingsMade)  ->  one part a message, so none spans documents  ->  nothing published

A message packed twice writes the same part under the same name.
"""

from consumers.pack.handle import stage

__all__ = ["stage"]
