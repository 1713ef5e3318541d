"""`cradle reconcile`: work that the broker or a restored ledger lost is done again."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from cradle.commands.terminal import FAILED, Json, print_json, run, say

if TYPE_CHECKING:
    from operations.reconcile import Mended, Reconciled


def reconcile(
    job: Annotated[UUID | None, typer.Argument(metavar="[JOB]", help="Only this job; otherwise all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Find work that was lost with a topic, a broker's disk or a restored ledger, and have it done again.

    Safe while the stages run, and as often as you like. Exit code 1 if
    something can only come from the upstream.
    """
    from operations.reconcile.reconciling import report

    done = run(_reconcile(job, dry_run))
    if json:
        print_json({"dry_run": dry_run, **report(done)})
    else:
        _tell(done, "would be " if dry_run else "")
    if done.needs_upstream:
        raise typer.Exit(FAILED)


async def _reconcile(job: UUID | None, dry_run: bool) -> "Reconciled":
    from cradle.compose import open_adapters, open_bench
    from cradle.settings import load_settings
    from operations.reconcile import reconcile as reconcile_jobs

    async with open_adapters(load_settings()) as adapters:
        return await reconcile_jobs(await open_bench(adapters, dry_run=dry_run), job=job)


def _tell(done: "Reconciled", would: str) -> None:
    for one in done.jobs:
        for line in _lines(one, would):
            say(f"{one.view.id}  {line}")
    for job, events in done.published.items():
        say(f"{job}  [green]✓[/green] {events} events that the ledger had forgotten {would}published again")
    for job in done.unknown:
        say(f"{job}  [red]✗[/red] the ledger does not know it, and its events are gone: send it again")
    if all(one.whole for one in done.jobs) and not done.published and not done.unknown:
        say("[green]✓[/green] Nothing is lost: each piece of open work has its record.")


def _lines(one: "Mended", would: str) -> list[str]:
    from rich.markup import escape

    name = f"[bold]{escape(one.view.reference)}[/bold] of {one.view.customer}"
    told = {
        f"[green]✓[/green] {len(one.documents)} documents {would}admitted again": one.documents,
        f"[green]✓[/green] its completion {would}announced again": one.announced,
        f"[yellow]~[/yellow] {one.unmet} documents come back with their events; reconcile once more then": one.unmet,
        f"[red]✗[/red] {len(one.unreadable)} documents are gone from staging: send them again in {name}, or redrive "
        "their dead letters": one.unreadable,
        f"[red]✗[/red] {one.missing} documents of {name} never arrived, and no event brings them: send it again": (
            one.missing
        ),
        f"[red]✗[/red] {one.stranded} pieces of work belong to no document: redrive the job's dead letters; without "
        "one of them cancel the job, and send it again": one.stranded,
        "[yellow]~[/yellow] its key is destroyed: `cradle erase` tells the ledger so": one.gone,
        f"[dim]~[/dim] nobody has closed {name}, and no event of it is left to read": one.missing is None,
    }
    return [line for line, holds in told.items() if holds]
