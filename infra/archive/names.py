"""What an archived object may be called. Every adapter checks, so none can be made to leave its folder."""

import re
from typing import Final

from schemas.errors import Permanent
from schemas.ids import CUSTOMER_ID

ROOT: Final = "versions"
TAR: Final = ".oci.age"
RECORD: Final = ".json"
_CUSTOMER: Final = CUSTOMER_ID.strip("^$")
_VERSION: Final = r"v[1-9][0-9]{0,5}\.(?:0|[1-9][0-9]{0,5})-(?:init|full|update)"
_NAME: Final = re.compile(rf"{ROOT}/{_CUSTOMER}/{_VERSION}(?:(?:\.[1-9][0-9]?)?\.oci\.age|\.json)")
_PREFIX: Final = re.compile(rf"{ROOT}/(?:{_CUSTOMER}/(?:[a-z0-9-][a-z0-9.-]*)?)?")


def check_name(name: str) -> str:
    """Returns `name`. Raises Permanent `archive.name`."""
    if not _NAME.fullmatch(name):
        raise Permanent("archive.name")
    return name


def check_prefix(prefix: str) -> str:
    """Returns `prefix`, `versions/` or more of a name. Raises Permanent `archive.name`."""
    if not _PREFIX.fullmatch(prefix):
        raise Permanent("archive.name")
    return prefix


def is_name(name: str) -> bool:
    """Whether an object may be called so: what else lies in an archive, nobody put there through the port."""
    return _NAME.fullmatch(name) is not None


def numbered(tar: str, attempt: int) -> str:
    """The name of a version's encrypted tar, `<version>.oci.age`, at the first attempt; `<version>.2.oci.age` at the
    second, where a crash left an object under the first."""
    return tar if attempt == 1 else f"{tar.removesuffix(TAR)}.{attempt}{TAR}"
