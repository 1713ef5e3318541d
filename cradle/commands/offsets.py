"""`cradle offsets`: where the stages read on."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cradle.commands.terminal import Json, print_json, run, say, table
from cradle.commands.terminal import show as show_table

if TYPE_CHECKING:
    from operations.offsets import Move

app = typer.Typer(help="Where the stages read on.", no_args_is_help=True)


@app.callback()
def offsets() -> None:
    """Where the stages read on."""


@app.command("reset")
def reset(  # noqa: PLR0917 (typer passes each by its name)
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A stage: its consumer group bears its name.")],
    to: Annotated[str, typer.Option(metavar="WHERE", help="2026-01-31T12:00 (UTC), earliest, latest, or an offset.")],
    topic: Annotated[str | None, typer.Option(help="Only this topic.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Let a stage that has no workers read on elsewhere. Harmless: what has an outcome is skipped when read again."""
    moves = run(_reset(group, to, topic, partition, dry_run))
    if json:
        shown = [asdict(move) for move in moves]
        print_json({"group": group, "dry_run": dry_run, "partitions": shown})
        return
    made = table("topic", "partition", "from", "to", "end", right=("partition", "from", "to", "end"))
    for move in moves:
        numbers = (move.partition, move.before, move.after, move.end)
        made.add_row(move.topic, *map(str, numbers), style="" if move.again else "dim")
    show_table(made)
    say(f"[bold]{group}[/bold] {'would read' if dry_run else 'reads'} on there{_count(moves)}.")


def _count(moves: "list[Move]") -> str:
    again = sum(max(0, move.again) for move in moves)
    left_out = sum(max(0, -move.again) for move in moves)
    told = [f"{again} records again" if again else "", f"[yellow]{left_out} left out[/yellow]" if left_out else ""]
    return "".join(f", {part}" for part in told if part)


async def _reset(group: str, to: str, topic: str | None, partition: int | None, dry_run: bool) -> "list[Move]":
    from cradle.compose import open_adapters
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.offsets import read_target
    from operations.offsets import reset as reset_offsets

    target = read_target(to)
    async with open_adapters(load_settings()) as adapters:
        return await reset_offsets(
            group,
            target,
            broker=await adapters.broker(),
            topology=read_flow(),
            topic=topic,
            partition=partition,
            dry_run=dry_run,
        )
