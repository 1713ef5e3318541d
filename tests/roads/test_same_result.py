"""The same folder under the same parameters gives the same image, whatever carries it and whatever dies on the way."""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.roads.road import CUSTOMER, STAGES, Road, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own, so that no result can hang on where the documents lie."""
    return Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("elsewhere") / "documents"))


@pytest.fixture(scope="module")
def embedded(documents: Path, new_home: Callable[[], Path]) -> Iterator[dict[str, Any]]:
    """(a): the report of the job on the embedded stack, one process a stage. The others are held against it."""
    road = Road(new_home())
    try:
        yield report_of(road, documents, stages=STAGES)
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
    assert embedded["documents"] == {"total": 18, "done": 18, "failed": 0}
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
def test_d_killed_and_restarted(embedded: dict[str, Any], documents: Path, real_road: Road) -> None:
    """Every stage is killed once with SIGKILL, each when the one before it has begun to deliver, in a random order of
    moments; its replacement starts at once."""
    chance = random.Random()
    seed = chance.randrange(2**32)
    chance.seed(seed)
    road = real_road
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    victims = dict(zip(STAGES, road.start(*STAGES), strict=True))
    job = road.json("ingest", str(documents), "--customer", CUSTOMER)["job"]
    for stage in STAGES:
        moment = time.monotonic() + chance.uniform(0.0, 1.5)
        wait_until(lambda moment=moment: time.monotonic() >= moment, seconds=5, why=str)
        victims[stage].send_signal(signal.SIGKILL)
        victims[stage].wait()
        road.start(stage)
    report = road.wait_for_job(job, seconds=180)
    print(f"\n(d) killed, seed {seed:<10} {report['image']}")
    assert report["state"] == "baked", f"seed {seed}: {report}\n{road.logs()}"
    assert same_result(report, embedded)
