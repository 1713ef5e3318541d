"""Versions that a customer has, as if they had been packaged."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from appliance.format import VERSION
from builders.oci.read import Image, open_image
from engines.library import identify
from infra.ledger import JobView
from infra.paths import CustomerPaths
from operations.versions import remember
from schemas.parameters import fingerprint
from schemas.versions import VersionRecord
from tests.entrance import TOPOLOGY, Entrance
from tests.fakes import NOW

LAYERS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)


def make_record(version: str = "v1.0-init", *, job: UUID | None = None, **other: Any) -> VersionRecord:
    """A record of acme's, of an image that is nowhere; `other` replaces fields."""
    fields: dict[str, Any] = {
        "customer": "acme",
        "version": version,
        "extends": None,
        "job": job or uuid4(),
        "generation": 1,
        "parameters": 1,
        "parameters_sha256": "0" * 64,
        "fingerprint": "0" * 64,
        "format": VERSION,
        "digest": "sha256:" + "0" * 64,
        "manifest": {
            "config": {"digest": "sha256:" + "3" * 64},
            "layers": [{"digest": layer, "size": 100} for layer in LAYERS],
        },
        "config": {"os": "linux", "rootfs": {"diff_ids": list(LAYERS)}},
        "new_layers": LAYERS[1:],
        "documents": 3,
        "chunks": 7,
        "merkle": {},
        "packaged_at": NOW,
        "archived": None,
    }
    return VersionRecord(**fields | other)


def fields_of(image: Image) -> dict[str, Any]:
    """What a record says of the image itself."""
    return {
        "digest": image.digest,
        "manifest": image.manifest,
        "config": image.config,
        "new_layers": tuple(layer["digest"] for layer in image.layers if layer["digest"] not in image.missing),
    }


def ciphertext(folder: Path, content: bytes) -> Path:
    """A file of that content, to be archived."""
    (folder / "image.tar.age").write_bytes(content)
    return folder / "image.tar.age"


async def remember_version(
    entrance: Entrance, version: str = "v1.0-init", *, extends: str | None = None, **other: Any
) -> VersionRecord:
    """Puts the record of a version into the archive: of acme's first parameters, made by today's stages."""
    _, values = await entrance.store.version("acme", 1)
    made_by = fingerprint(values, identify(values), TOPOLOGY.versions())
    layers = {"manifest": {"layers": [{"digest": LAYERS[1], "annotations": {"cradle.layer": "data-000"}}]}}
    fields = {"extends": extends, "fingerprint": made_by, **layers}
    record = make_record(version, **fields | other)
    await remember(entrance.archive, record, None)
    return record


def record_of(view: JobView, home: Path, version: str) -> VersionRecord:
    """What is remembered of the image that stands under `home`, baked by that job."""
    image = open_image(CustomerPaths(home, view.customer).image(view.id, view.generation))
    return make_record(
        version,
        job=view.id,
        customer=view.customer,
        extends=view.extends,
        generation=view.generation,
        parameters=view.parameters,
        fingerprint=view.fingerprint,
        documents=view.done,
        chunks=view.chunks or 0,
        merkle=dict(view.merkle),
        **fields_of(image),
    )
