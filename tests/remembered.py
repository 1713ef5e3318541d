"""Versions that a customer has, as if they had been packaged."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from appliance.format import VERSION
from builders.oci.read import open_image
from engines.embedding import identify
from infra.ledger import JobView
from infra.paths import CustomerPaths
from operations.versions import remember
from schemas.parameters import fingerprint
from schemas.versions import VersionRecord
from tests.entrance import NOW, TOPOLOGY, Entrance

DIGEST = "sha256:" + "0" * 64


async def remember_version(
    entrance: Entrance, version: str = "v1.0-init", *, extends: str | None = None, **other: Any
) -> VersionRecord:
    """Puts the record of a version into the archive: of acme's first parameters, made by today's stages."""
    _, values = await entrance.store.version("acme", 1)
    fields = {
        "customer": "acme",
        "version": version,
        "extends": extends,
        "job": uuid4(),
        "generation": 1,
        "parameters": 1,
        "parameters_sha256": "0" * 64,
        "fingerprint": fingerprint(values, {"embedding": str(identify(values.embedding_config))}, TOPOLOGY.versions()),
        "format": VERSION,
        "digest": DIGEST,
        "manifest": {"layers": [{"annotations": {"cradle.layer": "data-000"}}]},
        "config": {},
        "new_layers": (DIGEST,),
        "documents": 1,
        "chunks": 1,
        "merkle": {},
        "packaged_at": NOW,
        "archived": None,
    }
    record = VersionRecord(**fields | other)
    await remember(entrance.archive, record, None)
    return record


def record_of(view: JobView, home: Path, version: str) -> VersionRecord:
    """What is remembered of the image that stands under `home`, baked by that job."""
    image = open_image(CustomerPaths(home, view.customer).image(view.id, view.generation))
    return VersionRecord(
        customer=view.customer,
        version=version,
        extends=view.extends,
        job=view.id,
        generation=view.generation,
        parameters=view.parameters,
        parameters_sha256="0" * 64,
        fingerprint=view.fingerprint,
        format=VERSION,
        digest=image.digest,
        manifest=image.manifest,
        config=image.config,
        new_layers=tuple(layer["digest"] for layer in image.layers if layer["digest"] not in image.missing),
        documents=view.done,
        chunks=view.chunks or 0,
        merkle=dict(view.merkle),
        packaged_at=NOW,
        archived=None,
    )
