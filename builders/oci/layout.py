"""Writes an OCI image layout (image-spec 1.1): blobs by digest, one manifest, and the index that names it."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from builders.oci.aside import named_when_whole
from builders.oci.read import ROLE, Image
from builders.oci.tar import Content, write_tar

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
LAYOUT_FILE: Final = {"imageLayoutVersion": "1.0.0"}
EPOCH: Final = "1970-01-01T00:00:00Z"
"""When everything here was created: a real time would make every build another image."""
DEFAULT_PLATFORM: Final = {"architecture": "amd64", "os": "linux"}
"""Of an image without a base: its layers hold no machine code."""


@dataclass(frozen=True, slots=True)
class Layer:
    role: str
    """Its annotation `cradle.layer`, by which readers find it: `appliance`, `data-000`."""
    files: Mapping[str, Content]
    """By name in the root file system, without a leading '/'."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """More of them."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a container of the image starts, laid over what the base says."""

    entrypoint: Sequence[str]
    command: Sequence[str]
    user: str
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    """TCP."""
    health: Mapping[str, Any] | None = None
    """Docker's `Healthcheck`, durations in nanoseconds. OCI knows none, but Docker and Podman read it there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """In the configuration, where every engine keeps them; an engine may drop a manifest's annotations."""


def write_image(
    folder: Path, base: Image | None, layers: Sequence[Layer], run: RunSettings, annotations: Mapping[str, str]
) -> str:
    """Writes the layout into the empty `folder`: the base's layers, then `layers`. Returns the manifest's digest."""
    return finish_image(folder, base, [(layer, _write_layer(folder, layer)) for layer in layers], run, annotations)


def finish_image(
    folder: Path,
    base: Image | None,
    layers: Sequence[tuple[Layer, Mapping[str, Any]]],
    run: RunSettings,
    annotations: Mapping[str, str],
) -> str:
    """Ends a layout in which the layers stand as blobs, uncompressed, of which these are the descriptors. Returns the
    manifest's digest."""
    if base is not None:
        for descriptor in base.layers:
            _adopt(base, descriptor, blobs_folder(folder))
        annotations = {**annotations, "org.opencontainers.image.base.digest": base.digest}
    written = [descriptor for _, descriptor in layers]
    config = _config(base, [layer for layer, _ in layers], written, run)
    return write_layout(folder, config, [*(base.layers if base else ()), *written], annotations)


def write_update(
    folder: Path,
    manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    layer: Layer,
    annotations: Mapping[str, str],
) -> str:
    """Writes into the empty `folder` an image that has one more layer than that of `manifest` and `config`, whose
    layers stay where they are: a thin layout. Returns the manifest's digest."""
    written = _write_layer(folder, layer)
    extended = {
        **config,
        "rootfs": {**config["rootfs"], "diff_ids": [*config["rootfs"]["diff_ids"], written["digest"]]},
        "history": [*config.get("history", ()), _history(layer)],
    }
    return write_layout(
        folder, extended, [*manifest["layers"], written], {**manifest.get("annotations", {}), **annotations}
    )


def write_layout(
    folder: Path, config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], annotations: Mapping[str, str]
) -> str:
    """Ends a layout whose layers' blobs stand in it: `layers` are their descriptors. Returns the manifest's digest."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _write_json(folder, CONFIG_TYPE, config),
        "layers": layers,
        "annotations": annotations,
    }
    named = _write_json(folder, MANIFEST_TYPE, manifest)
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [named]}
    (folder / "index.json").write_bytes(canonical_json(index))
    (folder / "oci-layout").write_bytes(canonical_json(LAYOUT_FILE))
    return str(named["digest"])


def write_blob(folder: Path, media_type: str, produce: Callable[[Callable[[bytes], object]], object]) -> dict[str, Any]:
    """Stores what `produce` passes to its argument as a blob; returns the blob's descriptor."""
    blobs = blobs_folder(folder)
    with named_when_whole(blobs) as (file, give_name):
        output = _Hashed(file)
        produce(output.write)
        name = output.sha256.hexdigest()
        give_name(name)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": output.size}


def described_layer(layer: Layer, descriptor: Mapping[str, Any]) -> dict[str, Any]:
    """The descriptor of its blob, with what is said of the layer."""
    return {**descriptor, "annotations": {ROLE: layer.role, **layer.annotations}}


def blobs_folder(folder: Path) -> Path:
    """Where a layout keeps its blobs; made if it is not there."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    return blobs


def canonical_json(value: object) -> bytes:
    """Sorted keys, no blanks, ASCII: one encoding for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _config(
    base: Image | None,
    layers: Sequence[Layer],
    written: Sequence[Mapping[str, Any]],
    run: RunSettings,
) -> dict[str, Any]:
    below: Mapping[str, Any] = base.config if base else {**DEFAULT_PLATFORM, "config": {}}
    settings = below.get("config") or {}
    environment = dict(entry.split("=", 1) for entry in settings.get("Env") or ())
    return {
        **{name: below[name] for name in ("architecture", "os", "variant", "os.version") if name in below},
        "created": EPOCH,
        "config": {
            **settings,
            "User": run.user,
            "Env": [f"{name}={value}" for name, value in {**environment, **run.environment}.items()],
            "Entrypoint": list(run.entrypoint),
            "Cmd": list(run.command),
            "WorkingDir": "/",
            "ExposedPorts": {f"{port}/tcp": {} for port in run.ports},
            "Labels": {**(settings.get("Labels") or {}), **run.labels},
            **({"Healthcheck": run.health} if run.health else {}),
        },
        "rootfs": {
            "type": "layers",
            # ours are not compressed, so a layer's digest is its diff id as well
            "diff_ids": [*(below["rootfs"]["diff_ids"] if base else ()), *(layer["digest"] for layer in written)],
        },
        "history": [
            *below.get("history", ()),
            *map(_history, layers),
        ],
    }


def _history(layer: Layer) -> dict[str, str]:
    return {"created": EPOCH, "created_by": f"cradle: {layer.role}"}


def _write_layer(folder: Path, layer: Layer) -> dict[str, Any]:
    return described_layer(layer, write_blob(folder, LAYER_TYPE, lambda write: write_tar(layer.files, write)))


def _write_json(folder: Path, media_type: str, value: object) -> dict[str, Any]:
    return write_blob(folder, media_type, lambda write: write(canonical_json(value)))


def _adopt(base: Image, descriptor: Mapping[str, Any], blobs: Path) -> None:
    """Takes a layer over from the base: as a link where that can be, since blobs never change, otherwise as a copy."""
    window = base.blob(descriptor["digest"])
    target = blobs / descriptor["digest"].removeprefix("sha256:")
    if target.exists():
        return
    if window.offset == 0:
        with suppress(OSError):
            os.link(window.path, target)
            return
    with window.open() as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1024 * 1024)


class _Hashed:
    def __init__(self, file: BinaryIO | Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self.sha256.update(piece)
        self.size += len(piece)
