"""What a customer's clients prove themselves with: a token, of which the appliance gets the argon2 hash alone."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = "credentials"
TOKEN: Final = f"{FOLDER}/token"
HASH: Final = f"{FOLDER}/token.argon2"
TOKEN_BYTES: Final = 32
"""Of randomness: the hash needs no salt's help, and its first check may be remembered by a plain digest."""


@dataclass(frozen=True, slots=True)
class Credentials:
    token: str = field(repr=False)
    encoded: str
    """The token's argon2id hash, as the appliance reads it."""


def make_credentials() -> Credentials:
    from argon2 import PasswordHasher

    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Credentials(token, PasswordHasher().hash(token))


def read_credentials(package: Path) -> Credentials | None:
    """Those in a package's folder; None where it has none, or stands nowhere."""
    try:
        return Credentials((package / TOKEN).read_text().strip(), (package / HASH).read_text().strip())
    except FileNotFoundError:
        return None


def write_credentials(credentials: Credentials, package: Path) -> None:
    """The token for its owner alone. The hash is for user 65532 in the container, whoever unpacked the package; on the
    way to it lies a folder that only its owner enters, which does not matter to a mounted file."""
    (package / FOLDER).mkdir(mode=0o700)
    for name, content, mode in ((TOKEN, credentials.token, 0o600), (HASH, credentials.encoded, 0o644)):
        file = package / name
        file.touch(mode=0o600)
        file.write_text(f"{content}\n")
        file.chmod(mode)
