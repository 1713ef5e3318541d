"""The images that stand under CRADLE_HOME: which there are, and what is in one."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from builders.image import SBOM, data_layers
from builders.oci.read import Image, Window, layer_files, open_image, role_of
from infra.paths import CustomerPaths
from schemas.errors import CradleError
from schemas.ids import CUSTOMER_ID

LARGEST: Final = 10
"""Documents that a description names."""


def find_image(home: Path, target: str) -> Path:
    """The layout that `target` names: a path to one, or a customer, whose newest image it then is.

    Raises CradleError `image.unknown`.
    """
    if re.fullmatch(CUSTOMER_ID, target):
        baked = customer_images(home, target)
        if baked:
            return baked[0]
    path = Path(target).expanduser()
    if path.exists():
        return path
    raise CradleError("image.unknown", name=target)


def describe(layout: Path, *, largest: int = LARGEST) -> dict[str, Any]:
    """What the image in `layout` is: digest, size, layers, how it runs, annotations, data layers, and the `largest`
    documents of those that are here. Raises CradleError `image.unknown` or `image.broken`."""
    image = open_image(layout)
    settings = image.config.get("config", {})
    data = [_describe_data(number, files[0], largest) for number, files in sorted(data_layers(image).items())]
    documents = [document for layer in data for document in layer.pop("documents_by_size")]
    return {
        "digest": image.digest,
        "size": image.size,
        "layers": [
            {
                "role": role_of(layer) or "base",
                "digest": layer["digest"],
                "size": layer["size"],
                "here": layer["digest"] not in image.missing,
            }
            for layer in image.layers
        ],
        "runs": {
            "platform": f"{image.config.get('os')}/{image.config.get('architecture')}",
            "user": settings.get("User"),
            "command": [*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())],
            "ports": sorted(settings.get("ExposedPorts") or ()),
        },
        "annotations": image.manifest.get("annotations", {}),
        "data": data,
        "largest": sorted(documents, key=lambda one: (-one["bytes"], one["path"]))[:largest],
        "software": _software(image),
    }


def _describe_data(number: int, database: Window, largest: int) -> dict[str, Any]:
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database.read())
            about = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM about")}
            rows = connection.execute(
                "SELECT path, size, (SELECT count(*) FROM chunks WHERE chunks.document = documents.document)"
                " FROM documents WHERE document IN (SELECT document FROM chunks) ORDER BY size DESC, path LIMIT ?",
                (largest,),
            ).fetchall()
            (hidden,) = connection.execute("SELECT count(*) FROM hidden").fetchone()
            return {
                "layer": number,
                **{name: about[name] for name in ("fingerprint", "documents", "chunks", "dimension", "parameters")},
                **{name: about.get(name, 0) for name in ("duplicates", "folded")},
                "marks": about.get("marks", {}),
                "hidden": hidden,
                "documents_by_size": [{"path": path, "bytes": size, "chunks": chunks} for path, size, chunks in rows],
            }
    except (sqlite3.Error, ValueError, KeyError) as error:
        raise CradleError("image.broken", what="its data layer cannot be read") from error


def _software(image: Image) -> list[dict[str, str | None]]:
    """What its SBOM lists; nothing where the layer that has it is not here."""
    roles = [role_of(layer) for layer in image.layers if layer["digest"] not in image.missing]
    if "appliance" not in roles:
        return []
    sbom = json.loads(layer_files(image.layer("appliance"), [SBOM])[SBOM].read())
    return [{"name": one["name"], "version": one.get("version")} for one in sbom.get("components", ())]


def customer_images(home: Path, customer: str) -> list[Path]:
    """The customer's images, the newest first. Raises Permanent `customer.id`.

    An image stands whole or not at all, and its index is what was written last.
    """
    indexes = CustomerPaths(home, customer).images.glob("[!.]*/index.json")
    newest_first = sorted(indexes, key=lambda index: (index.stat().st_mtime_ns, index.parent.name), reverse=True)
    return [index.parent for index in newest_first]
