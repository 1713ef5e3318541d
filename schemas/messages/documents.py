"""`chunk-ready` and `ocr-ready`: a document that was let in, sealed in staging and waiting for its text."""

from typing import ClassVar

from schemas.ids import DocumentId, DocumentPath, Sha256
from schemas.messages._base import Message, Part, Size


class Document(Part):
    """What every later message says of the document it belongs to."""

    id: DocumentId
    path: DocumentPath
    sha256: Sha256
    media_type: str
    size: Size
    """Bytes of the raw file."""


class DocumentAdmitted(Message):
    TYPE: ClassVar[str] = "cradle.documents.v1"

    document: Document
    object: str
    """Staging name of the raw bytes, sealed under the job's key."""
