"""`cradle ingest`: documents in."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.jobs import describe, finish
from cradle.commands.terminal import FAILED, Json, err, note, print_json, say
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from producers.producer import Sealed, Submitted


def ingest(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, a file, or s3://bucket/prefix.")],
    customer: Annotated[str, typer.Option("--customer", "-c", help="Who owns the documents.")],
    reference: Annotated[
        str | None, typer.Option(help="Your name of the job: the same one twice is the same job.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the image is baked.")] = False,
    json: Json = False,
) -> None:
    """Seal documents into staging, submit them, and close the job."""
    submitted = run_to_end(_ingest(source, customer, reference, json))
    _tell(submitted, json=json, waiting=wait)
    if wait:
        finish(run_to_end(_wait(submitted, json)) | {"unreadable": _unreadable(submitted)}, json)
    if submitted.unreadable:
        raise typer.Exit(FAILED)


async def _ingest(source: str, customer: str, reference: str | None, quiet: bool) -> "Submitted":
    from cradle.compose import open_producer
    from cradle.settings import load_settings

    with err.status("sealing") as status:

        def sealed(one: "Sealed") -> None:
            if not quiet:
                status.update(f"sealed {one.documents} documents, {one.bytes / 1e6:.1f} MB")

        async with open_producer(load_settings(), sealed) as producer:
            return await producer.ingest(source, customer, reference)


async def _wait(submitted: "Submitted", quiet: bool) -> dict[str, Any]:
    from cradle.commands.progress import watch_job
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        await watch_job(submitted.job, adapters, quiet=quiet)
        return await describe(submitted.job, adapters)


def _tell(submitted: "Submitted", *, json: bool, waiting: bool) -> None:
    for path, code in submitted.unreadable:
        note(f"left out {path} ({code})")
    if json:
        if not waiting:
            print_json(_shape(submitted))
        return
    size = f"{submitted.bytes / 1e6:.1f} MB"
    say(f"[green]✓[/green] {submitted.documents} documents, {size}, sealed and submitted as job {submitted.job}")
    if not waiting:
        say(f"  [dim]next[/dim] `cradle wait {submitted.job}` shows how it goes on.")


def _shape(submitted: "Submitted") -> dict[str, Any]:
    return {
        "job": str(submitted.job),
        "reference": submitted.reference,
        "documents": submitted.documents,
        "bytes": submitted.bytes,
        "unreadable": _unreadable(submitted),
    }


def _unreadable(submitted: "Submitted") -> list[dict[str, str]]:
    return [{"path": path, "code": code} for path, code in submitted.unreadable]
