"""What a staging name is made of and may look like. Every adapter checks, so none can be made to leave its folder."""

import re
from typing import Final
from uuid import UUID

from schemas.errors import Permanent

_SEGMENT: Final = r"[a-z0-9_-][a-z0-9._-]{0,199}"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX: Final = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?")
MAX_NAME: Final = 900
"""Characters. S3 takes 1024 bytes, a prefix of the store's own included."""

RAW: Final = "raw"
"""The kind of a job's objects that are its documents as they came."""
STAGED: Final = "staged:"
"""Stands before an object's name where that is a document's URI."""


def object_name(job: UUID, kind: str, name: str) -> str:
    """The staging name of a job's object. Raises Permanent `staging.name`."""
    return check_name(f"jobs/{job}/{kind}/{name}")


def check_name(name: str) -> str:
    """Returns `name`. Raises Permanent `staging.name`: no segment begins with '.', so none is '..' or hidden."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise Permanent("staging.name")
    return name


def check_prefix(prefix: str) -> str:
    """Returns `prefix`, the beginning of a name or nothing. Raises Permanent `staging.name`."""
    if len(prefix) > MAX_NAME or not _PREFIX.fullmatch(prefix):
        raise Permanent("staging.name")
    return prefix


def check_deletion(prefix: str) -> str:
    """Returns `prefix`. Raises Permanent `staging.name` for one that is empty as well: that would delete the store."""
    if not prefix:
        raise Permanent("staging.name")
    return check_prefix(prefix)
