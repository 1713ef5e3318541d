"""`cradle verify`: a job's proof, computed again."""

from typing import Annotated, Any
from uuid import UUID

import typer

from cradle.commands.jobs import JobId
from cradle.commands.terminal import FAILED, Json, note, print_json, say, show, table
from cradle.commands.terminal import run as run_to_end


def verify(
    job: JobId,
    against: Annotated[
        UUID | None, typer.Option(metavar="JOB", help="Compare with this job's results as well.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Compute a job's Merkle roots again, from its sealed parts and its image, and compare. Exit code 1 if one differs.

    A difference is named by its first stage, document and chunk. With a job of
    other parameters, which may differ, it says how many chunks did.
    """
    report = run_to_end(_verify(job, against))
    print_json(report) if json else _tell(report)
    if not report["holds"]:
        raise typer.Exit(FAILED)


async def _verify(job: UUID, against: UUID | None) -> dict[str, Any]:
    from cradle.compose import open_adapters, open_verify
    from cradle.settings import load_settings
    from operations.verify import verify as verify_job

    async with open_adapters(load_settings()) as adapters:
        verified = await verify_job(job, await open_verify(adapters), against=against)
        return verified.report()


def _tell(report: dict[str, Any]) -> None:
    made = table("job", "from", "stage", "root", "")
    for proof in report["proofs"]:
        for stage, root in proof["roots"].items():
            same = root == proof["expected"].get(stage)
            told = "[green]holds[/green]" if same else "[red]differs[/red]"
            made.add_row(proof["job"], proof["from"], stage, f"[dim]{root[:12]}[/dim]", told)
    show(made)
    for proof in report["proofs"]:
        for code in dict.fromkeys(proof["problems"]):
            note(f"The {proof['from']} of job {proof['job']} could not be read whole ({code}).")
    _tell_difference(report["difference"])
    _tell_comparison(report["comparison"])
    if report["holds"]:
        say("[green]✓[/green] Every root is the one that the ledger keeps.")


def _tell_difference(difference: dict[str, Any] | None) -> None:
    from rich.markup import escape

    if difference is None:
        return
    chunk = "" if difference["ordinal"] is None else f", chunk {difference['ordinal']}"
    say(f"[red]✗[/red] At {difference['stage']}: {escape(difference['document'])}{chunk} {difference['what']}.")


def _tell_comparison(comparison: dict[str, Any] | None) -> None:
    if comparison is None:
        return
    names = ("same", "changed", "added", "gone")
    made = table("against the other job", *names, right=names)
    for what, tally in comparison.items():
        made.add_row(what, *(str(tally[name]) for name in names))
    show(made)
