"""`cradle image`: what is in an image, where two differ, and an image as one file. It needs no stack."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cradle.commands.terminal import FAILED, Json, out, pairs, print_json, say, show, size, table

Target = Annotated[
    str, typer.Argument(metavar="CUSTOMER|IMAGE", help="A customer, for its newest image, or a path to an image.")
]
SOFTWARE_SHOWN: Final = 6
NOTED: Final = {
    "duplicates": "the same file again",
    "folded": "folded chunks",
    "doubtful": "chunks hard to read",
    "hidden": "chunks with hidden text",
}
NO_BASE: Final = "none, so it does not run by itself"

app = typer.Typer(help="Images: what is in one, where two differ.", no_args_is_help=True)


@app.command("show")
def show_image(image: Target, json: Json = False) -> None:
    """Show an image's layers, sizes, fingerprint, parameters and largest documents."""
    from cradle.settings import load_settings
    from operations.images import describe, find_image

    described = describe(find_image(load_settings().home, image))
    print_json(described) if json else _tell(described)


@app.command("diff")
def diff(first: Target, second: Target, json: Json = False) -> None:
    """Name the first layer, file and byte in which two images differ. Exit code 1 if they do."""
    from dataclasses import asdict

    from builders.oci.compare import first_difference
    from builders.oci.read import open_image
    from cradle.settings import load_settings
    from operations.images import find_image

    home = load_settings().home
    one, other = (open_image(find_image(home, target)) for target in (first, second))
    found = first_difference(one, other)
    if json:
        difference = None if found is None else asdict(found)
        print_json({"first": one.digest, "second": other.digest, "difference": difference})
    elif found is None:
        say(f"[green]✓[/green] They are one image: {one.digest}")
    else:
        _tell_difference(found.where, found.file, found.byte, found.what)
    if found is not None:
        raise typer.Exit(FAILED)


@app.command("save")
def save_image(
    image: Target,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The tar to write.", dir_okay=False)],
    name: Annotated[str, typer.Option(metavar="NAME:TAG", help="What an engine will call it.")] = "cradle/image:latest",
    json: Json = False,
) -> None:
    """Write an image as one tar, as `docker load`, `podman load` and `skopeo copy` take it."""
    from builders.oci.archive import save
    from builders.oci.read import open_image
    from cradle.settings import load_settings
    from operations.images import find_image

    opened = open_image(find_image(load_settings().home, image))
    save(opened, file, name=name)
    if json:
        print_json({"digest": opened.digest, "file": str(file), "size": file.stat().st_size, "name": name})
    else:
        say(f"[green]✓[/green] {file} holds {opened.digest}. [dim]Next: docker load --input {file}[/dim]")


def _tell(described: dict[str, Any]) -> None:
    facts = {
        "image": described["digest"],
        "size": size(described["size"]),
        "runs": f"{' '.join(described['runs']['command'])} as {described['runs']['user']}",
        "platform": described["runs"]["platform"],
        "fingerprint": described["annotations"].get("cradle.fingerprint"),
        "base": described["annotations"].get("org.opencontainers.image.base.digest", NO_BASE),
        "software": _software(described["software"]),
    }
    out.print(pairs(facts))
    layers = table("layer", "size", "digest", "", right=("size",))
    for layer in described["layers"]:
        elsewhere = "" if layer["here"] else "[dim]only remembered[/dim]"
        layers.add_row(layer["role"], size(layer["size"]), f"[dim]{layer['digest']}[/dim]", elsewhere)
    out.print()
    show(layers)
    for data in described["data"]:
        _tell_data(data)
    _tell_largest(described["largest"])


def _tell_data(data: dict[str, Any]) -> None:
    noted = {"duplicates": data["duplicates"], "folded": data["folded"], **data["marks"]}
    counts = {name: f"{data[name]:,}" for name in ("documents", "chunks", "dimension")}
    counts |= {NOTED[name]: f"{number:,}" for name, number in noted.items() if number}
    counts["paths hidden below"] = f"{data['hidden']:,}"
    out.print()
    out.print(f"[bold]data layer {data['layer']:03d}[/bold]")
    out.print(pairs({**counts, **_flat("parameters", data["parameters"])}))


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Each value that is no group of further ones, by its dotted name."""
    if not isinstance(value, dict):
        return {name: value}
    return {inner: one for key, below in value.items() for inner, one in _flat(f"{name}.{key}", below).items()}


def _tell_largest(documents: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    if not documents:
        return
    made = table("largest documents", "size", "chunks", right=("size", "chunks"), folds=("largest documents",))
    for document in documents:
        made.add_row(escape(document["path"]), size(document["bytes"]), f"{document['chunks']:,}")
    out.print()
    show(made)


def _software(components: list[dict[str, Any]]) -> str:
    if not components:
        return "listed in the version below"
    named = ", ".join(f"{one['name']} {one['version']}" for one in components[:SOFTWARE_SHOWN])
    more = len(components) - SOFTWARE_SHOWN
    return f"{named} and {more} more" if more > 0 else named


def _tell_difference(where: str, file: str | None, byte: int | None, what: str) -> None:
    from rich.markup import escape

    place = [where, *([escape(file)] if file else []), *([f"byte {byte:,}"] if byte is not None else [])]
    say(f"[red]They differ[/red] first in {', '.join(place)}: {escape(what)}.")
