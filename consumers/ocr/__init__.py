"""The `ocr` stage: a scan, a picture, or a PDF of which some pages are pictures becomes a document that can be read.

    ocr-ready (DocumentAdmitted)  ->  draw, batch, recognise, hand back  ->  ocr-done (DocumentRecognised)

- `core` gathers the pictures of many documents, and takes their texts back to each; pure;
- `handle` draws pages while the engine works, and answers each document as soon as its last page is there.
"""

from consumers.ocr.handle import stage

__all__ = ["stage"]
