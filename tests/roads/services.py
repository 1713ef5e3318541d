"""Real servers of a test's own, each of which it may stop and start again. The shared ones are left alone."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil

from infra.local import services
from infra.local.postgres import EmbeddedPostgres
from tests.conftest import ROOT, require

BUCKET = "outages"


@dataclass(frozen=True)
class Service:
    start: Callable[[], object]
    stop: Callable[[], object]


class OwnServices:
    """Apache Kafka, an S3 server, Redis and PostgreSQL in a folder; their programs are those of `make services`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "services"
        (self._root / "kafka").mkdir(parents=True)
        (self._root / "kafka" / "libs").symlink_to(require("KAFKA_LIBS"))
        (self._root / "bin").symlink_to(ROOT / ".services" / "bin")
        self._postgres = EmbeddedPostgres(folder / "postgres", {"fsync": "off"})
        self._known: dict[str, str] = {}

    def start(self) -> None:
        for start in services.STARTS.values():
            self._known |= start(self._root, self._known)
        self._postgres.start()
        self._postgres.create_database()
        client = boto3.client("s3", endpoint_url=self._known["CRADLE_TEST_S3"], **self._credentials)
        client.create_bucket(Bucket=BUCKET)
        client.close()

    def stop(self) -> None:
        for service in self.each.values():
            service.stop()

    def kill(self) -> None:
        """SIGKILL to all of them, as a power cut would end them; what the disk was given, it has."""
        kafka, known = services.kafka_node(self._root), self._known
        kafka.kill()
        services.redis_server(self._root, known).kill()
        services.s3_server(self._root, known).kill()
        kill_with_children(int(next(self._postgres.folder.rglob("postmaster.pid")).read_text().split()[0]))

    def start_again(self) -> None:
        for service in self.each.values():
            service.start()

    @property
    def each(self) -> Mapping[str, Service]:
        kafka, known = services.kafka_node(self._root), self._known
        redis, s3 = services.redis_server(self._root, known), services.s3_server(self._root, known)
        return {
            "Kafka": Service(kafka.start, kafka.stop),
            "PostgreSQL": Service(self._postgres.start, self._postgres.stop),
            "The object store": Service(s3.start, s3.stop),
            "Redis": Service(redis.start, redis.stop),
        }

    @property
    def settings(self) -> dict[str, str]:
        """Of an installation on them."""
        return {
            "CRADLE_BROKER_URL": f"kafka://{self._known['CRADLE_TEST_KAFKA']}",
            "CRADLE_LEDGER_URL": self._postgres.url(),
            "CRADLE_PARAMETERS_URL": self._postgres.url(),
            "CRADLE_PROGRESS_URL": f"redis://{self._known['CRADLE_TEST_REDIS']}/0",
            "CRADLE_STAGING_URL": f"s3://{BUCKET}/staging?endpoint={self._known['CRADLE_TEST_S3']}&region=us-east-1",
            "CRADLE_REPLICATION": "1",
            "AWS_ACCESS_KEY_ID": self._credentials["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._credentials["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def _credentials(self) -> dict[str, str]:
        return {
            "aws_access_key_id": self._known["CRADLE_TEST_S3_ACCESS_KEY"],
            "aws_secret_access_key": self._known["CRADLE_TEST_S3_SECRET"],
            "region_name": "us-east-1",
        }


def kill_with_children(pid: int) -> None:
    """Returns once none of them runs any more."""
    process = psutil.Process(pid)
    family = [*process.children(recursive=True), process]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=20)


@contextmanager
def own_services(folder: Path) -> Iterator[OwnServices]:
    require("S3")
    require("REDIS")
    running = OwnServices(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def outage_seconds() -> float:
    """How long a test keeps a service away: CRADLE_OUTAGE_SECONDS, else a minute in CI and a moment elsewhere."""
    return float(os.environ.get("CRADLE_OUTAGE_SECONDS") or (60 if os.environ.get("CI") == "true" else 8))
