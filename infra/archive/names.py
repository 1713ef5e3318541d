"""What an archived object may be called. Every adapter checks, so none can be made to leave its folder."""

import re
from typing import Final, NamedTuple

from schemas.errors import Permanent
from schemas.ids import CUSTOMER_ID
from schemas.versions import Version, read_version

ROOT: Final = "versions"
TAR: Final = ".oci.age"
RECORD: Final = ".json"
_CUSTOMER: Final = CUSTOMER_ID.strip("^$")
_NAME: Final = re.compile(
    rf"{ROOT}/(?P<customer>{_CUSTOMER})/(?P<version>v[0-9.]+-[a-z]+)(?:(?:\.[1-9][0-9]?)?\.oci\.age|(?P<record>\.json))"
)
_PREFIX: Final = re.compile(rf"{ROOT}/(?:{_CUSTOMER}/(?:[a-z0-9-][a-z0-9.-]*)?)?")


class ArchivedName(NamedTuple):
    customer: str
    version: Version
    record: bool
    """Else it is an encrypted tar."""


def read_name(name: str) -> ArchivedName | None:
    """None for a name that no object may have: what lies under it nobody put there through the port."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return ArchivedName(found["customer"], read_version(found["version"]), bool(found["record"]))
    except Permanent:
        return None


def check_name(name: str) -> str:
    """Returns `name`. Raises Permanent `archive.name`."""
    if read_name(name) is None:
        raise Permanent("archive.name")
    return name


def check_prefix(prefix: str) -> str:
    """Returns `prefix`, `versions/` or more of a name. Raises Permanent `archive.name`."""
    if not _PREFIX.fullmatch(prefix):
        raise Permanent("archive.name")
    return prefix


def numbered(tar: str, attempt: int) -> str:
    """The name of a version's encrypted tar, `<version>.oci.age`, at the first attempt; `<version>.2.oci.age` at the
    second, where a crash left an object under the first."""
    return tar if attempt == 1 else f"{tar.removesuffix(TAR)}.{attempt}{TAR}"
