"""`package`: a baked job becomes an archived version, and the folder that its customer gets."""

from operations.package.folder import Folder, Kind, write_folder
from operations.package.packaging import Packaged, PackagePorts, newest_job, package
from operations.package.signing import Signer, load_signer

__all__ = [
    "Folder",
    "Kind",
    "PackagePorts",
    "Packaged",
    "Signer",
    "load_signer",
    "newest_job",
    "package",
    "write_folder",
]
