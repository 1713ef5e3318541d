"""`cradle customer`: who owns documents, and how they are to be processed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cradle.commands.terminal import Json, customer_id, out, pairs, print_json, run, say
from schemas.errors import CradleError

app = typer.Typer(help="Customers and their Installation Parameters.", no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", callback=customer_id, help="Lower-case letters, digits and '-', for example acme-gmbh."
    ),
]


@app.command("add")
def add(  # noqa: PLR0917 (typer passes each by its name)
    customer: Id,
    recipient: Annotated[str | None, typer.Option(help="age public key that the archive is encrypted to.")] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="file:///folder/ or s3://bucket/prefix that a foreign client may name. Repeatable."),
    ] = None,
    revoke_root: Annotated[list[str] | None, typer.Option(help="A root to take away again. Repeatable.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Most documents with open work at one time.")] = None,
    retain_hours: Annotated[
        int | None, typer.Option(min=1, max=168, help="How long a baked job is kept before it is erased.")
    ] = None,
    max_failed: Annotated[
        str | None,
        typer.Option(help="Documents of a job that may fail before it does: 5, 10% of them, or none for no limit."),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON or YAML of the Installation Parameters: a new version."),
    ] = None,
    json: Json = False,
) -> None:
    """Add a customer, or change what is given of one that is there."""
    changes: dict[str, Any] = {
        "recipient": recipient,
        "roots": root or (),
        "revoked_roots": revoke_root or (),
        "window": window,
        "retain_hours": retain_hours,
        "max_failed": max_failed,
    }
    fields = None if parameters is None else _read_fields(parameters)
    shown = run(_add(customer, changes, fields))
    if json:
        print_json(shown)
    else:
        version = shown["parameters"]["version"]
        say(f"[green]✓[/green] Customer [bold]{customer}[/bold] is known; its parameters are of version {version}.")


@app.command("show")
def show(
    customer: Id,
    json: Json = False,
) -> None:
    """Show a customer and its newest Installation Parameters."""
    shown = run(_show(customer))
    if json:
        print_json(shown)
        return
    parameters = shown.pop("parameters")
    lines = {name.replace("_", " "): _plain(value) for name, value in shown.items()}
    lines |= {name.replace("_", " "): _plain(value) for name, value in parameters.items()}
    out.print(pairs(lines))


async def _add(customer: str, changes: dict[str, Any], fields: dict[str, Any] | None) -> dict[str, Any]:
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from operations.customers import add_customer, add_parameters, read_parameters, show_customer

    if fields is not None:
        read_parameters(customer, fields)  # before anything is changed
    async with open_adapters(load_settings()) as adapters:
        store = await adapters.parameters()
        await add_customer(customer, store=store, **changes)
        if fields is not None:
            await add_parameters(customer, fields, store=store)
        return await show_customer(customer, store=store)


async def _show(customer: str) -> dict[str, Any]:
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from operations.customers import show_customer

    async with open_adapters(load_settings()) as adapters:
        return await show_customer(customer, store=await adapters.parameters())


def _read_fields(file: Path) -> dict[str, Any]:
    import yaml

    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError):
        fields = None
    if not isinstance(fields, dict):
        raise CradleError("parameters.invalid", what="the file is no JSON or YAML of named fields")
    return fields


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={content}" for name, content in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
