"""The `chunk` stage: a document's text becomes passages that the embedding model reads whole.

    chunk-ready (DocumentAdmitted)     ->  extract  --+
                                                      +-->  split, group  ->  chunked (ChunksMade, one or several)
    ocr-done    (DocumentRecognised)   ->  compose  --+

- `breaks` finds where a text may be cut, and how well a cut would stand there;
- `core` packs what lies between the breaks into chunks, and chunks into messages; both are pure;
- `handle` gets the text, of a file or of pages that were recognised, calls the engines off the event loop, and answers.
"""

from consumers.chunk.handle import stage

__all__ = ["stage"]
