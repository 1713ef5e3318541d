"""Versions that a customer has, as if they had been packaged."""

from typing import Any
from uuid import uuid4

from appliance.format import VERSION
from engines.embedding import identify
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
