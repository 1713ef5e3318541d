"""Builds the image: base layers, appliance, data. The same documents over the same base give the same digest."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import appliance
from appliance.format import DATABASE, FOLDER, VECTORS
from builders.data_layer import Contents, DataLayerWriter, DocumentText, Passages
from builders.oci.aside import aside, put_in_place
from builders.oci.layout import Layer, RunSettings, write_image
from builders.oci.read import Image, open_image
from schemas.errors import CradleError
from schemas.messages import Document

APPLIANCE_FOLDER: Final = "/opt/cradle"
DATA_ROLE: Final = "data-"
"""Annotation `cradle.layer` of data layer number n: `data-000`, `data-001`, ... The appliance's is `appliance`."""
RUN: Final = RunSettings(
    entrypoint=("python3", "-m", "appliance"),
    command=("about",),
    user="65532:65532",  # no name, no home, no rights; the number is a convention of minimal images
    environment={
        "PYTHONPATH": APPLIANCE_FOLDER,
        "PYTHONDONTWRITEBYTECODE": "1",  # the root is read-only
        "PYTHONUTF8": "1",
    },
)


@dataclass(frozen=True, slots=True)
class BuiltImage:
    digest: str
    """`sha256:...` of its manifest."""
    chunks: int
    documents: int
    merkle: Mapping[str, str]
    """Root of each stage, hex."""
    size: int
    """Bytes of all its blobs."""


@dataclass(frozen=True, slots=True)
class BakedDocument:
    """One document with everything that was made of it, as a stream."""

    document: Document
    title: str | None
    passages: Iterable[Passages]
    """In order; read once."""
    whole: Callable[[], DocumentText]
    """Asked once the passages have been read."""


@dataclass(frozen=True, slots=True)
class Below:
    """The image that an update lies over, as it is remembered: not a byte of its layers is here."""

    digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def data_layers(self) -> int:
        """How many it has: also the number of the next one."""
        roles = (layer.get("annotations", {}).get("cradle.layer", "") for layer in self.manifest["layers"])
        return sum(role.startswith(DATA_ROLE) for role in roles)


class ImageBuilder:
    """An image in the making: pass the documents to `data`, then `finish`."""

    def __init__(self, scratch: Path, base: Image | None, into: Path) -> None:
        self._layout, self._data_folder = scratch / "layout", scratch / "data"
        self._layout.mkdir()
        self._data_folder.mkdir()
        self._base, self._into = base, into
        self.data = DataLayerWriter(self._data_folder)

    def finish(self, about: Mapping[str, Any]) -> BuiltImage:
        """Writes the image and puts it in its place. `about` says what decided its content; it has a `fingerprint`."""
        contents = self.data.finish(about)
        layers = [Layer("appliance", appliance_files()), Layer("data", self._data_files())]
        annotations = _annotations(str(about["fingerprint"]), contents)
        digest = write_image(self._layout, self._base, layers, RUN, annotations)
        size = open_image(self._layout).size
        if not _holds(self._into, digest):
            put_in_place(self._layout, self._into)
        return BuiltImage(digest, contents.chunks, contents.documents, contents.merkle, size)

    def _data_files(self) -> dict[str, Path]:
        return {f"{FOLDER.strip('/')}/{name}": self._data_folder / name for name in (DATABASE, VECTORS)}


@contextmanager
def building(into: Path, base: Path | str | None) -> Iterator[ImageBuilder]:
    """An image that will stand at `into`, an OCI layout. Left before `finish`, or killed, it leaves nothing there.

    `base`: an OCI layout, where it has several images with `@sha256:...` after it; None for none.
    Raises CradleError `image.unknown` or `image.broken`: the base is not to be read.
    """
    below = _open_base(base) if base else None
    with aside(into) as scratch:
        builder = ImageBuilder(scratch, below, into)
        with builder.data:
            yield builder


def build_image(
    documents: Iterable[BakedDocument], about: Mapping[str, Any], base: Path | str | None, into: Path
) -> BuiltImage:
    """Builds an image of `documents`, in order of path's bytes and SHA-256. Raises as `building` and its parts do."""
    with building(into, base) as image:
        for baked in documents:
            for passages in baked.passages:
                image.data.add(baked.document, baked.title, passages)
            image.data.close_document(baked.document, baked.title, baked.whole())
        return image.finish(about)


def appliance_files() -> dict[str, bytes]:
    """The appliance's sources, by name in the image."""
    [package] = appliance.__path__
    root = Path(package)
    return {
        f"{APPLIANCE_FOLDER.strip('/')}/appliance/{source.relative_to(root).as_posix()}": source.read_bytes()
        for source in sorted(root.rglob("*.py"))
    }


def _annotations(fingerprint: str, contents: Contents) -> dict[str, str]:
    roots = {f"cradle.merkle.{stage}": root for stage, root in contents.merkle.items()}
    return {"cradle.fingerprint": fingerprint, **roots}


def _open_base(base: Path | str) -> Image:
    path, _, digest = str(base).partition("@")
    return open_image(Path(path), digest or None)


def _holds(place: Path, digest: str) -> bool:
    """Whether this very image stands there already: then it stays, and whoever reads it is not disturbed."""
    try:
        image = open_image(place)
        image.verify()
    except (CradleError, FileNotFoundError):  # or another build is just replacing it
        return False
    return image.digest == digest
