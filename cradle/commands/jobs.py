"""`cradle jobs`, `job`, `wait`, `cancel`, `erase`, `sweep`: how work stands, and its end."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cradle.commands.terminal import FAILED, Json, customer_id, note, out, pairs, print_json, say, show, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from cradle.compose import Adapters
    from operations.erasure import Erased

JobId = Annotated[UUID, typer.Argument(metavar="JOB", help="The id that `cradle ingest` printed.")]

MANY = 20
"""Failed documents beyond which they are counted by code as well."""
FOLDED = ("documents", "of note")
COLOURS = {"baked": "green", "packaged": "green", "failed": "red", "cancelled": "red", "erased": "dim"}


def jobs(
    customer: Annotated[
        str | None, typer.Option("--customer", "-c", callback=customer_id, help="Only this customer's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """List jobs, the newest first."""
    found = run_to_end(_jobs(customer, limit))
    if json:
        print_json(found)
        return
    if not found:
        say("There is no job yet. [dim]Start one with `cradle ingest`.[/dim]")
        return
    made = table("job", "customer", "state", "documents", "chunks", "of note", right=("chunks",), folds=FOLDED)
    for one in found:
        made.add_row(
            one["job"],
            one["customer"],
            _coloured(one["state"]),
            _progress(one),
            str(one["chunks"]),
            ", ".join((*_of_pages(one), *_of_chunks(one))),
        )
    show(made)


def job(job: JobId, json: Json = False) -> None:
    """Show how a job stands, what it made, and what failed."""
    found = run_to_end(_job(job))
    print_json(found) if json else show_job(found)


def wait(
    job: JobId,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Wait until a job is baked, showing its progress. Exit code 1 if it fails."""
    finish(run_to_end(_wait(job, timeout, json)), json)


def cancel(
    job: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Stop a job everywhere, and erase it: nothing of it can be read afterwards."""
    if not yes:
        typer.confirm(f"Cancel job {job} and erase what it holds?", abort=True, err=True)
    cancelled = run_to_end(_cancel(job))
    if json:
        print_json(cancelled)
    else:
        say(f"[green]✓[/green] Job {job} is cancelled and erased: {cancelled['objects']} staged objects deleted.")


def erase(job: JobId, json: Json = False) -> None:
    """Destroy a job's key and delete what it staged. Nothing of it can be read afterwards; its image stays."""
    erased = run_to_end(_erase(job))
    if json:
        print_json(erased)
    else:
        say(f"[green]✓[/green] Job {job} is erased: key destroyed, {erased['objects']} staged objects deleted.")


def sweep(json: Json = False) -> None:
    """Erase every job whose retention is over. Running stages do this by themselves."""
    swept = run_to_end(_sweep())
    if json:
        print_json(swept)
    else:
        say(f"Erased {len(swept['erased'])} jobs." if swept["erased"] else "No job's retention is over.")
    if swept["failed"]:
        for failure in swept["failed"]:
            note(f"Job {failure['job']} could not be erased ({failure['code']}); the next sweep tries again.")
        raise typer.Exit(FAILED)


def finish(report: dict[str, Any], json: bool) -> None:
    """Prints a job that is over, and exits with 1 if it came to no image."""
    print_json(report) if json else show_job(report)
    if report["image"] is None or report["state"] in ("failed", "cancelled"):
        raise typer.Exit(FAILED)


def show_job(report: dict[str, Any]) -> None:
    """A job for people. A document's path is shown while its key lives."""
    from rich.markup import escape

    documents = report["documents"]
    lines: dict[str, object] = {
        "job": f"[bold]{report['job']}[/bold]",
        "customer": report["customer"],
        "reference": escape(report["reference"]),
        "state": _coloured(report["state"]),
        "documents": ", ".join((f"{documents['done']} of {documents['total']} done", *_of_documents(report))),
        "may fail": report["max_failed"] or "",
        "pages": ", ".join(_of_pages(report)),
        "chunks": ", ".join((str(report["chunks"]), *_of_chunks(report))),
        "updates": report["extends"] or "",
        "version": report["version"] or "",
        "image": report["image"] or "",
        "roots": f"[dim]{'  '.join(f'{stage} {root[:12]}' for stage, root in report['merkle'].items())}[/dim]",
        "kept until": f"{(report['retain_until'] or '')[:16].replace('T', ' ')} UTC",
    }
    known = {
        "may fail": report["max_failed"],
        "pages": _of_pages(report),
        "updates": report["extends"],
        "version": report["version"],
        "image": report["image"],
        "roots": report["merkle"],
        "kept until": report["retain_until"],
    }
    out.print(pairs({name: value for name, value in lines.items() if known.get(name, True)}))
    if report["reason"]:
        say(f"[red]✗[/red] {report['reason']}  [dim]next[/dim] {escape(report['next_step'] or '')}")
    _show_failures(report.get("failures", []), report.get("failed_by_code", {}))


def _show_failures(failures: list[dict[str, Any]], by_code: dict[str, int]) -> None:
    """Every document that was left out; where there are many, first how many by code."""
    from rich.markup import escape

    if not failures:
        return
    made = table("document left out", "at", "code", folds=("document left out",))
    for failure in failures:
        made.add_row(
            escape(failure["path"] or failure["document"]), failure["stage"] or "", f"[red]{failure['code']}[/red]"
        )
    out.print()
    if len(failures) > MANY:
        say("  ".join(f"[red]{code}[/red] {count}" for code, count in by_code.items()) + "\n")
    show(made)


async def _jobs(customer: str | None, limit: int) -> list[dict[str, Any]]:
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from operations.jobs import job_report

    async with open_adapters(load_settings()) as adapters:
        ledger = await adapters.ledger()
        return [job_report(view) for view in await ledger.jobs(customer, limit=limit)]


async def _job(job: UUID) -> dict[str, Any]:
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        return await describe(job, adapters)


async def describe(job: UUID, adapters: "Adapters") -> dict[str, Any]:
    """The job's report with its failed documents."""
    from operations.jobs import describe_job

    return await describe_job(job, ledger=await adapters.ledger(), keys=await adapters.keys())


async def _wait(job: UUID, seconds: float | None, quiet: bool) -> dict[str, Any]:
    from cradle.commands.progress import watch_job
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        await watch_job(job, adapters, seconds=seconds, quiet=quiet)
        return await describe(job, adapters)


async def _cancel(job: UUID) -> dict[str, Any]:
    from operations.cancel import cancel as cancel_job

    return await _end(job, cancel_job)


async def _erase(job: UUID) -> dict[str, Any]:
    from operations.erasure import erase as erase_job

    return await _end(job, erase_job)


async def _end(job: UUID, end: "Callable[..., Awaitable[Erased]]") -> dict[str, Any]:
    from cradle.compose import clock, open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        erased = await end(
            job,
            ledger=await adapters.ledger(),
            keys=await adapters.keys(),
            staging=await adapters.staging(),
            clock=clock,
        )
    return {
        "job": str(erased.job),
        "key_destroyed": erased.key_destroyed,
        "objects": erased.objects,
        "erased_at": erased.erased_at.isoformat(),
    }


async def _sweep() -> dict[str, Any]:
    from cradle.compose import clock, open_adapters
    from cradle.settings import load_settings
    from operations.erasure import sweep as sweep_jobs

    async with open_adapters(load_settings()) as adapters:
        swept = await sweep_jobs(
            ledger=await adapters.ledger(),
            keys=await adapters.keys(),
            staging=await adapters.staging(),
            clock=clock,
        )
    return {
        "erased": [str(one.job) for one in swept.erased],
        "failed": [{"job": str(job), "code": code} for job, code in swept.failed],
    }


def _progress(report: dict[str, Any]) -> str:
    documents = report["documents"]
    return " ".join((f"{documents['done']}/{documents['total']}", ", ".join(_of_documents(report)))).strip()


def _of_documents(report: dict[str, Any]) -> list[str]:
    failed = report["documents"]["failed"]
    same = _noted(report, {"duplicates": "{} of them the same file again"})
    return [*same, *([f"[red]{failed} failed[/red]"] if failed else [])]


def _of_pages(report: dict[str, Any]) -> list[str]:
    """What a person should know of them."""
    return _noted(report, {"recognised": "{} recognised", "doubtful": "[yellow]{} hard to read[/yellow]"})


def _of_chunks(report: dict[str, Any]) -> list[str]:
    return _noted(report, {"hidden": "[yellow]{} with hidden text[/yellow]", "folded": "{} folded"})


def _noted(report: dict[str, Any], sentences: dict[str, str]) -> list[str]:
    counts = report["counts"]
    return [sentence.format(counts[name]) for name, sentence in sentences.items() if counts[name]]


def _coloured(state: str) -> str:
    colour = COLOURS.get(state, "yellow")
    return f"[{colour}]{state}[/{colour}]"
