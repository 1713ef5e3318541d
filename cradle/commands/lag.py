"""`cradle lag`: what waits before each stage."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.terminal import Json, out, print_json, show, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from rich.table import Table

    from cradle.compose import Adapters
    from operations.lag import StageLag

REFRESH_SECONDS = 1.0


def lag(
    watch: Annotated[bool, typer.Option("--watch", help="Look again each second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show how many records wait before each stage, and how old the oldest is."""
    run_to_end(_lag(watch and not json, json))


async def _lag(watch: bool, json: bool) -> None:
    from cradle.compose import open_adapters
    from cradle.settings import load_settings

    async with open_adapters(load_settings()) as adapters:
        if watch:
            await _watch(adapters)
            return
        measured = await _measure(adapters)
    if json:
        print_json([_shape(stage) for stage in measured])
    else:
        show(_table(measured))


async def _watch(adapters: "Adapters") -> None:
    from rich.live import Live

    with Live(console=out, auto_refresh=False) as live:
        while True:
            live.update(_table(await _measure(adapters)), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _measure(adapters: "Adapters") -> "list[StageLag]":
    from cradle.flow import read_flow
    from operations.lag import measure_lag

    return await measure_lag(await adapters.broker(), read_flow())


def _shape(stage: "StageLag") -> dict[str, Any]:
    partitions = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "committed": one.committed,
            "end": one.end,
            "records_behind": one.records_behind,
            "seconds_behind": round(one.seconds_behind, 1),
        }
        for one in stage.partitions
    ]
    return {
        "stage": stage.stage,
        "records_behind": stage.records_behind,
        "seconds_behind": round(stage.seconds_behind, 1),
        "partitions": partitions,
    }


def _table(measured: "list[StageLag]") -> "Table":
    made = table("stage", "reads", "waiting", "oldest", right=("waiting", "oldest"), folds=("reads",))
    for stage in measured:
        topics = sorted({partition.topic for partition in stage.partitions})
        behind = stage.records_behind
        waiting = f"[yellow]{behind}[/yellow]" if behind else "[green]0[/green]"
        made.add_row(f"[bold]{stage.stage}[/bold]", ", ".join(topics), waiting, _age(stage.seconds_behind))
    return made


def _age(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
