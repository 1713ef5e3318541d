"""`cradle archive`: whether everything that was archived is still there, and what it was."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cradle.commands.terminal import FAILED, Json, customer_id, note, print_json, say, size
from cradle.commands.terminal import run as run_to_end
from schemas.errors import CradleError, Permanent

if TYPE_CHECKING:
    from cradle.compose import Adapters
    from operations.archive import Inspection

MOST_JOBS: Final = 1000
"""Of the ledger, the newest, that are compared with the archive."""

app = typer.Typer(help="The copies of what was delivered, which only the customers can open.", no_args_is_help=True)


@app.command("verify")
def verify(
    customer: Annotated[
        str | None, typer.Argument(metavar="CUSTOMER", callback=customer_id, help="Only this customer's.")
    ] = None,
    json: Json = False,
) -> None:
    """Read again all that is archived, and compare it with the records. Exit code 1 if anything is not whole."""
    inspection, compared = run_to_end(_verify(customer))
    if json:
        print_json(_report(inspection, compared))
    else:
        _tell(inspection)
    if not compared:
        note("The ledger does not answer: whether the newest versions are all there was not compared with it.")
    if inspection.problems:
        raise typer.Exit(FAILED)


async def _verify(customer: str | None) -> "tuple[Inspection, bool]":
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from operations.archive import inspect_archive

    async with open_adapters(load_settings()) as adapters:
        archive = await adapters.archive()
        try:
            packaged = await _packaged(adapters, customer)
        except CradleError as error:  # an archive is checked most where all else is lost
            if isinstance(error, Permanent):
                raise
            return await inspect_archive(archive, customer), False
        return await inspect_archive(archive, customer, packaged=packaged), True


async def _packaged(adapters: "Adapters", customer: str | None) -> list[tuple[str, str]]:
    """What the ledger knows of."""
    jobs = await (await adapters.ledger()).jobs(customer, limit=MOST_JOBS)
    return [(job.customer, job.version) for job in jobs if job.version]


def _report(inspection: "Inspection", compared: bool) -> dict[str, Any]:
    return {
        "whole": not inspection.problems,
        "versions": inspection.versions,
        "copies": inspection.copies,
        "size": inspection.size,
        "problems": [{"name": problem.name, "what": problem.what} for problem in inspection.problems],
        "left_over": inspection.left_over,
        "compared_with_ledger": compared,
    }


def _tell(inspection: "Inspection") -> None:
    from rich.markup import escape

    from operations.archive import MEANING

    for problem in inspection.problems:
        say(f"[red]✗[/red] {escape(problem.name)} {MEANING[problem.what]}.")
    for name in inspection.left_over:
        note(f"{name} is named by no record: a package was cut off. It does no harm, and stays.")
    read = f"{inspection.copies} copies of {inspection.versions} versions, {size(inspection.size)}"
    if inspection.problems:
        say("  [dim]next[/dim] Restore what is damaged or missing from what the customer has; find out who else may")
        say("  [dim]    [/dim] write to the archive. In a bucket that keeps deleted objects, remove the delete marker.")
    else:
        say(f"[green]✓[/green] The archive is whole: {read}.")
