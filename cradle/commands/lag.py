"""`cradle lag`: what waits before each stage, who works on it, and when it will be done."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cradle.commands.terminal import Json, note, out, print_json, show, table
from cradle.commands.terminal import run as run_to_end

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from cradle.compose import Adapters
    from operations.job_lag import CustomerLag, JobLag
    from operations.lag import LagMeter, Partition, StageLag
    from schemas.topology import Topology

REFRESH_SECONDS = 1.0
SERVED_SECONDS = 15.0
"""Between two looks for `--listen`: about as often as Prometheus asks."""


def lag(
    watch: Annotated[bool, typer.Option("--watch", help="Look again each second, until Ctrl-C.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0, max=60, help="Time between the two looks that rates come from; 0: no rates.")
    ] = 1.0,
    listen: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve it as /metrics on this port, until Ctrl-C.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what waits before each stage: how many records, how old, how fast they go, and who has them.

    It works while no consumer runs. A partition is stuck where records wait and
    nothing was committed for longer than the stage's `stuck` time. Jobs under
    way follow, with their documents by stage.
    """
    run_to_end(_lag(watch and not json, seconds, listen, json))


async def _lag(watch: bool, seconds: float, listen: int | None, json: bool) -> None:
    from cradle.compose import open_adapters
    from cradle.flow import read_flow
    from cradle.settings import load_settings
    from operations.lag import LagMeter

    settings, flow = load_settings(), read_flow()
    async with open_adapters(settings) as adapters:
        meter = LagMeter(await adapters.broker(), flow)
        if listen is not None:
            await _serve(adapters, meter, flow, _address(settings.health_host), listen)
        if watch:
            await _watch(adapters, meter, flow)
        found = await _look(adapters, meter, flow)
        if seconds:
            await asyncio.sleep(seconds)
            found = await _look(adapters, meter, flow)
    if json:
        print_json(_shape(*found))
    else:
        stages, jobs, _ = found
        show(_stages_table(stages))
        if jobs:
            out.print()
            show(_jobs_table(jobs))


Found = tuple["list[StageLag]", "list[JobLag]", "list[CustomerLag]"]


async def _look(adapters: "Adapters", meter: "LagMeter", flow: "Topology") -> Found:
    from cradle.compose import clock
    from operations.job_lag import by_customer, running_jobs

    now = clock()
    stages = await meter.look([*flow.stages], now=now.timestamp())
    jobs = await running_jobs(await adapters.ledger(), now=now)
    return stages, jobs, by_customer(jobs)


async def _watch(adapters: "Adapters", meter: "LagMeter", flow: "Topology") -> None:
    from rich.live import Live

    with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while True:
            stages, jobs, _ = await _look(adapters, meter, flow)
            live.update(_screen(stages, jobs), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


def _address(host: str) -> str:
    from ipaddress import IPv4Address

    return str(IPv4Address(0)) if host == "all" else host


async def _serve(adapters: "Adapters", meter: "LagMeter", flow: "Topology", host: str, port: int) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    from operations.lag_gauges import LagGauges
    from schemas.errors import Retryable

    registry = CollectorRegistry()
    gauges = LagGauges(registry)
    start_http_server(port, addr=host, registry=registry)
    note(f"http://{host}:{port}/metrics")
    while True:
        try:
            stages, _, _ = await _look(adapters, meter, flow)
            gauges.set(stages)
            running = await (await adapters.ledger()).running()
            gauges.set_open_documents(
                [(name, sum(one.open_documents for one in running if one.stage == name)) for name in flow.stages]
            )
        except Retryable as away:
            note(away.sentence)
        await asyncio.sleep(SERVED_SECONDS)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _shape(stages: "list[StageLag]", jobs: "list[JobLag]", customers: "list[CustomerLag]") -> dict[str, Any]:
    return {
        "stages": [_stage_shape(stage) for stage in stages],
        "jobs": [
            {"job": str(job.job), "customer": job.customer, "state": job.state.value, **_work(job)} for job in jobs
        ],
        "customers": [{"customer": one.customer, "jobs": one.jobs, **_work(one)} for one in customers],
    }


def _work(one: "JobLag | CustomerLag") -> dict[str, Any]:
    return {
        "documents": one.expected,
        "finished": one.finished,
        "stages": dict(one.stages),
        "eta_seconds": _rounded(one.eta_seconds),
    }


def _stage_shape(stage: "StageLag") -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "records_behind": stage.records_behind,
        "seconds_behind": round(stage.seconds_behind, 1),
        "rate_in": _rounded(stage.rate_in),
        "rate_out": _rounded(stage.rate_out),
        "drain_seconds": _rounded(stage.drain_seconds),
        "workers": stage.owners,
        "stuck": stage.stuck,
        "expiring": stage.expiring,
        "partitions": [_partition_shape(one) for one in stage.partitions],
    }


def _partition_shape(one: "Partition") -> dict[str, Any]:
    return {
        "topic": one.topic,
        "partition": one.number,
        "committed": one.committed,
        "end": one.end,
        "records_behind": one.records_behind,
        "seconds_behind": round(one.seconds_behind, 1),
        "rate_in": _rounded(one.rate_in),
        "rate_out": _rounded(one.rate_out),
        "owner": one.owner,
        "owned_since": _iso(one.owned_since),
        "stuck": one.stuck,
        "retention_used": round(one.retention_used, 3),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)


def _iso(seconds: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# -- tables -----------------------------------------------------------------------------------------------------------


def _screen(stages: "list[StageLag]", jobs: "list[JobLag]") -> "RenderableType":
    from rich.console import Group

    return Group(_stages_table(stages), "", _jobs_table(jobs)) if jobs else _stages_table(stages)


def _stages_table(stages: "list[StageLag]") -> "Table":
    numbers = ("waiting", "oldest", "in/s", "out/s", "done in")
    made = table("stage", *numbers, "worker", "since", right=numbers, folds=("worker",))
    for stage in stages:
        made.add_row(
            f"[bold]{stage.stage}[/bold]",
            _count(stage.records_behind, stage.stuck),
            _age(stage.seconds_behind),
            _rate(stage.rate_in),
            _rate(stage.rate_out),
            _drain(stage),
            f"[dim]{stage.owners or '[red]none[/red]'}[/dim]",
            "",
        )
        for one in stage.partitions:
            made.add_row(*_partition_row(one))
    return made


def _partition_row(one: "Partition") -> tuple[str, ...]:
    warning = " [red]stuck[/red]" if one.stuck else " [red]expiring[/red]" if one.expiring else ""
    return (
        f"  [dim]{one.topic} {one.number}[/dim]",
        _count(one.records_behind, one.stuck) + warning,
        _age(one.seconds_behind),
        _rate(one.rate_in),
        _rate(one.rate_out),
        "",
        one.owner or "[dim]nobody[/dim]",
        _since(one.owned_since),
    )


def _jobs_table(jobs: "list[JobLag]") -> "Table":
    made = table("job", "customer", "documents", "at", "done in", right=("documents", "done in"), folds=("at",))
    for job in jobs:
        made.add_row(
            str(job.job), job.customer, f"{job.finished}/{job.expected}", _at(job.stages), _age(job.eta_seconds, "?")
        )
    return made


def _at(stages: Mapping[str, int]) -> str:
    return ", ".join(f"{stage} {documents}" for stage, documents in stages.items()) or "[dim]nothing open[/dim]"


def _count(behind: int, stuck: int) -> str:
    colour = "red" if stuck else "yellow" if behind else "green"
    return f"[{colour}]{behind}[/{colour}]"


def _drain(stage: "StageLag") -> str:
    if stage.rate_out is None or not stage.records_behind:
        return ""
    return _age(stage.drain_seconds, "[yellow]grows[/yellow]")


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _since(seconds: float | None) -> str:
    from datetime import UTC, datetime

    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")


def _age(seconds: float | None, unknown: str = "") -> str:
    if seconds is None:
        return unknown
    if not seconds:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
