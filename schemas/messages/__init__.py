"""The messages of every topic, one file a topic. Past-tense nouns: each says what has happened.

`TYPES` maps a CloudEvents type to its model; `topics.yaml` names these types.
"""

from typing import Final

from schemas.messages._base import Message
from schemas.messages.chunks import Chunk, ChunksMade, PageSpan
from schemas.messages.documents import Document, DocumentAdmitted
from schemas.messages.embeddings import EmbeddingsMade, Vectors
from schemas.messages.graph import GraphExtracted
from schemas.messages.ingest import DocumentReference, DocumentsSubmitted, Manifest
from schemas.messages.jobs import JobCompleted
from schemas.messages.pages import DocumentRecognised, RecognisedPage

TYPES: Final[dict[str, type[Message]]] = {
    model.TYPE: model
    for model in (
        DocumentsSubmitted,
        DocumentAdmitted,
        DocumentRecognised,
        ChunksMade,
        EmbeddingsMade,
        GraphExtracted,
        JobCompleted,
    )
}

__all__ = [
    "TYPES",
    "Chunk",
    "ChunksMade",
    "Document",
    "DocumentAdmitted",
    "DocumentRecognised",
    "DocumentReference",
    "DocumentsSubmitted",
    "EmbeddingsMade",
    "GraphExtracted",
    "JobCompleted",
    "Manifest",
    "Message",
    "PageSpan",
    "RecognisedPage",
    "Vectors",
]
