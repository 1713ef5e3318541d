"""Ids are derived, never drawn: the same work has the same id after any crash, on any machine.

What stands in the open (a document's id) is an HMAC under the job's key, so nobody can confirm a guessed path or
file, and nobody can at all once the key is gone.
"""

import hashlib
import hmac
import re
import unicodedata
from typing import Annotated, Final
from uuid import UUID, uuid5

from pydantic import AfterValidator, StringConstraints

from schemas.errors import Permanent

NAMESPACE: Final = UUID("3c8a0c52-5f0e-5d0a-9a5e-6a2b1f6d7e11")
"""Root of every UUIDv5 of ours. Changing it would make every id new."""

CUSTOMER_ID: Final = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
DOCUMENT_ID: Final = r"^[0-9a-f]{32}$"
SHA256_HEX: Final = r"^[0-9a-f]{64}$"

CustomerId = Annotated[str, StringConstraints(pattern=CUSTOMER_ID)]
DocumentId = Annotated[str, StringConstraints(pattern=DOCUMENT_ID)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_HEX)]


def check_customer_id(customer: str) -> str:
    """Returns `customer`. Raises Permanent `customer.id` unless it is a lower-case DNS label of at most 63 letters."""
    if not re.fullmatch(CUSTOMER_ID, customer):
        raise Permanent("customer.id")
    return customer


def clean_path(path: str) -> str:
    """A document's path in NFC. Raises Permanent `source.path` unless it is relative, '/'-separated and clean."""
    path = unicodedata.normalize("NFC", path)
    try:
        size = len(path.encode())
    except UnicodeEncodeError:  # a file name that is not UTF-8 reaches Python with lone surrogates
        raise Permanent("source.path") from None
    if not 0 < size <= 4096 or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Permanent("source.path")
    return path


def _valid_path(path: str) -> str:
    try:
        return clean_path(path)
    except Permanent as error:
        raise ValueError(error.sentence) from error


def clean_removal(path: str) -> str:
    """As `clean_path`; a '/' may stand at its end, for all that lies in that folder. Raises Permanent `source.path`."""
    return clean_path(path.removesuffix("/")) + "/" * path.endswith("/")


def _valid_removal(path: str) -> str:
    try:
        return clean_removal(path)
    except Permanent as error:
        raise ValueError(error.sentence) from error


RemovedPath = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_valid_removal)]
"""What an update removes: a document with what came out of it, or all that lies in a folder, with a '/' at its end."""

DocumentPath = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_valid_path)]
"""A document's path within its source, '/'-separated, NFC; an archive's member is `archive.zip!/member`."""


def job_id(customer: str, reference: str) -> UUID:
    """The job that `customer` calls `reference`: the same reference twice is the same job."""
    return uuid5(NAMESPACE, f"job\0{customer}\0{reference}")


def document_id(job_key: bytes, path: str, sha256: str) -> str:
    """32 hex digits: the first half of HMAC-SHA256 under the job's key over path and content hash."""
    return hmac.new(job_key, f"document\0{path}\0{sha256}".encode(), hashlib.sha256).hexdigest()[:32]


def content_id(job_key: bytes, sha256: str, media_type: str) -> str:
    """As `document_id`, of the content alone: two documents of a job have the same one if they are the same bytes, and
    read as the same type."""
    return hmac.new(job_key, f"content\0{sha256}\0{media_type}".encode(), hashlib.sha256).hexdigest()[:32]


def removal_id(job_key: bytes, path: str) -> str:
    """As `document_id`, of a path that an update removes: it names no content."""
    return hmac.new(job_key, f"removal\0{path}".encode(), hashlib.sha256).hexdigest()[:32]


def message_id(job: UUID, stage: str, source: UUID, ordinal: int) -> UUID:
    """The `ordinal`-th output that `stage` makes of the message `source` in `job`."""
    return uuid5(NAMESPACE, f"message\0{job}\0{stage}\0{source}\0{ordinal}")


def clear_message_id(value: bytes) -> UUID:
    """The id of a record that came without one, from a foreign client: the same bytes are the same message."""
    return uuid5(NAMESPACE, f"clear\0{hashlib.sha256(value).hexdigest()}")


NO_JOB: Final = UUID(int=0)
"""Stands for the job of a record that could not be opened."""
