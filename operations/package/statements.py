"""What a package says of itself, as JSON: the job, and where the image comes from. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from schemas.versions import VersionRecord, read_version

BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:cradle:bake:v1"
"""A job's documents under its fingerprint, baked over the base; parameters are those of `job.json`."""


def image_name(record: VersionRecord) -> str:
    """What engines call the image: `cradle/acme:v1.0`."""
    return f"cradle/{record.customer}:{read_version(record.version).tag}"


def job_statement(record: VersionRecord) -> dict[str, Any]:
    """`job.json`. Documents that were left out are counted by error code; no path is told."""
    return {
        "customer": record.customer,
        "version": record.version,
        "extends": record.extends,
        "job": str(record.job),
        "generation": record.generation,
        "image": {"name": image_name(record), "digest": record.digest},
        "documents": record.documents,
        "chunks": record.chunks,
        "left_out": record.left_out,
        "parameters": {"version": record.parameters, "sha256": record.parameters_sha256},
        "fingerprint": record.fingerprint,
        "merkle": record.merkle,
        "format": record.format,
        "packaged_at": record.packaged_at.isoformat(),
    }


def provenance(record: VersionRecord, *, tar: str, tar_sha256: str, key_sha256: str) -> dict[str, Any]:
    """An in-toto Statement with a SLSA provenance predicate. `tar` is the file that holds the image, as shipped; the
    builder is the installation whose signing key has that digest."""
    materials: list[dict[str, Any]] = [
        {"name": f"parameters/{record.parameters}", "digest": {"sha256": record.parameters_sha256}}
    ]
    if base := record.manifest.get("annotations", {}).get(BASE_DIGEST):
        materials.insert(0, {"name": "base", "digest": _digest(base)})
    if record.extends:
        below = [layer["digest"] for layer in record.manifest["layers"] if layer["digest"] not in record.new_layers]
        materials += [{"name": f"{record.extends}/layer", "digest": _digest(layer)} for layer in below]
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": image_name(record), "digest": _digest(record.digest)},
            {"name": tar, "digest": {"sha256": tar_sha256}},
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "customer": record.customer,
                    "version": record.version,
                    "extends": record.extends,
                    "parameters": record.parameters,
                },
                "internalParameters": {"fingerprint": record.fingerprint, "merkle": record.merkle},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": f"urn:cradle:installation:{key_sha256}"},
                "metadata": {
                    "invocationId": f"{record.job}/{record.generation}",
                    "finishedOn": record.packaged_at.isoformat(),
                },
            },
        },
    }


def as_json(value: Mapping[str, Any]) -> bytes:
    """For people and programs: indented UTF-8, in the order given."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _digest(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
