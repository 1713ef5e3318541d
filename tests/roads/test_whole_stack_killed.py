"""Every service and every worker is killed at once, in the middle of a job and after its package: all of it goes on.

Apache Kafka, PostgreSQL, the S3 server and Redis are this test's own; staging and the archive lie on S3.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

from tests.roads.road import CUSTOMER, STAGES, Road, wait_until
from tests.roads.services import BUCKET, OwnServices, kill_with_children, own_services

pytestmark = [pytest.mark.apart, pytest.mark.kafka, pytest.mark.s3, pytest.mark.redis]

DOCUMENTS = 40
SECONDS = 240
"""Within which processes start and a job is done, on a machine that is busy."""


@dataclass
class Installation:
    services: OwnServices
    road: Road

    def kill(self) -> None:
        """Services first: a worker that sees its services go could still do something about it."""
        self.services.kill()
        for worker in self.road.workers:
            if worker.poll() is None:
                kill_with_children(worker.pid)
            worker.wait()
        self.road.workers.clear()

    def ingest(self, documents: Path, reference: str) -> str:
        words = ("ingest", str(documents), "--customer", CUSTOMER, "--reference", reference)
        return str(self.road.json(*words)["job"])

    def baked(self, job: str) -> dict[str, Any]:
        report = self.road.wait_for_job(job, seconds=SECONDS)
        assert report["state"] == "baked", f"{report}\n{self.road.logs()}"
        assert report["documents"] == {"total": DOCUMENTS, "done": DOCUMENTS, "failed": 0}
        return report

    def half_done(self, job: str) -> int:
        """Waits until some of the job's work is done and some is not. Returns how much is done at `embed`."""
        done = (
            "SELECT count(*) FILTER (WHERE stage = 'embed'), count(*) FILTER (WHERE stage = 'chunk') FROM ledger.work "
        )
        query = f"{done} WHERE job = %s AND finished_at IS NOT NULL"
        found: tuple[int, int] = (0, 0)

        def flows() -> bool:
            nonlocal found
            found = ledger.execute(query, (job,)).fetchone() or (0, 0)
            return found[1] > 0

        with psycopg.connect(self.services.settings["CRADLE_LEDGER_URL"], autocommit=True) as ledger:
            wait_until(flows, seconds=SECONDS, why=self.road.logs)
        return found[0]


@pytest.fixture
def installation(new_home: Callable[[], Path]) -> Iterator[Installation]:
    with own_services(new_home()) as services:
        archive = services.settings["CRADLE_STAGING_URL"].replace(f"{BUCKET}/staging", f"{BUCKET}/archive")
        road = Road(new_home(), {**services.settings, "CRADLE_ARCHIVE_URL": archive})
        try:
            road.run("up")
            road.run("customer", "add", CUSTOMER, "--recipient", str(pyrage.x25519.Identity.generate().to_public()))
            road.start(*STAGES)
            yield Installation(services, road)
        finally:
            road.stop()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(DOCUMENTS):
        sentences = [f"Sentence {line} of report {number}: machine {line * number} ran." for line in range(20)]
        (folder / f"report {number}.txt").write_text(" ".join(sentences))
    return folder


def test_all_of_it_goes_on_after_everything_was_killed(installation: Installation, documents: Path) -> None:
    road = installation.road
    calm = installation.baked(installation.ingest(documents, "calm"))

    job = installation.ingest(documents, "killed")
    embedded = installation.half_done(job)
    installation.kill()
    began = time.monotonic()
    installation.services.start_again()
    assert road.json("job", job)["state"] in ("open", "processing"), "it was killed in the middle"
    road.start(*STAGES)
    report = installation.baked(job)
    print(f"\nkilled after {embedded} of {DOCUMENTS} documents: baked {time.monotonic() - began:.0f} s after")
    assert (report["image"], report["merkle"]) == (calm["image"], calm["merkle"])

    packaged = road.json("package", job)
    kept = {name: (Path(packaged["folder"]) / name).read_bytes() for name in packaged["files"]}
    installation.kill()
    installation.services.start_again()
    verified = road.json("archive", "verify")
    assert (verified["whole"], verified["versions"], verified["copies"]) == (True, 1, 1)
    assert verified["compared_with_ledger"]
    [version] = road.json("versions", CUSTOMER)
    assert (version["version"], version["digest"]) == ("v1.0-init", calm["image"])
    assert road.json("job", job)["state"] == "packaged"
    again = road.json("package", job)
    assert again["again"]
    assert {name: (Path(again["folder"]) / name).read_bytes() for name in again["files"]} == kept
    assert road.json("archive", "verify")["left_over"] == []
