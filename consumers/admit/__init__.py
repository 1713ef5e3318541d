"""The `admit` stage: the entrance. What customers submit becomes documents that the flow can trust.

    ingest (DocumentsSubmitted)  ->  fetch, check, seal, probe, expand  ->  chunk-ready, ocr-ready (DocumentAdmitted)

- `core` decides what may be read and where a document goes; it is pure;
- `raw` fetches the bytes that a reference names, and seals what is not sealed yet;
- `duplicates` finds what is the same bytes as another document of the job;
- `window` says how many documents of a customer may be in work;
- `handle` walks through an event: its job, its pieces, their references, and the members of archives and mails.
"""

from consumers.admit.handle import stage

__all__ = ["stage"]
