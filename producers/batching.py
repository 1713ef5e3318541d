"""Which references travel together. Pure: the same references in the same order make the same batches."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid5

from schemas.ids import NAMESPACE, message_id
from schemas.messages import DocumentReference, Manifest

MAX_DOCUMENTS: Final = 64
MAX_REMOVED: Final = 1024
MAX_BYTES: Final = 256 * 1024
"""Of references as JSON. A reference of the longest path and URI is some 50 KiB of it, so a batch fits its record."""
STAGE: Final = "producer"


class Batches:
    """Collects references until a batch is full."""

    def __init__(self, *, max_documents: int = MAX_DOCUMENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._references: list[DocumentReference] = []
        self._bytes = 0

    def add(self, reference: DocumentReference) -> tuple[DocumentReference, ...]:
        """The batch that had to go to make room for `reference`; empty where there was room."""
        size = len(reference.model_dump_json().encode())
        full = len(self._references) == self._max_documents or self._bytes + size > self._max_bytes
        batch = self.rest() if full else ()
        self._references.append(reference)
        self._bytes += size
        return batch

    def rest(self) -> tuple[DocumentReference, ...]:
        """What has been collected; nothing is left."""
        batch = tuple(self._references)
        self._references, self._bytes = [], 0
        return batch


def batches_of_paths(paths: Sequence[str]) -> list[tuple[str, ...]]:
    """Paths to be removed, in order, as many together as one message takes."""
    batches: list[list[str]] = []
    room = 0
    for path in paths:
        size = len(path.encode())
        if not batches or len(batches[-1]) == MAX_REMOVED or size > room:
            batches.append([])
            room = MAX_BYTES
        batches[-1].append(path)
        room -= size
    return [tuple(batch) for batch in batches]


def batch_id(job: UUID, documents: Sequence[str], manifest: Manifest | None = None) -> UUID:
    """The id of the message that submits these documents or removals and, where it closes the job, its manifest.

    It follows from the documents' ids, and these from path and content under the job's key. So a producer that runs
    again sends the same messages, which are skipped; and after a file has changed it sends other ones, which are not.
    """
    closing = "" if manifest is None else f"manifest {manifest.documents}"
    if manifest is not None and manifest.removed:
        closing += f" {manifest.removed}"
    content = "\0".join((*documents, closing))
    return message_id(job, STAGE, uuid5(NAMESPACE, f"batch\0{job}\0{content}"), 0)
