"""Encrypts an image's tar to its customer while it is written: the plain tar never lies on a disk."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pyrage

from builders.oci.archive import stream
from builders.oci.aside import sync
from builders.oci.read import Image
from schemas.errors import Permanent


def encrypt_image(image: Image, into: Path, recipient: str, *, name: str) -> None:
    """Writes the image's tar, encrypted with age to `recipient` (`age1...`), to the new file `into`. Blocking.

    `name` is what `docker load` will call it. Takes a few MiB of memory, whatever the image's size.
    Raises Permanent `package.recipient`, and OSError; then what was written is not whole.
    """
    try:
        key = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError:
        raise Permanent("package.recipient") from None
    read_end, write_end = os.pipe()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="image-tar") as writer, into.open("xb") as encrypted:
        with os.fdopen(read_end, "rb") as plain:
            written = writer.submit(_write, image, os.fdopen(write_end, "wb"), name)
            pyrage.encrypt_io(plain, encrypted, [key])
        written.result()  # an image that could not be read whole must not pass for one that ended
    sync(into)


def _write(image: Image, pipe: BinaryIO, name: str) -> None:
    with pipe:
        stream(image, pipe.write, name=name)
