"""Each dependency is stopped while documents flow: the stages wait, say for what, and go on by themselves.

One installation on servers of its own goes through the outages one after the other, each with a job of the same
documents. Redis is away together with PostgreSQL and longer: that it costs nothing shows once PostgreSQL is back.
`CRADLE_OUTAGE_SECONDS=600` for the long run.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import HeartbeatRequest

from infra.broker import Broker, open_broker
from infra.local.processes import HOST, free_port
from tests.roads.road import CUSTOMER, STAGES, Road, wait_until
from tests.roads.services import OwnServices, outage_seconds, own_services

pytestmark = pytest.mark.apart

DOCUMENTS = 60
SECONDS_TO_RECOVER = 25
"""Within which every stage has to go on once its dependency is back: at most one longest wait, and a poll."""
SECONDS_TO_WORK = 180
"""Within which processes start, and a job is done that nothing stops, on a machine that is busy."""
NAMES_IN_DOCTOR = {
    "Kafka": {"broker"},
    "PostgreSQL": {"ledger", "parameters"},
    "The object store": {"staging"},
    "Redis": {"progress"},
}
T = TypeVar("T")


@pytest.fixture
def services(new_home: Callable[[], Path]) -> Iterator[OwnServices]:
    with own_services(new_home()) as running:
        yield running


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(DOCUMENTS):
        sentences = [
            f"Sentence {line} of report {number} tells what machine {line * number} did." for line in range(24)
        ]
        (folder / f"report {number}.txt").write_text(" ".join(sentences))
    return folder


@dataclass
class Installation:
    """One worker a stage, each with its health endpoints."""

    road: Road
    ports: Mapping[str, int]

    def readiness(self) -> dict[str, dict[str, Any]]:
        """What /readyz of each stage answers."""
        return {stage: _get(f"http://{HOST}:{port}/readyz") for stage, port in self.ports.items()}

    def alive(self) -> bool:
        return all(_get(f"http://{HOST}:{port}/livez").get("alive") for port in self.ports.values())

    def waiting_for(self, name: str) -> set[str]:
        return {stage for stage, said in self.readiness().items() if name in (said.get("waiting_for") or "")}

    def logged(self) -> dict[str, list[dict[str, Any]]]:
        """What each stage has logged so far."""
        return {stage: _lines(self.road.home / f"{stage}-{place}.log") for place, stage in enumerate(self.ports)}

    def doctor(self) -> dict[str, str]:
        """What is not well, and how it is called."""
        answer = self.road.run("doctor", "--json", ok=False)
        return {found["name"]: found["problem"] for found in json.loads(answer.stdout) if not found["ok"]}


def _get(url: str) -> dict[str, Any]:
    try:
        with urlopen(url, timeout=5) as answer:
            return dict(json.load(answer))
    except HTTPError as refused:
        with refused:
            return dict(json.load(refused))
    except (URLError, TimeoutError):
        return {}


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def installation(services: OwnServices, new_home: Callable[[], Path]) -> Iterator[Installation]:
    road = Road(new_home(), services.settings)
    ports = {stage: free_port() for stage in STAGES}
    try:
        road.run("up")
        road.run("customer", "add", CUSTOMER)
        for stage, port in ports.items():
            road.settings = {**services.settings, "CRADLE_HEALTH_PORT": str(port)}
            road.start(stage)
        running = Installation(road, ports)
        wait_until(
            lambda: all(said.get("ready") for said in running.readiness().values()),
            seconds=SECONDS_TO_WORK,
            why=road.logs,
        )
        yield running
    finally:
        road.stop()
        road.run("down", ok=False)


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_each_dependency_may_go_away_while_documents_flow(
    services: OwnServices, installation: Installation, documents: Path
) -> None:
    calm = finished(installation, ingest(installation, documents, "calm"), seconds=SECONDS_TO_WORK)
    for outage in (("PostgreSQL", "Redis"), ("The object store",), ("Kafka",)):
        report = Outage(services, installation, outage).survived_by(documents)
        assert report["documents"] == {"total": DOCUMENTS, "done": DOCUMENTS, "failed": 0}
        assert report["image"] == calm["image"]
    assert installation.alive()
    assert [worker.poll() for worker in installation.road.workers] == [None] * len(STAGES), "no worker was replaced"
    assert on_broker(services, dead_letters) == {}


@dataclass
class Outage:
    """Of one dependency, or of two of which the second stays away until the job is done."""

    services: OwnServices
    installation: Installation
    names: tuple[str, ...]

    def survived_by(self, documents: Path) -> dict[str, Any]:
        """The report of a job that was on its way when it began."""
        name, servers = self.names[0], self.services.each
        job = ingest(self.installation, documents, name)
        self.wait_until_it_flows(job)
        generations = {} if name == "Kafka" else on_broker(self.services, generation_of_each_group)
        before = {stage: len(lines) for stage, lines in self.installation.logged().items()}
        for one in self.names:
            servers[one].stop()
        began = time.monotonic()
        waiting = self.is_told()
        self.lasts(began + outage_seconds())
        assert self.installation.waiting_for(name) >= waiting, "what waits goes on waiting, and says so"
        servers[name].start()
        back = time.monotonic()
        wait_until(self.all_ready, seconds=SECONDS_TO_RECOVER, why=self.installation.road.logs)
        ready = time.monotonic()
        report = finished(self.installation, job, seconds=SECONDS_TO_WORK)
        print(
            f"\n{' and '.join(self.names):20} away for {back - began:.0f} s: every stage goes on {ready - back:.1f} s "
            f"after it is back, the job is baked {time.monotonic() - back:.1f} s after"
        )
        assert self.all_ready()
        for one in self.names[1:]:
            assert NAMES_IN_DOCTOR[one] <= self.installation.doctor().keys(), "it was away until now"
            servers[one].start()
        if name != "Kafka":
            assert on_broker(self.services, generation_of_each_group) == generations, "no group was shared out anew"
        self.was_logged_once(before, waiting)
        assert self.installation.doctor() == {}
        return report

    def wait_until_it_flows(self, job: str) -> None:
        """Some of its messages are through `chunk`, and none of them can be far beyond."""
        query = "SELECT count(*) FROM ledger.work WHERE job = %s AND stage = 'chunk' AND finished_at IS NOT NULL"
        with psycopg.connect(self.services.settings["CRADLE_LEDGER_URL"], autocommit=True) as ledger:
            wait_until(
                lambda: (ledger.execute(query, (job,)).fetchone() or (0,))[0] > 0,
                seconds=SECONDS_TO_WORK,
                why=self.installation.road.logs,
            )

    def all_ready(self) -> bool:
        return all(said.get("ready") for said in self.installation.readiness().values())

    def is_told(self) -> set[str]:
        """Waits until a stage and the doctor name it; returns the stages that do."""
        name = self.names[0]
        wait_until(lambda: bool(self.installation.waiting_for(name)), seconds=30, why=self.installation.road.logs)
        found = self.installation.doctor()
        waiting = self.installation.waiting_for(name)
        assert waiting
        for one in self.names:
            assert NAMES_IN_DOCTOR[one] <= found.keys(), found
        assert {f"stage {stage}" for stage in waiting} & found.keys(), found
        assert any(name in problem for problem in found.values())
        return waiting

    def lasts(self, end: float) -> None:
        """Until `end`, and for as long every worker is alive."""
        wait_until(lambda: time.monotonic() >= end, seconds=3600, why=str)
        assert self.installation.alive()

    def was_logged_once(self, before: Mapping[str, int], waiting: set[str]) -> None:
        for stage, lines in self.installation.logged().items():
            new = lines[before[stage] :]
            told = Counter(line["event"] for line in new if self.names[0] in line.get("what", ""))
            assert told in ({"waiting": 1, "no longer waiting": 1}, {}), f"{stage}: {new}"
            assert told or stage not in waiting, f"{stage}: {new}"
            louder = [line for line in new if line["level"] not in ("info", "debug")]
            assert len(louder) <= 1 + len(self.names), f"{stage}: {louder}"


def ingest(installation: Installation, documents: Path, reference: str) -> str:
    words = ("ingest", str(documents), "--customer", CUSTOMER, "--reference", reference)
    return str(installation.road.json(*words)["job"])


def finished(installation: Installation, job: str, *, seconds: float) -> dict[str, Any]:
    report = installation.road.wait_for_job(job, seconds=seconds)
    assert report["state"] == "baked", f"{report}\n{installation.road.logs()}"
    return report


def on_broker(services: OwnServices, ask: Callable[[Broker, str], Awaitable[T]]) -> T:
    url = services.settings["CRADLE_BROKER_URL"]

    async def asked() -> T:
        async with open_broker(url) as broker:
            return await ask(broker, url.removeprefix("kafka://"))

    return asyncio.run(asked())


async def dead_letters(broker: Broker, servers: str) -> dict[str, int]:
    """How many there are, by topic."""
    topics = [topic for topic in await broker.topics() if topic.endswith(".dlq")]
    assert topics
    counts = {topic: len(await broker.read(topic)) for topic in topics}
    return {topic: count for topic, count in counts.items() if count}


async def generation_of_each_group(broker: Broker, servers: str) -> dict[str, tuple[str, int]]:
    """Its one member, and how often its partitions were shared out.

    Kafka tells that number to nobody, but refuses a member's heartbeat that names another.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return {stage: await _generation(admin, stage) for stage in STAGES}
    finally:
        await admin.close()


async def _generation(admin: AIOKafkaAdminClient, group: str) -> tuple[str, int]:
    [described] = await admin.describe_consumer_groups([group])
    [(_, _, _, _, _, members)] = [one[:6] for one in described.groups]
    [member] = [found[0] for found in members]
    coordinator = await admin.find_coordinator(group)
    for generation in range(1, 100):
        answer = await admin._send_request(HeartbeatRequest(group, generation, member), coordinator)
        if answer.error_code == 0:
            return member, generation
    raise AssertionError(f"no generation of {group} is taken")
