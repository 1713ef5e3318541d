"""Where everything on disk lies: under CRADLE_HOME, and nowhere else."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

from schemas.errors import CradleError
from schemas.ids import check_customer_id
from schemas.versions import read_version


@dataclass(frozen=True, slots=True)
class CustomerPaths:
    """One customer's folders. Raises Permanent `customer.id` for an id that could leave them."""

    home: Path
    customer: str

    def __post_init__(self) -> None:
        check_customer_id(self.customer)

    @property
    def images(self) -> Path:
        return self.home / "images" / self.customer

    def image(self, job: UUID, generation: int) -> Path:
        """The OCI layout of a job's image."""
        return self.images / f"{job}.{generation}"

    def package(self, version: str) -> Path:
        """The folder that the customer gets. Raises Permanent `version.name`."""
        return self.home / "packages" / self.customer / str(read_version(version))

    def rolled_back(self, version: str) -> Path:
        """A version's package made again from the archive: beside the first one, whose credentials stay as they are.
        Raises Permanent `version.name`."""
        return self.home / "packages" / self.customer / f"{read_version(version)}-rollback"

    def archived(self, version: str) -> tuple[str, str]:
        """Names in the archive: of the encrypted tar and of the record. Raises Permanent `version.name`."""
        name = f"versions/{self.customer}/{read_version(version)}"
        return f"{name}.oci.age", f"{name}.json"


def signing_key(home: Path) -> Path:
    """The installation's own Ed25519 key, which packages are signed with."""
    return home / "signing" / "ed25519.pem"


def file_url(path: Path) -> str:
    """`file:///...` of a path, made absolute. What is not plain ASCII is percent-encoded, byte by byte."""
    return "file://" + quote(os.fsencode(path.absolute()))


def file_path(url: str) -> Path:
    """The path that a `file://` URL names. Raises CradleError `settings.invalid` unless it is absolute and local."""
    encoded = url.removeprefix("file://")
    if encoded == url or not encoded.startswith("/") or "%00" in encoded:
        raise CradleError("settings.invalid", what="a file URL is file:// and an absolute path, as file:///srv/cradle")
    return Path(os.fsdecode(unquote_to_bytes(encoded)))


def sync_folder(folder: Path) -> None:
    """Returns once the folder's entries are on disk: a rename, link or unlink in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
