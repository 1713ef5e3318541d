"""Reads an image from its layout, be it a folder or one tar, without unpacking either.

Whatever is uncompressed is read where it lies: a blob in a tar, and a file in a layer in that blob, are windows on
the one file on disk.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import zstandard

from schemas.errors import CradleError

PIECE_BYTES: Final = 1024 * 1024
_WHITEOUT: Final = ".wh."
_MAX_JSON_BYTES: Final = 16 * 1024 * 1024
"""A manifest or configuration that claims more is not read."""


ROLE: Final = "cradle.layer"
"""Annotation of a layer's descriptor: what it is to us."""
DATA_ROLE: Final = "data-"
"""The role of data layer number n: `data-000`, `data-001`, ... The appliance's is `appliance`."""


def role_of(layer: Mapping[str, Any]) -> str:
    """The role that a layer's descriptor states; empty for one of the base."""
    return str((layer.get("annotations") or {}).get(ROLE, ""))


@dataclass(frozen=True, slots=True)
class Window:
    """`size` bytes of a file, from `offset` on."""

    path: Path
    offset: int
    size: int

    def open(self) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_WindowFile(self), PIECE_BYTES))

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Image:
    """One image of a layout."""

    def __init__(self, path: Path, files: Mapping[str, Window], digest: str) -> None:
        self.path = path
        self.digest = digest
        """Of its manifest, `sha256:...`: the image's identity."""
        self._files = files

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self._json(self.digest)

    @cached_property
    def config(self) -> dict[str, Any]:
        return self._json(self.manifest["config"]["digest"])

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Their descriptors, lowest first."""
        return list(self.manifest["layers"])

    @property
    def missing(self) -> list[str]:
        """Digests of the layers whose blobs are not here: of a thin image, all but the newest. Lowest first."""
        return [layer["digest"] for layer in self.layers if _blob_name(layer["digest"]) not in self._files]

    @property
    def size(self) -> int:
        """Bytes of its manifest, configuration and layers, be they here or not."""
        blobs = [self.manifest["config"], *self.layers]
        return self.blob(self.digest).size + sum(int(blob["size"]) for blob in blobs)

    @property
    def blobs(self) -> dict[str, Window]:
        """Every blob of the image that is here, by its name in the layout."""
        here = [layer["digest"] for layer in self.layers if _blob_name(layer["digest"]) in self._files]
        digests = [self.digest, self.manifest["config"]["digest"], *here]
        return {_blob_name(digest): self.blob(digest) for digest in digests}

    def blob(self, digest: str) -> Window:
        """Raises CradleError `image.broken`: it is not there."""
        try:
            return self._files[_blob_name(digest)]
        except KeyError:
            raise _broken("a blob is missing") from None

    def layer(self, role: str) -> Window:
        """The layer that Cradle annotated with `role`. Raises CradleError `image.broken`: it has none, or not here."""
        for layer in self.layers:
            if role_of(layer) == role:
                return self.blob(layer["digest"])
        raise _broken(f"it has no {role} layer")

    def verify(self) -> None:
        """Reads every blob and compares it with what names it. Raises CradleError `image.broken`.

        A thin image, an update of which only the newest layer is here, is whole as such.
        """
        diff_ids = self.config["rootfs"]["diff_ids"]
        if len(diff_ids) != len(self.layers):
            raise _broken("its configuration does not fit its layers")
        self._verify_blob(self.manifest["config"])
        newest = len(self.layers) - 1 if self._is_update() else 0
        for number, (layer, diff_id) in enumerate(zip(self.layers, diff_ids, strict=True)):
            if number < newest and layer["digest"] in self.missing:
                continue
            self._verify_blob(layer)
            if self._diff_id(layer) != diff_id:
                raise _broken("a layer is not the one its configuration names")

    def _is_update(self) -> bool:
        return sum(role_of(layer).startswith(DATA_ROLE) for layer in self.layers) > 1

    def _verify_blob(self, descriptor: Mapping[str, Any]) -> None:
        window = self.blob(descriptor["digest"])
        with window.open() as file:
            if window.size != descriptor["size"] or _digest(file) != descriptor["digest"]:
                raise _broken("a blob's content is not the one its digest names")

    def _diff_id(self, layer: Mapping[str, Any]) -> str:
        if layer["mediaType"].endswith(".tar"):
            return str(layer["digest"])  # just compared
        with self.blob(layer["digest"]).open() as file:
            return _digest(decompressed(layer, file))

    def _json(self, digest: str) -> dict[str, Any]:
        window = self.blob(digest)
        if window.size > _MAX_JSON_BYTES:
            raise _broken("a manifest is far too large")
        data = window.read()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise _broken("a blob's content is not the one its digest names")
        return _object(data)


def open_image(path: Path, digest: str | None = None) -> Image:
    """The image in a layout: a folder, or a tar of one. `digest` chooses among several.

    Raises CradleError `image.unknown` (nothing is there) or `image.broken`.
    """
    if not path.exists():
        raise CradleError("image.unknown", name=path.name)
    files = _folder_files(path) if path.is_dir() else _tar_files(path)
    if "oci-layout" not in files or "index.json" not in files:
        raise _broken("it is not an OCI layout")
    manifests = _object(files["index.json"].read()).get("manifests") or []
    digests = {entry["digest"] for entry in manifests}
    if digest is None and len(digests) != 1:
        raise _broken(f"its index names {len(digests)} images, not one; say which by its digest")
    if digest is not None and digest not in digests:
        raise _broken("its index does not name that digest")
    image = Image(path, files, digest or digests.pop())
    if "layers" not in image.manifest:
        raise _broken("its manifest is an index of several platforms; name one platform's digest")
    return image


def layer_files(layer: Window, names: Collection[str]) -> dict[str, Window]:
    """Where these files lie, in an uncompressed layer. Raises CradleError `image.broken` if one is not there."""
    with layer.path.open("rb") as file:
        file.seek(layer.offset)
        found = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.name in names:
                        found[member.name] = Window(layer.path, member.offset_data, member.size)
        except tarfile.TarError:
            raise _broken("a layer is not a tar archive") from None
    if len(found) != len(names):
        raise _broken("its data layer lacks a file")
    return found


def read_files(image: Image, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files of the root file system whose names, without a leading '/', are wanted, as its layers leave them.

    Raises CradleError `image.broken`.
    """
    found: dict[str, bytes] = {}
    for layer in image.layers:
        with image.blob(layer["digest"]).open() as blob:
            try:
                with tarfile.open(fileobj=decompressed(layer, blob), mode="r|") as archive:
                    _read_layer(archive, wanted, found)
            except (tarfile.TarError, OSError, EOFError, zstandard.ZstdError):
                raise _broken("a layer is not a tar archive") from None
    return found


def decompressed(layer: Mapping[str, Any], blob: BinaryIO) -> BinaryIO:
    """The tar archive in a layer's blob, by the media type that its descriptor states.

    Raises CradleError `image.broken`: it is compressed in a way that is not known here.
    """
    media_type = str(layer["mediaType"])
    compression = "gzip" if media_type.endswith(".tar.gzip") else media_type.partition("+")[2]
    if compression not in _DECOMPRESS:
        raise _broken("a layer is compressed in a way that is not known here")
    return _DECOMPRESS[compression](blob)


def _read_layer(archive: tarfile.TarFile, wanted: Callable[[str], bool], found: dict[str, bytes]) -> None:
    for member in archive:
        name = member.name.removeprefix("./")
        folder, _, last = name.rpartition("/")
        if last.startswith(_WHITEOUT):  # the layer removes it
            gone = f"{folder}/{last.removeprefix(_WHITEOUT)}".lstrip("/")
            for path in [path for path in found if path == gone or path.startswith(f"{gone}/")]:
                del found[path]
        elif wanted(name) and (file := archive.extractfile(member)) is not None:
            found[name] = file.read()


def _folder_files(folder: Path) -> dict[str, Window]:
    paths = [folder / "oci-layout", folder / "index.json", *(folder / "blobs" / "sha256").glob("*")]
    return {str(p.relative_to(folder)): Window(p, 0, p.stat().st_size) for p in paths if p.is_file()}


def _tar_files(path: Path) -> dict[str, Window]:
    try:
        with tarfile.open(path, mode="r:") as archive:
            return {m.name: Window(path, m.offset_data, m.size) for m in archive if m.isfile()}
    except tarfile.TarError:
        raise _broken("it is not a tar archive") from None


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        raise _broken("a manifest is not JSON") from None
    if not isinstance(value, dict):
        raise _broken("a manifest is not a JSON object")
    return value


def _digest(file: BinaryIO) -> str:
    return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"  # type: ignore[arg-type]


def _broken(what: str) -> CradleError:
    return CradleError("image.broken", what=what)


_DECOMPRESS: Final[Mapping[str, Callable[[BinaryIO], BinaryIO]]] = {
    "": lambda file: file,
    "gzip": lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file)),
    "zstd": lambda file: cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file)),
}


class _WindowFile(io.RawIOBase):
    """A window as a file of its own, read from front to back."""

    def __init__(self, window: Window) -> None:
        self._file = window.path.open("rb", buffering=0)
        self._file.seek(window.offset)
        self._left = window.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        read = self._file.readinto(view) or 0
        self._left -= read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()
