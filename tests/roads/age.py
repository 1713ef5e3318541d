"""What opens an age file, written from its specification (C2SP age.md): enough to try any 32 bytes as an identity."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LINE = b"age-encryption.org/v1\n"
LABEL = b"age-encryption.org/v1/X25519"
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@dataclass(frozen=True)
class Stanza:
    """One recipient's: its file key, sealed."""

    share: bytes
    body: bytes


def stanzas(file: bytes) -> list[Stanza]:
    """Those of a file's header; of its whole content only that much is read."""
    assert file.startswith(LINE), "it is no age file"
    lines = file[: file.index(b"\n---")].split(b"\n")[1:]
    heads = [place for place, line in enumerate(lines) if line.startswith(b"-> X25519 ")]
    return [Stanza(_decode(lines[place].split(b" ")[2]), _decode(lines[place + 1])) for place in heads]


def opens(stanza: Stanza, identity: bytes) -> bool:
    """Whether these 32 bytes are the identity that the stanza is for."""
    secret = X25519PrivateKey.from_private_bytes(identity)
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(stanza.share))
    except ValueError:  # all zeros
        return False
    recipient = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = HKDF(SHA256(), 32, stanza.share + recipient, LABEL).derive(shared)
    try:
        ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
    except InvalidTag:
        return False
    return True


def opens_header(file: bytes, file_key: bytes) -> bool:
    """Whether these 16 bytes are the file's key: then its header's HMAC is theirs."""
    end = file.index(b"\n---") + 4
    line = file[end : file.index(b"\n", end)]
    key = HKDF(SHA256(), 32, b"", b"header").derive(file_key)
    return hmac.compare_digest(hmac.digest(key, file[:end], hashlib.sha256), _decode(line.strip()))


def secret_of(identity: str) -> bytes:
    """The 32 bytes of `AGE-SECRET-KEY-1...` (Bech32; its checksum is not looked at)."""
    values = [CHARSET.index(letter) for letter in identity.lower().rpartition("1")[2][:-6]]
    bits = "".join(f"{value:05b}" for value in values)
    return int(bits[:256], 2).to_bytes(32, "big")


def _decode(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))
