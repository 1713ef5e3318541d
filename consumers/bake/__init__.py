"""The `bake` stage: a completed job's parts become its image.

    bake-ready (JobCompleted)  ->  list, order, fetch, assemble, build  ->  the image stands; the ledger says so

- `staged` finds the job's documents and parts and fetches them ahead, in final order;
- `core` joins a document's parts and refuses what is not whole; it is pure;
- `handle` brings both to the builder, which works in a thread of its own.

An update lies over the image of an earlier version, of which only the record is here (`operations.updates`).

Baking again gives the same digest, so a crash anywhere costs only time.
"""

from consumers.bake.handle import stage

__all__ = ["stage"]
