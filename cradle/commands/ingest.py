"""`cradle ingest`: documents in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.jobs import describe, finish
from cradle.commands.terminal import FAILED, Json, customer_id, err, note, print_json, say
from cradle.commands.terminal import run as run_to_end
from schemas.errors import CradleError

if TYPE_CHECKING:
    from producers.producer import Sealed, Submitted


def ingest(
    *,
    customer: Annotated[str, typer.Option("--customer", "-c", callback=customer_id, help="Who owns the documents.")],
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="A folder, a file, or s3://bucket/prefix.", show_default=False),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Your name of the job: the same one twice is the same job.", show_default=False)
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Add to the customer's newest version, or replace by path.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="With --update: take this out; 'folder/' takes out all in it. May be repeated.",
            show_default=False,
        ),
    ] = None,
    parameters: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Version of the parameters to pin; the newest unless given.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the image is baked.")] = False,
    json: Json = False,
) -> None:
    """Seal documents into staging, submit them, and close the job."""
    submission = _Submission(source, customer, reference, update, tuple(remove or ()), parameters)
    submitted = run_to_end(_ingest(submission, json))
    _tell(submitted, json=json, waiting=wait)
    if wait:
        finish(run_to_end(_wait(submitted, json)) | {"unreadable": _unreadable(submitted)}, json)
    if submitted.unreadable:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Submission:
    """What the command was asked for."""

    source: str | None
    customer: str
    reference: str | None
    update: bool
    removed: tuple[str, ...]
    parameters: int | None


async def _ingest(asked: _Submission, quiet: bool) -> "Submitted":
    from cradle.compose import open_adapters, open_producer
    from cradle.settings import load_settings
    from operations.updates import refuse_parameters

    if (asked.removed and not asked.update) or (asked.source is None and not asked.removed):
        raise CradleError("update.needed")
    settings = load_settings()
    if asked.update and asked.parameters is not None:
        async with open_adapters(settings) as adapters:
            await refuse_parameters(asked.customer, await adapters.archive())

    with err.status("sealing") as status:

        def sealed(one: "Sealed") -> None:
            if not quiet:
                status.update(f"sealed {one.documents} documents, {one.bytes / 1e6:.1f} MB")

        async with open_producer(settings, sealed) as producer:
            return await producer.ingest(
                asked.source,
                asked.customer,
                asked.reference,
                update=asked.update,
                removed=asked.removed,
                parameters=asked.parameters,
            )


async def _wait(submitted: "Submitted", quiet: bool) -> dict[str, Any]:
    from cradle.commands.progress import watch_job
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        await watch_job(submitted.job, adapters, quiet=quiet)
        return await describe(submitted.job, adapters)


def _tell(submitted: "Submitted", *, json: bool, waiting: bool) -> None:
    from operations.updates import many_updates
    from schemas.versions import MOST_UPDATES

    for path, code in submitted.unreadable:
        note(f"left out {path} ({code})")
    if many_updates(submitted.extends):
        note(f"Over the last full image lie {MOST_UPDATES} updates or more, and each costs every search a little.")
        note("A full job would be good: ingest all documents without --update.")
    if json:
        if not waiting:
            print_json(_shape(submitted))
        return
    what = f"{submitted.documents} documents, {submitted.bytes / 1e6:.1f} MB"
    if submitted.extends is not None:
        what += f", {submitted.removed} removals, over {submitted.extends}"
    say(f"[green]✓[/green] {what}, sealed and submitted as job {submitted.job}")
    if not waiting:
        say(f"  [dim]next[/dim] `cradle wait {submitted.job}` shows how it goes on.")


def _shape(submitted: "Submitted") -> dict[str, Any]:
    return {
        "job": str(submitted.job),
        "reference": submitted.reference,
        "documents": submitted.documents,
        "bytes": submitted.bytes,
        "removed": submitted.removed,
        "extends": submitted.extends,
        "unreadable": _unreadable(submitted),
    }


def _unreadable(submitted: "Submitted") -> list[dict[str, str]]:
    return [{"path": path, "code": code} for path, code in submitted.unreadable]
