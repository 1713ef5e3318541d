import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from infra.local.postgres import EmbeddedPostgres
from tests.conftest import ROOT
from tests.roads.docker import base, docker_engine_host
from tests.roads.road import Road

__all__ = ["base", "docker_engine_host"]


@pytest.fixture(scope="module")
def new_home() -> Iterator[Callable[[], Path]]:
    """Makes empty CRADLE_HOMEs. Not in pytest's own folder: it is closed to the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="cradle-roads-"))
    count = iter(range(1000))

    def make() -> Path:
        home = folder / str(next(count))
        home.mkdir()
        return home

    yield make
    for versions in folder.glob("*/versions/**/"):
        versions.chmod(0o700)  # an archive's folders are closed to their owner too
    shutil.rmtree(folder)


@pytest.fixture
def real_road(
    kafka_url: str, postgres_url: str, redis_url: str, s3_url: str, new_home: Callable[[], Path]
) -> Iterator[Road]:
    """Apache Kafka of one node, PostgreSQL, Redis and an S3 server. Kafka keeps other tests' records: a stage cannot
    open them and quarantines them. A second test session waits: its stages would take this one's records."""
    urls = {
        "BROKER": kafka_url,
        "LEDGER": postgres_url,
        "PARAMETERS": postgres_url,
        "PROGRESS": redis_url,
        "STAGING": s3_url,
    }
    with (ROOT / ".services" / "road.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        road = Road(new_home(), {"CRADLE_REPLICATION": "1"} | {f"CRADLE_{port}_URL": url for port, url in urls.items()})
        yield road
        road.stop()


@pytest.fixture
def service_folders(real_road: Road, postgres_server: EmbeddedPostgres) -> Callable[[], list[Path]]:
    """Where the real services keep what they were given, Redis' memory written out anew at each call."""
    services = ROOT / ".services"
    kept = [services / "kafka" / "node", services / "s3", postgres_server.folder]
    for folder in kept:
        assert folder.is_dir(), f"{folder} is not there: the scan needs the services of `make services`"

    def folders() -> list[Path]:
        with redis.Redis.from_url(real_road.settings["CRADLE_PROGRESS_URL"]) as client:
            client.save()
            return [*kept, Path(client.config_get("dir")["dir"])]

    return folders
