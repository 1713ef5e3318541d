"""`package`: a baked job becomes an archived version, and the folder that its customer gets."""

from operations.package.folder import Folder, Kind, write_folder
from operations.package.letters import OF_JOB, OF_VERSION, letter
from operations.package.packaging import Packaged, PackagePorts, newest_job, package
from operations.package.signing import Signer, load_signer

__all__ = [
    "OF_JOB",
    "OF_VERSION",
    "Folder",
    "Kind",
    "PackagePorts",
    "Packaged",
    "Signer",
    "letter",
    "load_signer",
    "newest_job",
    "package",
    "write_folder",
]
