"""Writes the script with which a customer's engine takes an update: it completes the image from the version below."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builders.image import Below

TEMPLATES: Final = Path(__file__).parent / "templates" / "package"
MEGABYTE: Final = 1_000_000


def update_script(
    image: Below, below: Below, *, name: str, tag: str, below_tag: str, archive: str = "image.tar"
) -> str:
    """`update.sh`, a POSIX shell script, for `image`, the update over `below`; of that only the layers are read.

    `name` is the image's in the customer's engine, `cradle/acme`; `tag` this version's, `v1.1`; `below_tag` the
    extended one's. `archive` is the tar beside the script.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (it is a shell script; names and digests have no character that means anything)
    )
    size = sum(int(layer["size"]) for layer in below.manifest["layers"])
    return environment.get_template("update.sh.j2").render(
        name=name,
        tag=tag,
        below_tag=below_tag,
        archive=archive,
        image_ids=[image.manifest["config"]["digest"], image.digest],
        layers=_layers(image),
        below_layers=_layers(below),
        megabytes=-(-size // MEGABYTE),
    )


def _layers(image: Below) -> list[dict[str, str]]:
    diff_ids = image.config["rootfs"]["diff_ids"]
    return [
        {"digest": layer["digest"], "diff_id": diff_id}
        for layer, diff_id in zip(image.manifest["layers"], diff_ids, strict=True)
    ]
