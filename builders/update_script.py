"""Writes the script with which a customer's engine takes an update: it completes the image from the version below."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builders.image import Below
from builders.oci.read import Image

TEMPLATES: Final = Path(__file__).parent / "templates" / "package"
MEGABYTE: Final = 1_000_000


def update_script(
    image: Image | Below, below: Below, *, name: str, tag: str, below_tag: str, archive: str = "image.tar"
) -> str:
    """`update.sh`, a POSIX shell script, for `image`, the update over `below`.

    `name` is the image's in the customer's engine, `cradle/acme`; `tag` this version's, `v1.1`; `below_tag` the
    extended one's. `archive` is the tar beside the script.
    """
    layers, diff_ids = below.manifest["layers"], below.config["rootfs"]["diff_ids"]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (it is a shell script; names and digests have no character that means anything)
    )
    return environment.get_template("update.sh.j2").render(
        name=name,
        tag=tag,
        below_tag=below_tag,
        archive=archive,
        image_ids=[image.manifest["config"]["digest"], image.digest],
        below_ids=[below.manifest["config"]["digest"], below.digest],
        diff_ids=image.config["rootfs"]["diff_ids"],
        below_layers=[
            {"digest": layer["digest"], "diff_id": diff_id} for layer, diff_id in zip(layers, diff_ids, strict=True)
        ],
        megabytes=-(-sum(int(layer["size"]) for layer in layers) // MEGABYTE),
    )
