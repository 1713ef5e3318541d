"""A message of the parent as the new job's own: new document ids, new object names, everything else as it was. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from infra.staging.names import RAW, STAGED, object_name
from schemas.errors import Permanent
from schemas.ids import document_id
from schemas.messages import (
    ChunksMade,
    Document,
    DocumentAdmitted,
    DocumentRecognised,
    DocumentReference,
    DocumentsSubmitted,
    EmbeddingsMade,
    GraphExtracted,
    Message,
)


@dataclass(frozen=True, slots=True)
class Child:
    """The new job, and the parent whose messages become its own."""

    job: UUID
    reference: str
    parent: UUID
    key: bytes = field(repr=False)
    sources: Collection[str] = frozenset()
    """Paths that are submitted again: an event's other references are left out."""

    def document_id(self, path: str, sha256: str) -> str:
        return document_id(self.key, path, sha256)


@dataclass(frozen=True, slots=True)
class Rewritten:
    message: Message
    documents: tuple[tuple[str, Document], ...] = ()
    """The document it belongs to, as it is now, under its id in the parent."""
    objects: tuple[tuple[str, str], ...] = ()
    """Names of the objects it needs in staging: in the parent, and in the new job."""


def rewrite(message: Message, child: Child) -> Rewritten | None:
    """None for an event of which nothing is submitted again. Raises Permanent `staging.name` for another's object."""
    return _REWRITE[type(message)](message, child)


def rewritten_part(part: EmbeddingsMade, child: Child) -> EmbeddingsMade:
    """A part of an inherited document."""
    chunks = part.chunks.model_copy(update={"document": _renamed(part.chunks.document, child)})
    return part.model_copy(update={"chunks": chunks})


def raw_object(job: UUID, document: str) -> str:
    return object_name(job, RAW, document)


def _submitted(event: DocumentsSubmitted, child: Child) -> Rewritten | None:
    """Without a manifest: the replay states its own."""
    wanted = [reference for reference in event.documents if reference.path in child.sources]
    removed = tuple(path for path in event.removed if path in child.sources)
    if not wanted and not removed:
        return None
    moved = [_moved(reference, child) for reference in wanted]
    objects = tuple(
        (old.uri.removeprefix(STAGED), new.uri.removeprefix(STAGED))
        for old, new in zip(wanted, moved, strict=True)
        if old.uri.startswith(STAGED)
    )
    update = {"reference": child.reference, "documents": tuple(moved), "removed": removed, "manifest": None}
    return Rewritten(event.model_copy(update=update), objects=objects)


def _moved(reference: DocumentReference, child: Child) -> DocumentReference:
    """What lies with the customer is read there again; what was sealed in staging goes along."""
    if not reference.uri.startswith(STAGED):
        return reference
    if reference.sha256 is None or not reference.uri.startswith(f"{STAGED}jobs/{child.parent}/"):
        raise Permanent("staging.name")
    document = child.document_id(reference.path, reference.sha256)
    return reference.model_copy(update={"uri": STAGED + raw_object(child.job, document)})


def _of_document(message: Any, child: Child) -> Rewritten:
    """A message with a `document`, and maybe the name of an `object` that it was too small to hold."""
    old, new = message.document, _renamed(message.document, child)
    update: dict[str, Any] = {"document": new}
    objects: tuple[tuple[str, str], ...] = ()
    name = getattr(message, "object", None)
    if name is not None:
        own, ours = f"jobs/{child.parent}/", f"jobs/{child.job}/"
        if not name.startswith(own):
            raise Permanent("staging.name")
        update["object"] = ours + name.removeprefix(own).replace(old.id, new.id)
        objects = ((name, update["object"]),)
    return Rewritten(message.model_copy(update=update), ((old.id, new),), objects)


def _of_vectors(message: EmbeddingsMade, child: Child) -> Rewritten:
    made = _of_document(message.chunks, child)
    return Rewritten(message.model_copy(update={"chunks": made.message}), made.documents)


def _renamed(document: Document, child: Child) -> Document:
    return document.model_copy(update={"id": child.document_id(document.path, document.sha256)})


_REWRITE: Final[dict[type[Message], Callable[[Any, Child], Rewritten | None]]] = {
    DocumentsSubmitted: _submitted,
    DocumentAdmitted: _of_document,
    DocumentRecognised: _of_document,
    ChunksMade: _of_document,
    EmbeddingsMade: _of_vectors,
    GraphExtracted: _of_document,
}
