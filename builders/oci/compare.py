"""Where two images first differ: the layer, the file in it, the byte of that file. Pure, but for what it reads."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, BinaryIO, Final

from builders.oci.read import Image, decompressed, role_of

PIECE_BYTES: Final = 1024 * 1024
_PROPERTIES: Final = {
    "type": "kind of entry",
    "size": "size",
    "mode": "mode",
    "uid": "owner",
    "gid": "group",
    "uname": "owner's name",
    "gname": "group's name",
    "mtime": "time",
    "linkname": "link's target",
}
"""Of a tar entry, and what a person calls each."""


@dataclass(frozen=True, slots=True)
class Difference:
    where: str
    """`layer 3 (data-000)`, counted from 1, or `configuration`, `manifest`."""
    file: str | None
    """In that layer, without a leading '/'."""
    byte: int | None
    """From 0, of that file; of the configuration or manifest as it stands; of the layer's archive where no file
    differs."""
    what: str
    """A clause for people: `content`, `mode is 0644 in one and 0600 in the other`, `only in the first`."""


def first_difference(one: Image, other: Image) -> Difference | None:
    """None where they are the same image. Layers come first, the lowest before all, then what is said of them.

    Raises CradleError `image.broken`: a layer that differs is no archive.
    """
    if one.digest == other.digest:
        return None
    for number, (first, second) in enumerate(zip_longest(one.layers, other.layers), start=1):
        found = _compare_layers(one, first, other, second)
        if found is not None:
            role = role_of(first or second) or "base"
            return Difference(f"layer {number} ({role})", *found)
    for where, digests in (
        ("configuration", (one.manifest["config"]["digest"], other.manifest["config"]["digest"])),
        ("manifest", (one.digest, other.digest)),
    ):
        with one.blob(digests[0]).open() as first_blob, other.blob(digests[1]).open() as second_blob:
            byte = first_differing_byte(first_blob, second_blob)
        if byte is not None:
            return Difference(where, None, byte, "content")
    raise AssertionError("images of two digests have two manifests")


def compare_archives(one: BinaryIO, other: BinaryIO) -> tuple[str, int | None, str] | None:
    """The first entry of two tar archives that differs: its name, the byte of its content if that differs, and what
    does. None where all entries agree, though the archives may be written in two ways. Raises TarError."""
    with tarfile.open(fileobj=one, mode="r|") as first, tarfile.open(fileobj=other, mode="r|") as second:
        for here, there in zip_longest(first, second):
            if here is None or there is None or here.name != there.name:
                names = [entry.name.removeprefix("./") for entry in (here, there) if entry is not None]
                if len(names) == 1:
                    return names[0], None, f"only in the {'second' if here is None else 'first'}"
                return min(names), None, f"only in the {'first' if names[0] == min(names) else 'second'}, or elsewhere"
            found = _compare_entries(first, here, second, there)
            if found is not None:
                return here.name.removeprefix("./"), *found
    return None


def first_differing_byte(one: BinaryIO, other: BinaryIO) -> int | None:
    """From 0; where one is the other's beginning, its length. None where they are equal."""
    offset = 0
    while True:
        here, there = one.read(PIECE_BYTES), other.read(PIECE_BYTES)
        if here != there:
            pairs = enumerate(zip(here, there, strict=False))
            return offset + next((i for i, (a, b) in pairs if a != b), min(len(here), len(there)))
        if not here:
            return None
        offset += len(here)


def _compare_layers(
    one: Image, first: Mapping[str, Any] | None, other: Image, second: Mapping[str, Any] | None
) -> tuple[str | None, int | None, str] | None:
    if first is None or second is None:
        return None, None, f"only in the {'second' if first is None else 'first'}"
    if first["digest"] == second["digest"]:
        return None
    if first["digest"] in one.missing or second["digest"] in other.missing:
        return None, None, "another layer, which is not here to be read"
    try:
        with one.blob(first["digest"]).open() as here, other.blob(second["digest"]).open() as there:
            found = compare_archives(decompressed(first, here), decompressed(second, there))
    except tarfile.TarError:
        found = None
    if found is not None:
        return found
    with one.blob(first["digest"]).open() as here, other.blob(second["digest"]).open() as there:
        return None, first_differing_byte(here, there), "how the archive is written; its files are the same"


def _compare_entries(
    first: tarfile.TarFile, here: tarfile.TarInfo, second: tarfile.TarFile, there: tarfile.TarInfo
) -> tuple[int | None, str] | None:
    byte = first_differing_byte(_content(first, here), _content(second, there))
    if byte is not None:
        return byte, "content"
    for name, told in _PROPERTIES.items():
        values = getattr(here, name), getattr(there, name)
        if values[0] != values[1]:
            one, other = (oct(value) if name == "mode" else repr(value) for value in values)
            return None, f"{told} is {one} in the first and {other} in the second"
    return None


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> BinaryIO:
    file = archive.extractfile(entry) if entry.isreg() else None
    return io.BytesIO() if file is None else file  # type: ignore[return-value]
