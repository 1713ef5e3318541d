"""`cradle doctor`: is everything there, and where does each setting come from?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.terminal import FAILED, Json, note, print_json, say, show, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from operations.doctor import Finding

COLOURS = {"environment": "cyan", "file": "magenta", "embedded": "green", "default": "dim"}


def doctor(
    settings: Annotated[bool, typer.Option("--settings", help="Show each setting and where it came from.")] = False,
    json: Json = False,
) -> None:
    """Check each dependency, and say how to mend one that is away.

    It also tells what stages of this machine wait for, and which topics lose
    records before they are read.
    """
    if settings:
        _show_settings(json)
        return
    findings = run_to_end(_examine())
    if json:
        print_json([_shape(finding) for finding in findings])
    else:
        _show(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


async def _examine() -> "list[Finding]":
    from cradle.checks import dependencies, topics
    from cradle.compose import open_adapters
    from cradle.settings import load_settings
    from infra import waits
    from operations.doctor import examine, waiting_stages

    settings = load_settings()
    async with open_adapters(settings) as adapters:
        found = await examine(dependencies(adapters))
        return [*found, *waiting_stages(waits.folder(settings.home)), *await topics(adapters)]


def _shape(finding: "Finding") -> dict[str, Any]:
    return {
        "name": finding.name,
        "where": finding.where,
        "ok": finding.ok,
        "version": finding.version,
        "milliseconds": finding.milliseconds,
        "code": finding.code,
        "problem": finding.problem,
        "remedy": finding.remedy,
    }


def _show(findings: "list[Finding]") -> None:
    from rich.markup import escape

    made = table("", "dependency", "version", "took", "where", right=("took",), folds=("version", "where"))
    for finding in findings:
        mark = "[green]✓[/green]" if finding.ok else "[bold red]✗[/bold red]"
        took = f"{finding.milliseconds:.0f} ms"
        made.add_row(mark, f"[bold]{finding.name}[/bold]", finding.version, took, f"[dim]{escape(finding.where)}[/dim]")
    show(made)
    together: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if not finding.ok:
            together.setdefault((finding.problem, finding.remedy), []).append(finding.name)
    for (problem, remedy), names in together.items():
        say(f"\n[bold red]✗ {', '.join(names)}[/bold red] {escape(problem)}")
        say(f"  [dim]next[/dim] {escape(remedy)}")


def _show_settings(json: bool) -> None:
    from rich.markup import escape

    from cradle.compose import embedded_urls
    from cradle.settings import load_settings, unknown_variables, where

    settings = load_settings()
    found = where(settings, embedded_urls(settings.home))
    if json:
        print_json([{"name": one.name, "value": one.value, "origin": one.origin} for one in found])
        return
    made = table("setting", "from", "value", folds=("value",))
    for one in found:
        colour = COLOURS[one.origin]
        made.add_row(f"[bold]{one.name}[/bold]", f"[{colour}]{one.origin}[/{colour}]", escape(one.value))
    show(made)
    if unknown := unknown_variables():
        note(f"These variables are no settings and have no effect: {', '.join(unknown)}.")
