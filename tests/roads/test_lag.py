"""`cradle lag` beside real stages on Apache Kafka: what waits while they are down, and whose it is while they run."""

from pathlib import Path
from typing import Any

import pytest

from tests.roads.road import CUSTOMER, STAGES, Road, wait_until


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_what_waits_and_who_has_it(real_road: Road, tmp_path: Path) -> None:
    road = real_road
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    (tmp_path / "a.txt").write_text("The harbour of Nordholm opens at seven.")
    job = road.json("ingest", str(tmp_path), "--customer", CUSTOMER)["job"]
    down = stage_of(road, "admit")
    assert down["records_behind"] >= 1
    assert down["seconds_behind"] > 0
    assert {one["owner"] for one in down["partitions"]} == {None}
    road.start(*STAGES)
    report = road.wait_for_job(job)
    assert report["state"] == "baked", report

    def owned() -> bool:
        partitions = [one for stage in road.json("lag")["stages"] for one in stage["partitions"]]
        return all(one["owner"] and one["records_behind"] == 0 for one in partitions)

    wait_until(owned, seconds=60, why=lambda: str(road.json("lag")))
    up = stage_of(road, "chunk")
    assert all(one["owner"].startswith("chunk-") for one in up["partitions"])
    worked_on = [one for one in up["partitions"] if one["committed"]]
    assert worked_on
    assert all(one["owned_since"] for one in worked_on)
    assert (up["workers"], up["stuck"], up["expiring"]) == (1, 0, 0)
    assert up["rate_in"] == 0


def stage_of(road: Road, name: str) -> dict[str, Any]:
    stages: list[dict[str, Any]] = road.json("lag")["stages"]
    return next(stage for stage in stages if stage["stage"] == name)
