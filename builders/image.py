"""Builds the image: base layers, appliance, data. The same documents over the same base give the same digest."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import appliance
from appliance.format import DATABASE, FOLDER, VECTORS, layer_folder
from builders.backends import Backend, open_backend
from builders.data_layer import Contents, DataLayerWriter, DocumentText, Passages
from builders.oci.aside import aside, put_in_place
from builders.oci.layout import Layer, RunSettings, write_update
from builders.oci.read import DATA_ROLE, Image, Window, layer_files, open_image, role_of
from builders.scratch import Scratch
from schemas.errors import CradleError
from schemas.messages import Document

APPLIANCE_FOLDER: Final = "/opt/cradle"
COMPILED_SUFFIXES: Final = (".pyc", ".pyo")
"""What this machine's Python left beside the sources."""
SBOM: Final = "opt/cradle/sbom.cdx.json"
"""Where an image has its SBOM (CycloneDX), without the leading '/'."""
LICENCE: Final = "Apache-2.0"
"""The appliance's own."""
PORT: Final = 8080
HEALTH: Final = {
    "Test": ["CMD", "python3", "-m", "appliance", "healthcheck"],
    "Interval": 10_000_000_000,  # nanoseconds
    "Timeout": 5_000_000_000,
    "StartPeriod": 10_000_000_000,
    "StartInterval": 1_000_000_000,  # an engine that does not know it waits an interval for its first look
    "Retries": 3,
}


@dataclass(frozen=True, slots=True)
class BuiltImage:
    digest: str
    """`sha256:...` of its manifest."""
    chunks: int
    documents: int
    merkle: Mapping[str, str]
    """Root of each stage, hex."""
    folded: int
    """Of the chunks: those that nearly repeat another."""
    size: int
    """Bytes of the blobs that were written or taken from the base: of an update, not those it lies over."""


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
class OtherName:
    """A document that is the same bytes as one before it."""

    document: Document
    of: str
    """That one's path."""


@dataclass(frozen=True, slots=True)
class Below:
    """The image that an update lies over, as it is remembered: not a byte of its layers is here."""

    digest: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def data_layers(self) -> int:
        """How many it has: also the number of the next one."""
        return sum(role_of(layer).startswith(DATA_ROLE) for layer in self.manifest["layers"])


class ImageBuilder:
    """An image in the making: pass the documents to `data`, then `finish`."""

    def __init__(
        self,
        folder: Path,
        scratch: Scratch,
        base: Image | None,
        into: Path,
        *,
        below: Below | None,
        backend: Backend,
        fold: bool,
    ) -> None:
        self._layout = folder / "layout"
        self._layout.mkdir()
        self._base, self._into, self._below = base, into, below
        self._backend = backend
        self._number = below.data_layers if below else 0
        self.data = DataLayerWriter(scratch, number=self._number, fold=fold)

    def finish(self, about: Mapping[str, Any]) -> BuiltImage:
        """Writes the image and puts it in its place. `about` says what decided its content; it has a `fingerprint`."""
        contents = self.data.finish(about)
        digest = self._write(contents, str(about["fingerprint"]))
        size = sum(blob.size for blob in open_image(self._layout).blobs.values())
        if not _holds(self._into, digest):
            put_in_place(self._layout, self._into)
        return BuiltImage(digest, contents.chunks, contents.documents, contents.merkle, contents.folded, size)

    def _write(self, contents: Contents, fingerprint: str) -> str:
        from builders.sbom import make_sbom  # a quarter of a second, which readers of images need not wait

        annotations = _annotations(fingerprint, contents)
        written = self.data.files
        files = dict(zip(data_file_names(self._number), (written[DATABASE], written[VECTORS]), strict=True))
        data = Layer(f"{DATA_ROLE}{layer_folder(self._number)}", files, annotations)
        if self._below:
            return write_update(self._layout, self._below.manifest, self._below.config, data, annotations)
        sbom = make_sbom(self._base, version=version("cradle"), licence=LICENCE)
        layers = [Layer("appliance", {**appliance_files(), SBOM: sbom}), data]
        run = run_settings()
        return self._backend.write(self._layout, self._base, layers, run, {**run.labels, **annotations})


@contextmanager
def building(
    into: Path,
    base: Path | str | None,
    *,
    below: Below | None = None,
    builder: str = "daemonless",
    fold: bool = False,
) -> Iterator[ImageBuilder]:
    """An image that will stand at `into`, an OCI layout. Left before `finish`, or killed, it leaves nothing there.

    `base`: an OCI layout, where it has several images with `@sha256:...` after it; None for none.
    `below`: the image that an update lies over; then `base` plays no part, and the layout is thin: it holds the new
    data layer alone, since whoever has the image below has the rest.
    `builder`: who writes the layers (`builders.backends`); an update's is always written here.
    `fold`: whether passages that nearly repeat another are folded into it.
    Raises CradleError `image.unknown` or `image.broken`: the base is not to be read; `settings.invalid`.
    """
    backend = open_backend(builder)
    under = _open_base(base) if base and below is None else None
    with aside(into) as folder, Scratch(folder) as scratch:
        image = ImageBuilder(folder, scratch, under, into, below=below, backend=backend, fold=fold)
        with image.data:
            yield image


def build_image(
    documents: Iterable[BakedDocument | OtherName],
    about: Mapping[str, Any],
    base: Path | str | None,
    into: Path,
    *,
    below: Below | None = None,
    removed: Iterable[str] = (),
    builder: str = "daemonless",
    fold: bool = False,
) -> BuiltImage:
    """Builds an image of `documents`, in order of path's bytes and SHA-256. Raises as `building` and its parts do.

    Over an image `below` each document replaces whatever its path was there, and `removed` names paths that are no
    more (a path that ends in '/': all within it).
    """
    with building(into, base, below=below, builder=builder, fold=fold) as image:
        for path in removed:
            image.data.hide(path)
        for baked in documents:
            if isinstance(baked, OtherName):
                image.data.add_name(baked.document, baked.of)
                continue
            for passages in baked.passages:
                image.data.add(baked.document, baked.title, passages)
            image.data.close_document(baked.document, baked.title, baked.whole())
        return image.finish(about)


def data_layers(image: Image) -> dict[int, tuple[Window, Window]]:
    """Where each data layer that is here has its database and its vectors, by the layer's number, the oldest first.

    Raises CradleError `image.broken`: none is here, or one lacks a file.
    """
    missing = set(image.missing)
    roles = [role_of(layer) for layer in image.layers if layer["digest"] not in missing]
    numbers = [int(role.removeprefix(DATA_ROLE)) for role in roles if role.startswith(DATA_ROLE)]
    if not numbers:
        image.layer(f"{DATA_ROLE}{layer_folder(0)}")
    return {number: _data_files(image, number) for number in numbers}


def data_file_names(number: int) -> tuple[str, str]:
    """How an image calls the database and the vectors of its data layer `number`: `data/000/data.sqlite`, ..."""
    folder = f"{FOLDER.strip('/')}/{layer_folder(number)}"
    return f"{folder}/{DATABASE}", f"{folder}/{VECTORS}"


def _data_files(image: Image, number: int) -> tuple[Window, Window]:
    names = data_file_names(number)
    found = layer_files(image.layer(f"{DATA_ROLE}{layer_folder(number)}"), names)
    return found[names[0]], found[names[1]]


def run_settings() -> RunSettings:
    """How a container of any image starts."""
    return RunSettings(
        entrypoint=("python3", "-m", "appliance"),
        command=("serve",),
        user="65532:65532",  # no name, no home, no rights; the number is a convention of minimal images
        environment={
            "PYTHONPATH": APPLIANCE_FOLDER,
            "PYTHONDONTWRITEBYTECODE": "1",  # the root is read-only
            "PYTHONUTF8": "1",
        },
        ports=(PORT,),
        health=HEALTH,
        labels={
            "org.opencontainers.image.title": "Cradle appliance",
            "org.opencontainers.image.description": "Answers questions about the documents in it",
            "org.opencontainers.image.version": version("cradle"),
            "org.opencontainers.image.licenses": LICENCE,
        },
    )


def appliance_files() -> dict[str, bytes]:
    """The appliance's sources and its page, by name in the image."""
    [package] = appliance.__path__
    root = Path(package)
    return {
        f"{APPLIANCE_FOLDER.strip('/')}/appliance/{source.relative_to(root).as_posix()}": source.read_bytes()
        for source in sorted(root.rglob("*"))
        if source.is_file() and source.suffix not in COMPILED_SUFFIXES
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
