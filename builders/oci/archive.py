"""One tar that both `docker load` and OCI tools take: an OCI layout with Docker's own manifest beside it.

Of an update only the newest layer's blob is here, and the tar names the others without holding them. An engine that
has them from the version below takes it: Docker's classic store finds a layer by its diff ids, its containerd store
and Podman by its digest. One that lacks them refuses, or keeps an image that does not run.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from builders.oci.aside import sync
from builders.oci.layout import INDEX_TYPE, LAYOUT_FILE, MANIFEST_TYPE, canonical_json
from builders.oci.read import Image
from builders.oci.tar import Content, write_tar


def save(image: Image, tar: Path, *, name: str) -> None:
    """Writes `image`, read from a layout folder, whole or not at all; of a thin one, the blobs that are here.

    `name` is what `docker load` will call it: `cradle/acme:v1.0`.
    """
    with tempfile.NamedTemporaryFile(dir=tar.parent, prefix=f".{tar.name}.", delete=False) as aside:
        try:
            stream(image, aside.write, name=name)
            aside.flush()
            sync(Path(aside.name))
            Path(aside.name).rename(tar)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(aside.name).unlink()
            raise
    sync(tar.parent)


def stream(image: Image, write: Callable[[bytes], object], *, name: str) -> None:
    """Passes the tar of `save` to `write`, piece by piece."""
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": image.digest,
                "size": image.blob(image.digest).size,
                "annotations": {
                    "io.containerd.image.name": _full_name(name),
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                },
            }
        ],
    }
    docker_manifest = [
        {
            "Config": _blob_path(image.manifest["config"]["digest"]),
            "RepoTags": [name],
            "Layers": [_blob_path(layer["digest"]) for layer in image.layers],
        }
    ]
    files: dict[str, Content] = {
        "oci-layout": canonical_json(LAYOUT_FILE),
        "index.json": canonical_json(index),
        "manifest.json": canonical_json(docker_manifest),
        **image.blobs,
    }
    write_tar(files, write)


def _full_name(name: str) -> str:
    """As the containerd store keeps names. Under a shorter one, `docker run` does not find what was loaded."""
    first, slash, _ = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
