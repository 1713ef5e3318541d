"""`cradle package` and `cradle letter`: what a customer is sent, and what it is told."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from cradle.commands.terminal import Json, note, out, print_json, say, show, size, table
from cradle.commands.terminal import run as run_to_end
from cradle.commands.versions import offer_full_job

if TYPE_CHECKING:
    from operations.package import Packaged

Target = Annotated[
    str, typer.Argument(metavar="JOB|CUSTOMER", help="A job's id, or a customer, for the job that was baked last.")
]


class Letter(StrEnum):
    READY = "ready"
    UPDATED = "updated"
    ROLLED_BACK = "rolled-back"
    INCIDENT = "incident"
    ERASED = "erased"


class Tongue(StrEnum):
    EN = "en"
    DE = "de"


MEANING: Final = {
    "image.tar": "the image, with the documents in clear",
    "image.tar.age": "the image, encrypted to the customer",
    "credentials/token": "the customer's password to the appliance",
    "INSTALL.en.md": "what the customer does with it",
    "INSTALL.de.md": "the same in German",
    "verify.sh": "checks that all of it is ours",
}
"""Of the files that a person asks about."""


def package(
    job: Target,
    to: Annotated[
        str | None,
        typer.Option(metavar="DIR|s3://BUCKET/PREFIX", help="Copy the package there as well.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Make the folder that the customer gets from a baked job, and archive the version.

    Again gives the same version and the same image, with the credentials of
    the folder that stands. It lies in CRADLE_HOME/packages/CUSTOMER/VERSION.
    """
    packaged = run_to_end(_package(job, to))
    print_json(packaged.report()) if json else _tell(packaged)


def letter(
    kind: Annotated[Letter, typer.Argument(metavar="KIND", help=f"{', '.join(Letter)}.", show_default=False)],
    about: Annotated[str, typer.Argument(metavar="JOB|CUSTOMER", help="What it is about.", show_default=False)],
    language: Annotated[Tongue, typer.Option("--language", "-l", help="en or de.")] = Tongue.EN,
    version: Annotated[
        str | None, typer.Option("--version", help="Of a customer: this version, not the newest.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Write a letter to a customer, with what is known of its version or job filled in."""
    written = run_to_end(_letter(kind, about, language, version))
    if json:
        print_json({"kind": kind.value, "language": language.value, "text": written})
    else:
        out.print(written, markup=False, soft_wrap=True, end="")


async def _package(target: str, to: str | None) -> "Packaged":
    from cradle.compose import open_adapters, open_package
    from cradle.settings import load_settings
    from operations.package import newest_job
    from operations.package import package as package_job

    async with open_adapters(load_settings()) as adapters:
        ports = await open_package(adapters)
        about = _read_target(target)
        job = about if isinstance(about, UUID) else await newest_job(about, ports.ledger)
        return await package_job(job, ports, to=to)


async def _letter(kind: Letter, about: str, language: Tongue, version: str | None) -> str:
    from cradle.compose import open_adapters, open_package
    from cradle.settings import load_settings
    from operations.package import letter as write_letter

    async with open_adapters(load_settings()) as adapters:
        ports = await open_package(adapters)
        return await write_letter(kind.value, _read_target(about), ports, language=language.value, version=version)


def _read_target(text: str) -> UUID | str:
    """A job's id, or the id of a customer. Raises Permanent `customer.id`."""
    from schemas.ids import check_customer_id

    try:
        return UUID(text)
    except ValueError:
        return check_customer_id(text)


def _tell(packaged: "Packaged") -> None:
    from rich.markup import escape

    record, folder = packaged.record, packaged.folder
    again = " again" if packaged.again else ""
    say(f"[green]✓[/green] {record.customer} {record.version} is packaged{again}: {escape(str(folder.path))}\n")
    _list_files(packaged)
    say(f"\n[bold]Send[/bold] the folder{_over(packaged)} ({size(folder.size)}).")
    if packaged.sent_to:
        say(f"  A copy of it is at {escape(packaged.sent_to)}.")
    if "credentials/token" in folder.files:
        say("  credentials/token is a password: where others may read along, send it apart, and say where it belongs.")
    say("[bold]Tell[/bold], by another way than the folder goes:")
    say(f"  the key's fingerprint, to compare with what verify.sh prints: [bold]{folder.fingerprint}[/bold]")
    for line in _to_tell(packaged):
        say(f"  {line}")
    kind = "ready" if folder.kind == "first" else "updated"
    say(f"  [dim]`cradle letter {kind} {record.job}` writes it; --language de in German.[/dim]")
    _warn(packaged)
    offer_full_job(record.version)


def _list_files(packaged: "Packaged") -> None:
    made = table("file", "size", "", right=("size",))
    for name, count in packaged.folder.files.items():
        made.add_row(name, size(count), MEANING.get(name, ""))
    show(made)


def _over(packaged: "Packaged") -> str:
    return "" if packaged.folder.kind == "first" else "; the customer unpacks it over the one that it has"


def _to_tell(packaged: "Packaged") -> list[str]:
    told = ["how to begin: INSTALL.en.md or INSTALL.de.md, step by step"]
    if packaged.folder.encrypted:
        told.append("that it opens with the age key whose public half the customer gave us")
    if packaged.record.extends:
        told.append(f"that {packaged.record.extends} has to be in its Docker: this brings only what is new")
    return told


def _warn(packaged: "Packaged") -> None:
    customer = packaged.record.customer
    if not packaged.folder.encrypted:
        say(
            f"\n[yellow]![/yellow] {customer} has no recipient: image.tar holds the documents in clear, and nothing "
            "was\n  archived, so that `cradle rollback` cannot bring this version back.\n"
            f"  [dim]next[/dim] `cradle customer add {customer} --recipient age1...` does both from the next one on."
        )
    if not packaged.runs:
        say(
            "\n[yellow]![/yellow] The image has no base, so it does not run by itself: do not send it.\n"
            "  [dim]next[/dim] Name a base in CRADLE_BASE_IMAGE and ingest again; docs/image.md tells how."
        )
    if packaged.again and packaged.folder.new_credentials:
        note("The folder was gone, so its token is a new one: what was sent before keeps the token that it has.")
