"""Hostile records on Apache Kafka: no worker process dies of them, and an honest job passes behind them."""

import asyncio
from collections import Counter
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest

from cradle.flow import read_flow
from infra.broker import open_broker
from infra.keys import open_keys
from infra.paths import file_url
from tests.hostile.records import hostile_records
from tests.roads.road import CUSTOMER, STAGES, Road, wait_until

FLOW = read_flow()
TOPICS = [topic for topic, readers in FLOW.readers.items() if readers]
SEED = 7
RECORDS = 3000


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_no_worker_dies_and_an_honest_job_passes(real_road: Road, tmp_path: Path) -> None:
    road = real_road
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    (tmp_path / "a.txt").write_text("The harbour of Nordholm opens at seven.")
    first = road.json("ingest", str(tmp_path), "--customer", CUSTOMER)["job"]
    asyncio.run(throw(road, UUID(first)))
    (tmp_path / "b.txt").write_text("It closes at nine.")
    second = road.json("ingest", str(tmp_path), "--customer", CUSTOMER)["job"]
    workers = road.start(*STAGES)
    report = road.wait_for_job(second, seconds=180)
    assert report["state"] == "baked", report
    assert report["documents"] == {"total": 2, "done": 2, "failed": 0}
    wait_until(lambda: not behind(road), seconds=120, why=lambda: f"{behind(road)} left\n{road.logs()}")
    assert [worker.poll() for worker in workers] == [None] * len(STAGES), road.logs()


async def throw(road: Road, job: UUID) -> None:
    async with (
        open_keys(file_url(road.home / "keys")) as keys,
        open_broker(road.settings["CRADLE_BROKER_URL"]) as broker,
    ):
        key = await keys.fetch(str(job))
        stream = islice(hostile_records(FLOW, TOPICS, seed=SEED, job=job, key=key), RECORDS)
        kinds: Counter[str] = Counter()
        while some := [*islice(stream, 200)]:
            kinds.update(kind for kind, _ in some)
            await broker.publish([record for _, record in some])
        print(f"\n{kinds.total()} records of {len(kinds)} kinds, seed {SEED}")


def behind(road: Road) -> int:
    return sum(stage["records_behind"] for stage in road.json("lag")["stages"])
