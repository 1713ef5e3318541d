"""A job that is cancelled while every stage works on it: its records are skipped, and nothing comes of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cradle.flow import read_flow
from infra.broker import open_broker
from infra.local import stack
from tests.roads.road import CUSTOMER, Road, wait_until

pytestmark = pytest.mark.apart

FLOW = read_flow()


async def waiting(broker_url: str) -> int:
    """Records that a stage has not committed yet."""
    async with open_broker(broker_url) as broker:
        lags = [await broker.lag(name, stage.reads) for name, stage in FLOW.stages.items()]
    return sum(partition.records_behind for lag in lags for partition in lag)


def test_a_cancelled_job_stops_everywhere(new_home: Callable[[], Path], tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"Document {number} says that the pump hums. " * 20)
    road = Road(new_home())
    try:
        road.run("up")
        road.run("customer", "add", CUSTOMER)
        road.start(*sorted({*FLOW.stages} - {"embed"}))  # so that it is not done before it can be cancelled
        job = road.json("ingest", str(folder), "--customer", CUSTOMER)["job"]
        wait_until(lambda: road.json("job", job)["items"].get("chunk", 0) > 0, seconds=90, why=road.logs)
        assert road.json("cancel", job, "--yes")["key_destroyed"]
        road.start("embed")
        endpoints = stack.endpoints(road.home)
        assert endpoints is not None
        wait_until(lambda: asyncio.run(waiting(endpoints.broker_url)) == 0, seconds=60, why=road.logs)
        report = road.json("job", job)
        assert (report["state"], report["reason"], report["image"]) == ("cancelled", "job.cancelled", None)
        assert report["documents"]["done"] == 0
        assert road.json("dlq", "list") == []
        assert not [*road.home.glob("images/*/*")]
        # the same stages go on with other work
        (tmp_path / "other.txt").write_text("Another document, of another job.")
        other = road.json("ingest", str(tmp_path / "other.txt"), "--customer", CUSTOMER)["job"]
        assert road.wait_for_job(other)["state"] == "baked"
    finally:
        road.stop()
        road.run("down", ok=False)
