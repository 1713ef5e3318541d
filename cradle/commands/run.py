"""`cradle run`: stages in this process, or all of them in processes of their own."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cradle.commands.terminal import run as run_to_end
from schemas.errors import CradleError

if TYPE_CHECKING:
    from cradle.settings import Settings
    from cradle.supervisor import Child
    from schemas.topology import Topology


def run(
    stages: Annotated[list[str] | None, typer.Argument(metavar="[STAGE]...", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stage, each in processes of its own.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="With --all: processes a stage.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Log JSON lines on a terminal too.")] = False,
) -> None:
    """Consume: run stages until SIGTERM, then drain.

    `cradle run chunk` runs one stage in this process; start it again elsewhere to share its work. `cradle run --all`
    watches over one process a stage and starts crashed ones again.
    """
    from cradle.flow import read_flow
    from cradle.logs import configure_logs
    from cradle.settings import load_settings

    settings, flow = load_settings(), read_flow()
    _check(stages or [], everything, flow)
    configure_logs(settings.log_level, json=json)
    if everything:
        _run_all(settings, flow, workers, json)
    else:
        run_to_end(_serve(stages or [], settings, flow))


def _check(stages: list[str], everything: bool, flow: "Topology") -> None:
    if everything == bool(stages):
        raise typer.BadParameter(f"name stages ({', '.join(flow.stages)}) or say --all")
    for stage in stages:
        if stage not in flow.stages:
            raise CradleError("stage.unknown", stage=stage, known=", ".join(flow.stages))


async def _serve(stages: list[str], settings: "Settings", flow: "Topology") -> None:
    from consumers.app import serve
    from cradle.compose import open_runtime

    async with open_runtime(settings, flow) as runtime:
        await serve(stages, runtime)
    _leave()


def _leave() -> None:
    """Ends the process at once. A thread that a library keeps busy would hold it up, for nothing: what it works on is
    not committed and is delivered again."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run_all(settings: "Settings", flow: "Topology", workers: int, json: bool) -> None:
    from cradle.compose import resolve
    from cradle.supervisor import supervise
    from cradle.workers import known_as_supervisor

    resolve(settings)  # says at once that the stack is missing, instead of once a child
    children = _children(settings, flow, workers, json)
    with known_as_supervisor(settings.home):
        run_to_end(supervise(children, restarts=settings.restarts, kill_seconds=settings.kill_seconds))


def _children(settings: "Settings", flow: "Topology", workers: int, json: bool) -> "list[Child]":
    """One a stage and worker, in the flow's order; each has its own health port where these are on."""
    from cradle.supervisor import Child

    slots = [(stage, number) for stage in flow.stages for number in range(1, workers + 1)]
    return [
        Child(
            stage,
            number,
            (sys.executable, "-m", "cradle", "run", stage, *(("--json",) if json else ())),
            (("CRADLE_HEALTH_PORT", str(settings.health_port + position)),) if settings.health_port else (),
        )
        for position, (stage, number) in enumerate(slots)
    ]
