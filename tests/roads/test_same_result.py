"""The same folder under the same parameters gives the same image, whatever carries it and whatever dies on the way."""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from tests.roads.road import CUSTOMER, STAGES, Road, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """The examples in a folder of each test's own, so that no result can hang on where they lie."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "moved here"))


@pytest.fixture(scope="module")
def embedded(new_home: Callable[[], Path]) -> Iterator[dict[str, Any]]:
    """(a): the report of the job on the embedded stack, one process a stage. The others are held against it."""
    road = Road(new_home())
    try:
        yield report_of(road, EXAMPLES, stages=STAGES)
    finally:
        road.stop()
        road.run("down", ok=False)


def report_of(road: Road, documents: Path, *, stages: tuple[str, ...]) -> dict[str, Any]:
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    road.start(*stages)
    job = road.json("ingest", str(documents), "--customer", CUSTOMER)["job"]
    report = road.wait_for_job(job)
    assert report["state"] == "baked", f"{report}\n{road.logs()}"
    return report


def same_result(report: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    assert report["documents"]["failed"] == 0, report
    assert report["merkle"] == other["merkle"]
    return bool(report["image"] == other["image"])


def test_a_is_complete(embedded: dict[str, Any]) -> None:
    assert embedded["documents"] == {"total": 20, "done": 20, "failed": 0}
    assert set(embedded["merkle"]) == {"admit", "chunk", "embed"}
    print(f"\n(a) embedded stack      {embedded['image']}")


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_b_real_services(embedded: dict[str, Any], documents: Path, real_road: Road) -> None:
    report = report_of(real_road, documents, stages=STAGES)
    print(f"\n(b) real services       {report['image']}")
    assert same_result(report, embedded)


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_c_two_processes_a_stage(embedded: dict[str, Any], documents: Path, real_road: Road) -> None:
    report = report_of(real_road, documents, stages=STAGES * 2)
    print(f"\n(c) two processes each  {report['image']}")
    assert same_result(report, embedded)


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_d_killed_and_restarted(embedded: dict[str, Any], documents: Path, real_road: Road, postgres_url: str) -> None:
    """Every stage is killed with SIGKILL while the job is on its way, at a random moment after the stage before it has
    begun to deliver, and bake once more when the job is complete. A replacement starts at once."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    road = real_road
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    running = dict(zip(STAGES, road.start(*STAGES), strict=True))
    job = road.json("ingest", str(documents), "--customer", CUSTOMER)["job"]

    def kill(stage: str) -> None:
        moment = time.monotonic() + chance.uniform(0.0, 0.4)
        wait_until(lambda: time.monotonic() >= moment, seconds=5, why=str)
        running[stage].send_signal(signal.SIGKILL)
        running[stage].wait()
        [running[stage]] = road.start(stage)

    for before, stage in zip((None, *STAGES), STAGES, strict=False):
        wait_until(lambda before=before: has_delivered(job, before, postgres_url), seconds=90, why=road.logs)
        kill(stage)
        if stage in ("admit", "chunk", "embed"):  # the work of the last two may be over in a moment
            assert state_of(job, postgres_url) != "baked", f"seed {seed}: {stage} died too late"
    wait_until(lambda: state_of(job, postgres_url) in ("complete", "baked"), seconds=120, why=road.logs)
    kill("bake")
    report = road.wait_for_job(job, seconds=120)
    print(f"\n(d) killed, seed {seed:<10} {report['image']}")
    assert report["state"] == "baked", f"seed {seed}: {report}\n{road.logs()}"
    assert same_result(report, embedded)


def state_of(job: str, postgres_url: str) -> str:
    return str(one_value("SELECT state FROM ledger.jobs WHERE id = %s", (job,), postgres_url))


def has_delivered(job: str, stage: str | None, postgres_url: str) -> bool:
    """Whether the stage has an outcome in the job; no stage always has."""
    query = "SELECT count(*) FROM ledger.work WHERE job = %s AND stage = %s AND finished_at IS NOT NULL"
    return stage is None or bool(one_value(query, (job, stage), postgres_url))


def one_value(query: LiteralString, values: Sequence[str], postgres_url: str) -> Any:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute(query, values).fetchone()
        return row and row[0]
