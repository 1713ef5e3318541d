"""`package`: a baked job becomes the folder that its customer gets, and an archived version."""

from operations.package.folder import Folder, Kind, write_folder
from operations.package.signing import Signer, load_signer

__all__ = ["Folder", "Kind", "Signer", "load_signer", "write_folder"]
