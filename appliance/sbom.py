"""What software the image consists of, as its SBOM says."""

import json
from pathlib import Path
from typing import Any, Final

SBOM: Final = Path("/opt/cradle/sbom.cdx.json")
"""Where an image keeps it, in CycloneDX."""


def read_components(path: Path) -> list[dict[str, Any]]:
    """Name, version and licence of each, in the file's order. Nothing where there is no such file.

    Raises ValueError where the file is no CycloneDX document.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    if not isinstance(content, dict) or content.get("bomFormat") != "CycloneDX":
        raise ValueError("the SBOM is not a CycloneDX document")
    return [
        {"name": one["name"], "version": one.get("version"), "licence": _licence(one)}
        for one in content.get("components", [])
    ]


def _licence(component: dict[str, Any]) -> str | None:
    """Several stand beside each other, as an SPDX expression, an id or a name."""
    stated = [one.get("expression") or one.get("license", {}) for one in component.get("licenses", [])]
    names = [one if isinstance(one, str) else one.get("id") or one.get("name") for one in stated]
    return ", ".join(name for name in names if name) or None
