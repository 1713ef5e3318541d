"""A customer's versions: what is remembered of each image that was packaged. It holds nothing of any document."""

import re
from datetime import datetime
from functools import total_ordering
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from schemas.errors import Permanent
from schemas.ids import CustomerId

MOST_UPDATES: Final = 10
"""Updates over one full image after which a full job is offered: each costs every search a little."""

Kind = Literal["init", "full", "update"]
_NAME: Final = re.compile(r"v([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})-(init|full|update)")


@total_ordering
class Version(NamedTuple):
    """`v1.0-init` is the first; a full job raises the first number, an update the second."""

    major: int
    minor: int
    kind: Kind

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}-{self.kind}"

    @property
    def tag(self) -> str:
        """As the image's tag has it: `v1.0`."""
        return f"v{self.major}.{self.minor}"

    def updated(self) -> "Version":
        return Version(self.major, self.minor + 1, "update")

    def renewed(self) -> "Version":
        return Version(self.major + 1, 0, "full")


FIRST: Final = Version(1, 0, "init")


def read_version(name: str) -> Version:
    """`v1.0-init`, or without its kind, `v1.0`: then the kind is what the numbers say.

    Raises Permanent `version.name`.
    """
    found = _NAME.fullmatch(name) or _NAME.fullmatch(f"{name}-{_implied(name)}")
    if found is None:
        raise Permanent("version.name", name=name[:40])
    version = Version(int(found[1]), int(found[2]), found[3])  # type: ignore[arg-type]
    if (version.kind == "update") != (version.minor > 0) or (version.kind == "init") != (version[:2] == (1, 0)):
        raise Permanent("version.name", name=name[:40])
    return version


def _implied(name: str) -> str:
    if name == FIRST.tag:
        return "init"
    return "full" if name.endswith(".0") else "update"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArchivedTar(_Strict):
    """The encrypted copy: `versions/<customer>/<version>.oci.age`; of a later attempt n, `<version>.<n>.oci.age`."""

    sha256: str
    """Of the ciphertext, hex."""
    size: int
    """Bytes of the ciphertext."""
    attempt: int = 1
    """A crash between the copy and its record leaves one that no record names; the next attempt adds another."""


class VersionRecord(_Strict):
    """`versions/<customer>/<version>.json`. An update is baked over what `manifest` and `config` say, without a byte of
    the layers below."""

    customer: CustomerId
    version: str
    extends: str | None
    """The version that this update lies over."""
    job: UUID
    generation: int
    parameters: int
    """Number of the Installation Parameters."""
    parameters_sha256: str
    fingerprint: str
    format: int
    """`appliance.format.VERSION` of its data layers: an update is in the same."""
    digest: str
    """The image's: `sha256:...` of its manifest."""
    manifest: dict[str, Any]
    """The image's OCI manifest, whole."""
    config: dict[str, Any]
    """The image's OCI configuration, whole."""
    new_layers: tuple[str, ...]
    """Digests of the layers that this version's tar holds: all of a full image, one of an update."""
    documents: int
    """Of this version's own data layer."""
    chunks: int
    merkle: dict[str, str]
    left_out: dict[str, int] = {}
    """How many documents failed, by error code."""
    sbom: dict[str, Any] | None = None
    """The image's bill of materials, CycloneDX: an update, and a package made again from the archive, have no other."""
    packaged_at: datetime
    archived: ArchivedTar | None
    """None where the customer had no age recipient: then there is no copy."""
