"""`ingest`: what upstream systems publish. The only message that may also travel as clear JSON."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, model_validator

from schemas.ids import CustomerId, DocumentPath, RemovedPath, Sha256, job_id
from schemas.messages._base import Count, Message, Part, Size


class DocumentReference(Part):
    """One input file by reference, never its bytes."""

    path: DocumentPath
    """Its name within the source, as search results will show it."""
    uri: Annotated[str, Field(min_length=1, max_length=4096)]
    """`s3://bucket/key` or `file:///path` under a root allowed for the customer; `staged:NAME` once sealed."""
    sha256: Sha256 | None = None
    """Checked against the bytes if given; required for `staged:`."""
    size: Size | None = None
    """Bytes, for progress only."""


class Manifest(Part):
    """Closes the job: how many distinct documents were submitted over all its batches, and how many paths removed."""

    documents: Count
    removed: Count = 0
    """Of an update: how many distinct paths its events removed."""

    @property
    def sources(self) -> int:
        """How many things the ledger waits for."""
        return self.documents + self.removed


class DocumentsSubmitted(Message):
    """A batch of references, or the manifest that closes the job, or both."""

    TYPE: ClassVar[str] = "cradle.ingest.v1"

    customer: CustomerId
    reference: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
    """The upstream's own name of the job: the same reference twice is the same job."""
    documents: Annotated[tuple[DocumentReference, ...], Field(max_length=1024)] = ()
    manifest: Manifest | None = None
    update: bool = False
    """Whether the job is an update of the customer's newest version: every event of a job says the same."""
    removed: Annotated[tuple[RemovedPath, ...], Field(max_length=1024)] = ()
    """Of an update: documents of the versions below that are no longer part of it, with what came out of them; or, with
    a '/' at the end, whole folders."""

    @model_validator(mode="after")
    def _says_something(self) -> "DocumentsSubmitted":
        if not self.documents and not self.removed and self.manifest is None:
            raise ValueError("an ingest event carries documents, a manifest, or both")
        removes = self.removed or (self.manifest is not None and self.manifest.removed)
        if removes and not self.update:
            raise ValueError("only an update removes documents")
        return self

    @property
    def job(self) -> UUID:
        return job_id(self.customer, self.reference)
