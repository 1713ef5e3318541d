"""`cradle dlq`: dead letters, what became of them, and back with them once their cause is mended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cradle.commands.terminal import FAILED, Json, customer_id, note, out, pairs, print_json, say, table
from cradle.commands.terminal import run as run_to_end
from cradle.commands.terminal import show as show_table
from schemas.errors import CradleError

if TYPE_CHECKING:
    from infra.broker import Broker
    from infra.ledger import Ledger
    from operations.dead_letters import Found, Letter, Wanted
    from operations.redrive import Redriven
    from schemas.topology import Topology

app = typer.Typer(help="Dead letters: what could not pass, and why.", no_args_is_help=True)

LISTED = 200
"""Most lines of the list for people."""
COLOURS = {"dead": "red", "redriven": "yellow", "mended": "green"}

Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...", help="Letters, as `cradle dlq list` shows them.")]
Job = Annotated[UUID | None, typer.Option(help="Only of this job.")]
Code = Annotated[str | None, typer.Option(help="Only with this code.")]
Stage = Annotated[str | None, typer.Option(help="Only of this stage.")]
Customer = Annotated[
    str | None, typer.Option("--customer", "-c", callback=customer_id, help="Only of this customer's jobs.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]


@app.command("list")
def list_letters(
    job: Job = None, code: Code = None, stage: Stage = None, customer: Customer = None, json: Json = False
) -> None:
    """List dead letters, and what became of each: dead, redriven, mended, discarded, or gone with its job."""
    from operations.dead_letters import Wanted, letter_report

    found = run_to_end(_find(Wanted(job, code, stage, customer)))
    if found.foreign:
        note(f"{found.foreign} records in the topics of dead letters are not ours.")
    if json:
        print_json([letter_report(letter) for letter in found.letters])
        return
    if not found.letters:
        say("There is no dead letter.")
        return
    _show_list(found.letters)


@app.command("show")
def show(
    letter: Annotated[UUID, typer.Argument(metavar="ID", help="A letter, as `cradle dlq list` shows it.")],
    bytes_to: Annotated[
        Path | None,
        typer.Option(help="Write the bytes of a record that nobody could read to this new file."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a dead letter: why it failed, what to do, and which document it is about, while its key lives."""
    shown = run_to_end(_show(letter, bytes_to))
    if json:
        print_json(shown)
        return
    _show_one(shown)


@app.command("redrive")
def redrive(  # noqa: PLR0917 (typer passes each by its name)
    ids: Ids = None,
    job: Job = None,
    code: Code = None,
    stage: Stage = None,
    customer: Customer = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Send dead letters back to the stage that failed, once the cause is mended.

    With a filter: all that are dead, and those under way, in case their redrive
    was cut off. Exit code 1 if one was refused.
    """
    answers = run_to_end(_redrive(ids or [], (job, code, stage, customer), dry_run))
    refused = [answer for answer in answers if answer.refused is not None]
    sent = [answer for answer in answers if answer.sent]
    passed = len(answers) - len(sent) - len(refused)
    if json:
        print_json(_redriven_shape(answers, dry_run))
    else:
        say(f"[green]✓[/green] {len(sent)} dead letters {'would go' if dry_run else 'went'} back to their stages.")
        if passed:
            say(f"  {passed} have passed already.")
        _show_refused(refused)
    if refused:
        raise typer.Exit(FAILED)


@app.command("discard")
def discard(  # noqa: PLR0917 (typer passes each by its name)
    ids: Ids = None,
    job: Job = None,
    code: Code = None,
    stage: Stage = None,
    customer: Customer = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Mark dead letters as dealt with. Their documents stay failed; what is not dead is left alone."""
    discarded = run_to_end(_discard(ids or [], (job, code, stage, customer), dry_run))
    if json:
        print_json({"dry_run": dry_run, "discarded": [str(letter.id) for letter in discarded]})
        return
    say(f"[green]✓[/green] {len(discarded)} dead letters {'would be' if dry_run else 'are'} discarded.")


# -- the work ---------------------------------------------------------------------------------------------------------

Filter = tuple[UUID | None, str | None, str | None, str | None]


async def _find(wanted: "Wanted") -> "Found":
    from cradle.compose import open_adapters
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.dead_letters import find_letters

    async with open_adapters(load_settings()) as adapters:
        return await find_letters(
            wanted, broker=await adapters.broker(), ledger=await adapters.ledger(), topology=read_flow()
        )


async def _show(letter: UUID, bytes_to: Path | None) -> dict[str, Any]:
    from cradle.compose import open_adapters
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.dead_letters import describe_letter, find_by_id, quarantined_bytes

    flow = read_flow()
    async with open_adapters(load_settings()) as adapters:
        broker, keys = await adapters.broker(), await adapters.keys()
        [found] = await find_by_id([letter], broker=broker, ledger=await adapters.ledger(), topology=flow)
        if bytes_to is not None:
            _write_new(bytes_to, await quarantined_bytes(found, broker=broker, keys=keys, topology=flow))
        return await describe_letter(found, broker=broker, keys=keys, topology=flow)


async def _redrive(ids: list[UUID], by: Filter, dry_run: bool) -> "list[Redriven]":
    from cradle.compose import open_adapters, open_mail
    from cradle.settings import load_settings
    from operations.dead_letters import LetterState
    from operations.redrive import redrive as redrive_letters

    async with open_adapters(load_settings()) as adapters:
        mail = await open_mail(adapters)
        letters = await _chosen(ids, by, mail.broker, mail.ledger, mail.topology)
        if not ids:
            letters = [one for one in letters if one.state in (LetterState.DEAD, LetterState.REDRIVEN)]
        return await redrive_letters(letters, mail, dry_run=dry_run)


async def _discard(ids: list[UUID], by: Filter, dry_run: bool) -> "list[Letter]":
    from cradle.compose import clock, open_adapters
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.dead_letters import discard as discard_letters

    async with open_adapters(load_settings()) as adapters:
        ledger = await adapters.ledger()
        letters = await _chosen(ids, by, await adapters.broker(), ledger, read_flow())
        return await discard_letters(letters, ledger=ledger, clock=clock, dry_run=dry_run)


async def _chosen(
    ids: list[UUID], by: Filter, broker: "Broker", ledger: "Ledger", topology: "Topology"
) -> "list[Letter]":
    """Raises CradleError `letter.choice` unless there are either ids or a filter."""
    from operations.dead_letters import Wanted, find_by_id, find_letters

    if bool(ids) == any(one is not None for one in by):
        raise CradleError("letter.choice")
    if ids:
        return await find_by_id(ids, broker=broker, ledger=ledger, topology=topology)
    return [*(await find_letters(Wanted(*by), broker=broker, ledger=ledger, topology=topology)).letters]


def _write_new(file: Path, content: bytes) -> None:
    """Raises CradleError `settings.invalid` if it is there already or cannot be written."""
    import os

    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(content)
    except OSError:
        raise CradleError("settings.invalid", what="the file is there already, or cannot be written") from None


# -- for people -------------------------------------------------------------------------------------------------------


def _show_list(letters: "tuple[Letter, ...]") -> None:
    from operations.dead_letters import count_by

    made = table("letter", "given up", "topic", "stage", "code", "tries", "state", "job", right=("tries",))
    for letter in letters[-LISTED:]:
        mark = letter.mark
        made.add_row(
            str(letter.id),
            _moment(mark.last_ms),
            mark.topic,
            mark.stage,
            f"[red]{mark.code}[/red]",
            f"{mark.attempts}" + (f" x{letter.count}" if letter.count > 1 else ""),
            _coloured(letter.state.value),
            "" if letter.quarantined else f"[dim]{letter.job}[/dim]",
        )
    show_table(made)
    if len(letters) > LISTED:
        note(f"The newest {LISTED} of {len(letters)}; --json lists all.")
    out.print()
    say("  ".join(f"{_coloured(state)} {n}" for state, n in count_by(letters, lambda one: one.state.value).items()))
    say("  ".join(f"[dim]{code}[/dim] {n}" for code, n in count_by(letters, lambda one: one.mark.code).items()))


def _show_one(shown: dict[str, Any]) -> None:
    from rich.markup import escape

    lines = {
        "letter": f"[bold]{shown['letter']}[/bold]",
        "state": _coloured(shown["state"]),
        "document": _about(shown),
        "code": f"[red]{shown['code']}[/red]",
        "cause": escape(shown["error"]),
        "next": escape(shown["next_step"]),
        "stage": f"{shown['stage']}, tried {shown['attempts']} times",
        "read from": f"{shown['topic']}, partition {shown['partition']}, offset {shown['offset']}",
        "written": f"{_moment(shown['first'])} UTC",
        "given up": f"{_moment(shown['last'])} UTC" + (f", {shown['letters']} times" if shown["letters"] > 1 else ""),
        "job": shown["job"] or "",
        "message": shown["message"] + (f", piece {shown['number']}" if shown["number"] else ""),
        "trace": shown["trace"] or "",
        "size": f"{shown['size']} bytes, sealed",
    }
    out.print(pairs({name: value for name, value in lines.items() if value}))


def _about(shown: dict[str, Any]) -> str:
    from rich.markup import escape

    if shown["sealed"] is not None:
        return f"[dim]cannot be opened any more ({shown['sealed']})[/dim]"
    if shown["quarantined"]:
        return "[dim]a record that could not be read; `--bytes-to FILE` writes it to a file[/dim]"
    return escape(", ".join(shown["paths"]))


def _show_refused(refused: "list[Redriven]") -> None:
    from rich.markup import escape

    for answer in refused[:LISTED]:
        assert answer.refused is not None
        say(f"[red]✗[/red] {answer.letter.id} {escape(answer.refused.sentence)} [dim]({answer.refused.code})[/dim]")


def _redriven_shape(answers: "list[Redriven]", dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "redriven": [str(one.letter.id) for one in answers if one.sent],
        "passed": [str(one.letter.id) for one in answers if not one.sent and one.refused is None],
        "refused": [
            {"letter": str(one.letter.id), "code": one.refused.code, "error": one.refused.sentence}
            for one in answers
            if one.refused is not None
        ],
    }


def _coloured(state: str) -> str:
    colour = COLOURS.get(state, "dim")
    return f"[{colour}]{state}[/{colour}]"


def _moment(milliseconds: int) -> str:
    from datetime import UTC, datetime

    from cradle.commands.terminal import moment

    try:
        return moment(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (ValueError, OverflowError, OSError):  # a postmark may say anything
        return "?"
