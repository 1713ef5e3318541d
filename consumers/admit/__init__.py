"""The `admit` stage: the entrance. What customers submit becomes documents that the flow can trust.

    ingest (DocumentsSubmitted)  ->  fetch, check, seal, probe, expand  ->  chunk-ready (DocumentAdmitted)

- `core` decides what may be read and where a document goes; it is pure;
- `raw` fetches the bytes that a reference names, and seals what is not sealed yet;
- `handle` walks through an event: its job, its window, its references, and the members of archives and mails.
"""

from consumers.admit.handle import stage

__all__ = ["stage"]
