"""Work that was lost in each of three ways is found and done again: a topic truncated, a broker's disk lost, the
ledger restored to an earlier moment. Each time the image is that of a calm run, to the byte.

Apache Kafka and the database are this test's own.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from cradle.flow import read_flow
from infra.broker import Broker, PartitionLag, open_broker
from infra.local.kafka import KafkaNode
from infra.local.postgres import EmbeddedPostgres, _program
from tests.conftest import ROOT, require
from tests.roads.road import CUSTOMER, STAGES, Road, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apart]
T = TypeVar("T")

DOCUMENTS = 12
SECONDS = 240
"""Within which processes start and a job is done, on a machine that is busy."""


@pytest.fixture(scope="module")
def kafka(new_home: Callable[[], Path]) -> Iterator[KafkaNode]:
    node = KafkaNode(new_home() / "kafka", Path(require("KAFKA_LIBS")))
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="module")
def road(kafka: KafkaNode, postgres_server: EmbeddedPostgres, new_home: Callable[[], Path]) -> Iterator[Road]:
    postgres_server.create_database("reconciled")
    ledger = postgres_server.url("reconciled")
    home = new_home()
    settings = {
        "CRADLE_BROKER_URL": kafka.url,
        "CRADLE_LEDGER_URL": ledger,
        "CRADLE_PARAMETERS_URL": ledger,
        "CRADLE_PROGRESS_URL": "memory:",
        "CRADLE_REPLICATION": "1",
    }
    road = Road(home, settings)
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    yield road
    road.stop()


@pytest.fixture(scope="module")
def documents(new_home: Callable[[], Path]) -> Path:
    folder = new_home()
    for number in range(DOCUMENTS - 1):
        sentences = [f"Sentence {line} of report {number}: machine {line * number} ran." for line in range(20)]
        (folder / f"report {number}.txt").write_text(" ".join(sentences))
    with zipfile.ZipFile(folder / "bundle.zip", "w") as bundle:  # a member is a document too
        bundle.writestr("inside.txt", "The pump in hall 7 is serviced in March and in September.")
    return folder


@pytest.fixture(scope="module")
def calm(road: Road, documents: Path) -> dict[str, Any]:
    """The report of a job that nothing happened to."""
    road.start(*STAGES)
    report = baked(road, ingest(road, documents, "calm"))
    road.stop()
    return report


def ingest(road: Road, documents: Path, reference: str) -> str:
    return str(road.json("ingest", str(documents), "--customer", CUSTOMER, "--reference", reference)["job"])


def half_done(road: Road, documents: Path, reference: str) -> str:
    """A job of which everything is chunked, and a part embedded."""
    job = ingest(road, documents, reference)
    road.start("admit", "chunk")
    wait_until(lambda: finished(road, job, "chunk") >= DOCUMENTS, seconds=SECONDS, why=road.logs)
    road.stop()
    road.start("embed")
    wait_until(lambda: finished(road, job, "embed") > 0, seconds=SECONDS, why=road.logs)
    road.stop()
    return job


def finished(road: Road, job: str, stage: str) -> int:
    query = "SELECT count(*) FROM ledger.work WHERE job = %s AND stage = %s AND finished_at IS NOT NULL"
    with psycopg.connect(road.settings["CRADLE_LEDGER_URL"]) as connection:
        [count] = connection.execute(query, (job, stage)).fetchone() or (0,)
    return int(count)


def baked_as(calm: dict[str, Any], road: Road, *jobs: str) -> None:
    """Lets every stage run until the jobs are baked, and holds them against the calm run."""
    road.start(*STAGES)
    for job in jobs:
        report = baked(road, job)
        assert report["documents"] == calm["documents"]
        assert (report["merkle"], report["image"]) == (calm["merkle"], calm["image"])
    road.stop()


def truncate(kafka: KafkaNode, *topics: str) -> None:
    """Deletes all that the topics hold."""

    async def run() -> None:
        async with open_broker(kafka.url) as broker:
            spans = {topic: await broker.ranges(topic) for topic in topics}
        places = {TopicPartition(topic, number): span.end for topic in topics for number, span in spans[topic].items()}
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        await admin.delete_records({place: RecordsToDelete(end) for place, end in places.items()})
        await admin.close()

    asyncio.run(run())


def test_a_truncated_topic(calm: dict[str, Any], road: Road, kafka: KafkaNode, documents: Path) -> None:
    job = half_done(road, documents, "truncated")
    assert road.json("reconcile")["jobs"] == [], "all that is open has its record"

    truncate(kafka, "ingest", "chunk-ready", "chunked", "embedded")
    told = road.json("reconcile", "--dry-run")
    assert road.json("reconcile", "--dry-run") == told, "a dry run changes nothing"
    [lost] = told["jobs"]
    assert lost["job"] == job and len(lost["admitted_again"]) == DOCUMENTS
    assert road.json("reconcile", job) == told | {"dry_run": False}
    assert road.json("reconcile")["jobs"] == [], "what was sent again is not lost"

    truncate(kafka, "ingest")  # and that was lost as well
    [lost] = road.json("reconcile")["jobs"]
    assert len(lost["admitted_again"]) == DOCUMENTS
    baked_as(calm, road, job)
    assert road.json("reconcile")["jobs"] == []


def test_a_brokers_disk_lost(calm: dict[str, Any], road: Road, kafka: KafkaNode, documents: Path) -> None:
    job = half_done(road, documents, "disk lost")
    kafka.stop()
    shutil.rmtree(kafka.folder / "data")
    kafka.start()
    road.run("topics", "apply")
    road.start("pack")  # reconciling may meet stages that run
    [lost] = road.json("reconcile")["jobs"]
    assert lost["job"] == job and len(lost["admitted_again"]) == DOCUMENTS
    baked_as(calm, road, job)


def test_a_ledger_restored(calm: dict[str, Any], road: Road, documents: Path, tmp_path: Path) -> None:
    """The drill of docs/operating.md. Of three jobs the backup knows one as complete, one as half done, and one not."""
    backup = tmp_path / "ledger.dump"
    complete = ingest(road, documents, "complete")
    road.start("admit", "chunk", "embed", "pack")
    wait_until(lambda: state(road, complete) == "complete" and announced(road), seconds=SECONDS, why=road.logs)
    road.stop()
    half = half_done(road, documents, "half")
    perform("backup", road, backup)
    later = ingest(road, documents, "later")
    baked_as(calm, road, complete, half, later)

    perform("restore", road, backup)
    assert (state(road, complete), state(road, half)) == ("complete", "processing")
    baked_as(calm, road, complete, half, later)
    assert road.json("reconcile") == {"dry_run": False, "jobs": [], "events": {}, "unknown": []}


def test_read_again_from_the_beginning(calm: dict[str, Any], road: Road, documents: Path) -> None:
    """`cradle offsets reset` is harmless: what has an outcome is skipped."""
    before = (ends(road), counts(road))
    road.start("chunk")
    wait_until(lambda: owned(road, "chunk"), seconds=SECONDS, why=road.logs)
    refused = road.run("offsets", "reset", "chunk", "--to", "earliest", ok=False)
    assert refused.returncode == 1 and "has consumers" in refused.stderr
    road.stop()
    for stage in STAGES:
        moved = road.json("offsets", "reset", stage, "--to", "earliest")["partitions"]
        back = sum(one["before"] - one["after"] for one in moved)
        assert back > 0 if stage != "ocr" else back == 0  # no document of this job is a scan
    road.start(*STAGES)
    wait_until(lambda: behind(road) == 0, seconds=SECONDS, why=road.logs)
    road.stop()
    assert (ends(road), counts(road)) == before, "nothing was published, nothing recorded"


def baked(road: Road, job: str) -> dict[str, Any]:
    """The job's report once it is baked."""
    wait_until(lambda: state(road, job) in ("baked", "failed"), seconds=SECONDS, why=road.logs)
    report: dict[str, Any] = road.json("job", job)
    assert report["state"] == "baked", f"{report}\n{road.logs()}"
    return report


def state(road: Road, job: str) -> str:
    with psycopg.connect(road.settings["CRADLE_LEDGER_URL"]) as connection:
        [found] = connection.execute("SELECT state FROM ledger.jobs WHERE id = %s", (job,)).fetchone() or ("unknown",)
    return str(found)


def announced(road: Road) -> bool:
    with psycopg.connect(road.settings["CRADLE_LEDGER_URL"]) as connection:
        return connection.execute("SELECT FROM ledger.outbox").fetchone() is None


def ask(road: Road, question: Callable[[Broker], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_broker(road.settings["CRADLE_BROKER_URL"]) as broker:
            return await question(broker)

    return asyncio.run(run())


async def lags(broker: Broker) -> list[PartitionLag]:
    return [lag for stage in STAGES for lag in await broker.lag(stage, read_flow().stages[stage].reads)]


def ends(road: Road) -> list[int]:
    return [lag.end for lag in ask(road, lags)]


def behind(road: Road) -> int:
    return sum(lag.records_behind for lag in ask(road, lags))


def owned(road: Road, stage: str) -> bool:
    return any(member.partitions for member in ask(road, lambda broker: broker.members(stage)))


def counts(road: Road) -> list[Any]:
    query = (
        "SELECT job, stage, count(*), count(finished_at), max(finished_at) FROM ledger.work GROUP BY 1, 2 ORDER BY 1, 2"
    )
    with psycopg.connect(road.settings["CRADLE_LEDGER_URL"]) as connection:
        return connection.execute(query).fetchall()


def perform(name: str, road: Road, backup: Path) -> None:
    """Runs the commands of that block of docs/operating.md."""
    text = (ROOT / "docs" / "operating.md").read_text()
    [script] = re.findall(rf"```sh {name}\n(.*?)```", text, re.DOTALL)
    programs = [str(_program("pg_dump").parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=road.environment | {"BACKUP": str(backup), "PATH": os.pathsep.join(programs)},
        cwd=road.home,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
