"""`cradle up` and `cradle down`: everything that has to be there before the first document."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.terminal import Json, print_json, say
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from cradle.settings import Settings


def up(
    run: Annotated[bool, typer.Option("--run", help="Start a process for each stage too, in the background.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="With --run: processes a stage.")] = 1,
    json: Json = False,
) -> None:
    """Start the embedded stack, or check the real services; migrate the databases; create the topics.

    Twice is harmless.
    """
    from cradle.compose import needs_stack
    from cradle.settings import load_settings

    settings = load_settings()
    if needs_stack(settings):
        _start_stack(settings)
    changes = run_to_end(_prepare(settings))
    if run:
        from cradle.workers import start_workers

        start_workers(settings.home, workers)
    report = _report(settings, changes)
    print_json(report) if json else _tell(report)


def down(json: Json = False) -> None:
    """Stop the background stages and the embedded stack; data stays. Real services are left alone."""
    from cradle.settings import load_settings
    from cradle.workers import stop_workers
    from infra.local import stack

    home = load_settings().home
    stopped = {"workers": stop_workers(home), "stack": stack.down(home)}
    if json:
        print_json(stopped)
    else:
        names = [name for name, ran in stopped.items() if ran]
        say(f"Stopped the {' and the '.join(names)}." if names else "Nothing was running.")


def _start_stack(settings: "Settings") -> None:
    from infra.local import stack

    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    stack.up(settings.home)


async def _prepare(settings: "Settings") -> list[str]:
    """Migrates and applies; returns what changed about the topics, one sentence each."""
    from cradle.compose import migrate, open_adapters, replication
    from cradle.flow import read_flow
    from operations.topics import apply

    flow = read_flow()
    async with open_adapters(settings) as adapters:
        await asyncio.to_thread(migrate, adapters.urls)
        changes = await apply(await adapters.broker(), flow, replication=replication(settings))
        await (await adapters.staging()).ping()
        await (await adapters.keys()).ping()
        await (await adapters.progress()).ping()
    return [str(change) for change in changes]


def _report(settings: "Settings", changes: list[str]) -> dict[str, Any]:
    from cradle.compose import needs_stack
    from cradle.workers import workers_pid

    return {
        "home": str(settings.home),
        "stack": "embedded" if needs_stack(settings) else "services",
        "topics": changes,
        "workers": workers_pid(settings.home) is not None,
    }


def _tell(report: dict[str, Any]) -> None:
    where = "Embedded broker and database run" if report["stack"] == "embedded" else "Every service answers"
    say(f"[green]✓[/green] {where}; everything is kept in [bold]{report['home']}[/bold].")
    changes = f", {len(report['topics'])} changes made" if report["topics"] else ""
    say(f"[green]✓[/green] Topics and tables are ready{changes}.")
    if report["workers"]:
        say("[green]✓[/green] Every stage runs in the background.")
    else:
        say("  [dim]next[/dim] Start the stages with `cradle run --all`, here or in another terminal.")
