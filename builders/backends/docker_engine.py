"""A Docker engine builds the image from a Dockerfile; its layers are brought back into a layout.

For a machine on which images must come out of an engine. What a customer's documents say then also lies in the
engine's own store, in the clear, until the built image is removed from it, which is done here at once. Only an image
of its own is built so: an update is a layer over others that are not here, and no engine can build that.
"""

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import docker
import requests
from docker.errors import DockerException, ImageNotFound
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builders.oci.archive import stream
from builders.oci.layout import LAYER_TYPE, Layer, RunSettings, described_layer, finish_image, write_blob
from builders.oci.read import Image
from builders.oci.tar import Content, write_tar
from builders.scratch import Scratch, SealedFile
from schemas.errors import Retryable

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
SECONDS: Final = 600
"""For one answer of the engine."""
PIECE_BYTES: Final = 1024 * 1024


class DockerEngine:
    """See `builders.backends.Backend`."""

    def __init__(self, address: str) -> None:
        """`address`: `unix:///run/docker.sock`; empty for the one that DOCKER_HOST names, or the machine's own."""
        self._address = address

    def write(
        self,
        folder: Path,
        base: Image | None,
        layers: Sequence[Layer],
        run: RunSettings,
        annotations: Mapping[str, str],
    ) -> str:
        with _away(), self._client() as client, Scratch(folder) as scratch:
            built = self._build(client, scratch, base, layers)
            try:
                saved = scratch.file("saved")
                for piece in client.images.get(built).save(chunk_size=PIECE_BYTES):
                    saved.write(saved.size, piece)
            finally:
                client.images.remove(built, force=True)
            written = _bring_back(folder, saved, layers)
        return finish_image(folder, base, list(zip(layers, written, strict=True)), run, annotations)

    @contextmanager
    def _client(self) -> Iterator[docker.DockerClient]:
        if self._address:
            client = docker.DockerClient(base_url=self._address, timeout=SECONDS)
        else:
            client = docker.from_env(timeout=SECONDS)
        try:
            yield client
        finally:
            client.close()

    def _build(self, client: docker.DockerClient, scratch: Scratch, base: Image | None, layers: Sequence[Layer]) -> str:
        """The id of the built image."""
        context = scratch.file("context")
        name = _load(client, scratch, base) if base else "scratch"
        write_tar(_context(name, layers), lambda piece: context.write(context.size, piece))
        built, _ = client.images.build(fileobj=context.open(), custom_context=True, rm=True, forcerm=True, nocache=True)
        return str(built.id)


def open_backend(address: str) -> DockerEngine:
    return DockerEngine(address)


def _load(client: docker.DockerClient, scratch: Scratch, base: Image) -> str:
    """The base's name in the engine, which keeps it for the next build."""
    name = f"cradle-base:{base.digest.removeprefix('sha256:')[:16]}"
    with suppress(ImageNotFound):
        client.images.get(name)
        return name
    tar = scratch.file("base")
    stream(base, lambda piece: tar.write(tar.size, piece), name=name)
    client.images.load(tar.open())
    return name


def _context(base: str, layers: Sequence[Layer]) -> dict[str, Content]:
    """What the engine is sent: a Dockerfile, and the files of each layer in a folder of its own."""
    # no markup comes of it: nothing is to be escaped
    templates = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    folders = [f"layer-{number}" for number in range(len(layers))]
    dockerfile = templates.get_template("image.Dockerfile.j2").render(base=base, folders=folders)
    files: dict[str, Content] = {"Dockerfile": dockerfile.encode()}
    for folder, layer in zip(folders, layers, strict=True):
        files |= {f"{folder}/{name}": content for name, content in layer.files.items()}
    return files


def _bring_back(folder: Path, saved: SealedFile, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """The blobs of the uppermost layers of what `docker save` made, as descriptors in their order."""
    with saved.open() as file, tarfile.open(fileobj=file, mode="r:") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        [image] = json.load(manifest)
        names = image["Layers"][-len(layers) :]
        return [
            described_layer(layer, write_blob(folder, LAYER_TYPE, _copied(archive, name)))
            for layer, name in zip(layers, names, strict=True)
        ]


def _copied(archive: tarfile.TarFile, name: str) -> Callable[[Callable[[bytes], object]], None]:
    def copy(write: Callable[[bytes], object]) -> None:
        source: BinaryIO | Any = archive.extractfile(name)  # through a link, where two layers are the same
        while piece := source.read(PIECE_BYTES):
            write(piece)

    return copy


@contextmanager
def _away() -> Iterator[None]:
    """What an engine refuses or does not answer is no document's fault."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise Retryable("dependency.away", name="The Docker engine that builds images") from error
