"""The installation's Ed25519 key, and what it signs: a list of SHA-256 sums over a package's files."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from builders.oci.aside import sync
from infra.paths import sync_folder
from schemas.errors import CradleError

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
PUBLIC_KEY: Final = "public.pem"
GROUP: Final = 8
"""Digits of a fingerprint between two blanks: people read it aloud."""


class Signer:
    """Signs for this installation."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    @property
    def public_pem(self) -> bytes:
        return self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def key_sha256(self) -> str:
        """SHA-256 of the public key's DER form, 64 hex digits."""
        der = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def fingerprint(self) -> str:
        """`key_sha256` in groups, as `verify.sh` prints it."""
        digits = self.key_sha256
        return " ".join(digits[start : start + GROUP] for start in range(0, len(digits), GROUP))

    def sign(self, content: bytes) -> bytes:
        """64 bytes; the same for the same content."""
        return self._key.sign(content)


def load_signer(path: Path) -> Signer:
    """The key in a PEM file, made there (0600) if there is none. Raises CradleError `signing.key`."""
    if not path.exists():
        _make_key(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise CradleError("signing.key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CradleError("signing.key")
    return Signer(key)


def sign_folder(folder: Path, signer: Signer) -> None:
    """Writes the public key, the sums of every file but the list and its signature, and the signature."""
    (folder / PUBLIC_KEY).write_bytes(signer.public_pem)
    sums = "".join(f"{_sha256(path)}  {name}\n" for name, path in files_of(folder).items()).encode()
    (folder / SUMS).write_bytes(sums)
    (folder / SIGNATURE).write_bytes(signer.sign(sums))


def files_of(folder: Path) -> dict[str, Path]:
    """Every file in the folder and its folders, by its name from there; sorted."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


def _make_key(path: Path) -> None:
    """Of two at once one key stays: it gets its name whole, and only if nothing has that name."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:  # 0600
        file.write(pem)
        file.flush()
        sync(Path(file.name))
        with suppress(FileExistsError):
            os.link(file.name, path)
    sync_folder(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
