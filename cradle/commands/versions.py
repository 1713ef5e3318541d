"""`cradle versions` and `cradle rollback`: what a customer was given, and giving it again."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cradle.commands.terminal import Json, customer_id, moment, note, print_json, say, show, size, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from operations.rollback import RolledBack
    from schemas.versions import VersionRecord

Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", callback=customer_id, help="The customer's id.")]
SHORT: Final = 12
"""Digits of a digest that a person compares."""


def versions(customer: Customer, json: Json = False) -> None:
    """List a customer's versions, the oldest first. Of an update, what it added.

    A version that is archived can be packaged again with `cradle rollback`.
    """
    found = run_to_end(_versions(customer))
    if json:
        print_json([_shape(record) for record in found])
        return
    if not found:
        say(f"Customer {customer} has no version yet. [dim]`cradle package JOB` makes the first.[/dim]")
        return
    right = ("documents", "chunks", "size", "parameters")
    made = table("version", "packaged", "image", "documents", "chunks", "size", "parameters", "archived", right=right)
    for record in found:
        made.add_row(*_row(record))
    show(made)
    offer_full_job(found[-1].version)


def rollback(
    customer: Customer,
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="For example v1.0; `cradle versions` lists them.")],
    to_dir: Annotated[
        str | None,
        typer.Option(
            "--to-dir", metavar="DIR", help="A folder, or s3://bucket/prefix, to copy it to.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Package an earlier version again, from the archive, without opening it. Credentials and data stay."""
    rolled = run_to_end(_roll_back(customer, to, to_dir))
    if json:
        print_json(
            {
                "customer": customer,
                "version": rolled.record.version,
                "folder": str(rolled.folder.path),
                "size": rolled.folder.size,
                "below": list(rolled.below),
                "sent_to": rolled.sent_to,
            }
        )
    else:
        _tell(rolled)


async def _versions(customer: str) -> "list[VersionRecord]":
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from operations.customers import show_customer
    from operations.versions import records

    async with open_adapters(load_settings()) as adapters:
        found = await records(await adapters.archive(), customer)
        if not found:
            await show_customer(customer, store=await adapters.parameters())  # raises if there is no such customer
        return found


async def _roll_back(customer: str, version: str, to: str | None) -> "RolledBack":
    from cradle.compose import open_adapters, open_rollback
    from cradle.settings import load_settings
    from operations.rollback import roll_back
    from schemas.versions import read_version

    async with open_adapters(load_settings()) as adapters:
        return await roll_back(customer, read_version(version), await open_rollback(adapters), to=to)


def _row(record: "VersionRecord") -> tuple[str, ...]:
    from operations.versions import size_of

    more = "+" if record.extends else ""
    return (
        f"[bold]{record.version}[/bold]",
        moment(record.packaged_at),
        record.digest.removeprefix("sha256:")[:SHORT],
        f"{more}{record.documents}",
        f"{more}{record.chunks}",
        size(size_of(record)),
        str(record.parameters),
        "[green]yes[/green]" if record.archived else "[yellow]no[/yellow]",
    )


def _shape(record: "VersionRecord") -> dict[str, Any]:
    from operations.versions import size_of

    return {
        "version": record.version,
        "packaged_at": record.packaged_at.isoformat(),
        "extends": record.extends,
        "job": str(record.job),
        "generation": record.generation,
        "digest": record.digest,
        "documents": record.documents,
        "chunks": record.chunks,
        "size": size_of(record),
        "parameters": record.parameters,
        "archived": record.archived is not None,
    }


def offer_full_job(newest: str) -> None:
    """Says that a full job is due, if the newest version is update number MOST_UPDATES or more. It is not forced."""
    from operations.updates import many_updates
    from schemas.versions import read_version

    if many_updates(newest):
        number = read_version(newest).minor
        note(
            f"{newest} is update number {number} over one full image, and each costs every search a little. "
            "A full job is due: ingest all documents again without --update."
        )


def _tell(rolled: "RolledBack") -> None:
    from rich.markup import escape

    record, folder = rolled.record, rolled.folder
    place = rolled.sent_to or str(folder.path)
    say(f"[green]✓[/green] {record.version} is packaged again: {escape(place)} ({size(folder.size)}).")
    say(
        f"  [dim]send[/dim] the folder. The customer opens it with the age identity that was {record.customer}'s on "
        f"{record.packaged_at.date()}, unpacks it over the folder that is there, and follows INSTALL."
    )
    if rolled.below:
        say(
            f"  [dim]tell[/dim] {record.version} is an update: the engine that loads it has to have {rolled.below[0]}. "
            f"Where that is gone, send {', '.join(reversed(rolled.below))} before it, in this order."
        )
