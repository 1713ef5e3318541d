"""`cradle replay`: a finished job's records once more, as a new job."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cradle.commands.jobs import describe, finish
from cradle.commands.terminal import FAILED, Json, customer_id, note, print_json, say, show, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from operations.replay import Plan, Refusal, Request

FORMATS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]
"""ISO 8601. Without a zone it is UTC, as everything that Cradle prints."""


def replay(
    *,
    topic: Annotated[str, typer.Option("--from", metavar="TOPIC", help="The topic to read again.")],
    job: Annotated[UUID | None, typer.Option(help="Only of this job.", show_default=False)] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", "-c", callback=customer_id, help="Only of this customer's jobs.")
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(help="Only this document, by id or path; may be repeated.", show_default=False),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=FORMATS, metavar="TIME", help="Written then or later; ISO 8601.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=FORMATS, metavar="TIME", help="Written before then.")
    ] = None,
    offset: Annotated[
        str | None, typer.Option(metavar="PARTITION:FROM[-TO]", help="Only these offsets, both included.")
    ] = None,
    parameters: Annotated[
        int | None,
        typer.Option(min=1, help="Pin this version of the parameters instead of the parent's.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the images are baked.")] = False,
    json: Json = False,
) -> None:
    """Make a new job of what a topic holds of a finished one. What does not match is inherited; the old job stays.

    A document is replayed whole: one record that matches brings the others.
    """
    from operations.replay import OffsetSpan, Request

    request = Request(
        topic=topic,
        job=job,
        customer=customer,
        documents=tuple(document or ()),
        since=_in_utc(since),
        until=_in_utc(until),
        offsets=None if offset is None else OffsetSpan.read(offset),
        parameters=parameters,
    )
    report = run_to_end(_replay(request, dry_run))
    made = [one["job"] for one in report["replays"] if one["job"]]
    if not (json and wait and made):
        print_json(report) if json else _tell(report, waiting=wait)
    if wait and made:
        finished = [run_to_end(_wait(UUID(one), json)) for one in made]
        _finish(report, finished, json)
    if report["refused"]:
        raise typer.Exit(FAILED)


async def _replay(request: "Request", dry_run: bool) -> dict[str, Any]:
    from cradle.compose import open_adapters, open_replay
    from cradle.settings import load_settings
    from operations.replay import carry_out, plan

    async with open_adapters(load_settings()) as adapters:
        ports = await open_replay(adapters)
        plans, refusals = await plan(request, ports)
        replays = []
        for one in plans:
            done = None if dry_run else await carry_out(one, ports)
            told = {"job": None, "reference": None} if done is None else _names(done.job, done.reference)
            replays.append(told | _shape(one))
        return {
            "topic": request.topic,
            "dry_run": dry_run,
            "replays": replays,
            "refused": [_refused(refusal) for refusal in refusals],
        }


async def _wait(job: UUID, quiet: bool) -> dict[str, Any]:
    from cradle.commands.progress import watch_job
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        await watch_job(job, adapters, quiet=quiet)
        return await describe(job, adapters)


def _names(job: UUID, reference: str) -> dict[str, Any]:
    return {"job": str(job), "reference": reference}


def _shape(plan: "Plan") -> dict[str, Any]:
    return {
        "parent": str(plan.parent.id),
        "customer": plan.parent.customer,
        "parameters": plan.parameters,
        "records": len(plan.messages),
        "replayed": sorted(document.path for document in plan.replayed),
        "inherited": len(plan.inherited),
        "stay_failed": [{"document": one.path, "code": one.row.code} for one in plan.failed],
    }


def _refused(refusal: "Refusal") -> dict[str, Any]:
    error = refusal.error
    return {
        "job": str(refusal.job),
        "code": error.code,
        "sentence": error.sentence,
        "next_step": error.next_step,
    }


def _tell(report: dict[str, Any], *, waiting: bool) -> None:
    made = table(
        "parent", "job", "records", "documents", "inherited", "stay failed", right=("records", "documents", "inherited")
    )
    for one in report["replays"]:
        made.add_row(
            one["parent"],
            one["job"] or "[dim]none yet[/dim]",
            str(one["records"]),
            str(len(one["replayed"])),
            str(one["inherited"]),
            str(len(one["stay_failed"])),
        )
    if report["replays"]:
        show(made)
    for refusal in report["refused"]:
        note(f"Job {refusal['job']} is left out: {refusal['sentence']} ({refusal['code']}) {refusal['next_step']}")
    if report["dry_run"]:
        say("Nothing was changed. [dim]Without --dry-run it is replayed.[/dim]")
    elif not waiting and report["replays"]:
        say(f"  [dim]next[/dim] `cradle wait {report['replays'][0]['job']}` shows how it goes on.")


def _finish(report: dict[str, Any], finished: list[dict[str, Any]], json: bool) -> None:
    """Prints how each new job ended; exits with 1 if one came to no image."""
    if not json:
        for one in finished:
            finish(one, json=False)
        return
    print_json(report | {"finished": finished})
    if any(one["image"] is None or one["state"] in ("failed", "cancelled") for one in finished):
        raise typer.Exit(FAILED)


def _in_utc(time: datetime | None) -> datetime | None:
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
