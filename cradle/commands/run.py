"""`cradle run`: stages in this process, or all of them in processes of their own."""

import hashlib
import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cradle.commands.terminal import run as run_to_end
from schemas.errors import CradleError

if TYPE_CHECKING:
    from cradle.settings import Settings
    from cradle.supervisor import Child
    from schemas.topology import Topology


def run(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STAGE]...", help="`cradle topics show` draws them.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stage, each in processes of its own.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="With --all: processes a stage.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Log JSON lines on a terminal too.")] = False,
) -> None:
    """Consume: run stages until SIGTERM, then drain.

    `cradle run chunk` runs one stage in this process; start it again elsewhere
    to share its work. `cradle run --all` watches over one process a stage and
    starts those again that crash or hang.
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
    with known_as_supervisor(settings.home) as alone:
        children = _children(settings, flow, workers, json, named=alone)
        run_to_end(supervise(children, restarts=settings.restarts, kill_seconds=settings.kill_seconds))


def _children(settings: "Settings", flow: "Topology", workers: int, json: bool, *, named: bool) -> "list[Child]":
    """One a stage and worker, in the flow's order. With `named` they are the same consumers to Kafka after a start."""
    slots = [(stage, number) for stage in flow.stages for number in range(1, workers + 1)]
    return [
        _child(settings, flow, stage, number, position, json=json, named=named)
        for position, (stage, number) in enumerate(slots)
    ]


def _child(
    settings: "Settings", flow: "Topology", stage: str, number: int, position: int, *, json: bool, named: bool
) -> "Child":
    from cradle.supervisor import Beats, Child
    from schemas.topology import GRACE_SECONDS

    beats = Beats(
        settings.home / "run" / "beats" / f"{os.getpid()}-{stage}-{number}",
        flow.stages[stage].stuck + GRACE_SECONDS,
    )
    variables = {"CRADLE_BEAT_FILE": str(beats.file)}
    if settings.health_port:
        variables["CRADLE_HEALTH_PORT"] = str(settings.health_port + position)
    if named:
        variables["CRADLE_INSTANCE"] = f"{_host_and_home(settings.home)}-{stage}-{number}"
    command = (sys.executable, "-m", "cradle", "run", stage, *(("--json",) if json else ()))
    return Child(stage, number, command, tuple(variables.items()), beats)


def _host_and_home(home: Path) -> str:
    """Tells this machine's children of this home from all others', in letters that Kafka takes for a name."""
    host = re.sub(r"[^a-zA-Z0-9._-]", "-", socket.gethostname())[:100]
    return f"{host}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
