"""A rolling upgrade: workers of two releases side by side, with messages of both in flight, lose nothing.

The next release is a copy of the packages in which three messages have gained an optional field. It is in no Merkle
leaf, so the job that both releases worked on has the roots of the one that the old release did alone.
"""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from builders.image import data_layers
from builders.oci.read import open_image
from infra.broker import Broker, OutgoingRecord, open_broker
from infra.ledger import JobState, Ledger, open_ledger
from infra.paths import CustomerPaths, file_url
from schemas import envelope
from schemas.errors import Permanent
from schemas.ids import job_id
from schemas.messages import TYPES, ChunksMade, DocumentAdmitted, EmbeddingsMade, Message
from tests.conftest import ROOT
from tests.roads.road import CUSTOMER, STAGES, Road

ONE, TWO = (f"{releases} releases {uuid4()}" for releases in (1, 2))
"""The references of the jobs. Kafka keeps the records of earlier runs, so they are new each time."""
BEFORE, DURING, AFTER = range(12), range(12, 48), range(48, 60)
TOTAL = 60
PACKAGES = ("appliance", "builders", "consumers", "cradle", "engines", "infra", "operations", "producers", "schemas")
FIELD = "\n    release: str | None = None\n    "
NEW = 'release="new", '
CHANGES = {
    "schemas/messages/documents.py": (
        'under the job\'s key."""\n',
        'under the job\'s key."""\n' + FIELD.rstrip() + "\n",
    ),
    "schemas/messages/chunks.py": ("    language: str | None = None\n", FIELD + "language: str | None = None\n"),
    "schemas/messages/embeddings.py": ("    chunks: ChunksMade\n", "    chunks: ChunksMade\n" + FIELD.rstrip() + "\n"),
    "consumers/admit/core.py": ("DocumentAdmitted(document", f"DocumentAdmitted({NEW}document"),
    "consumers/chunk/core.py": ("yield ChunksMade(", f"yield ChunksMade({NEW}"),
    "consumers/embed/core.py": ("return EmbeddingsMade(", f"return EmbeddingsMade({NEW}"),
}
"""What the next release writes otherwise, by file: a piece of its text and what stands there now."""
HOPS: dict[str, type[Message]] = {"chunk-ready": DocumentAdmitted, "chunked": ChunksMade, "embedded": EmbeddingsMade}


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, which goes into PYTHONPATH."""
    folder = tmp_path_factory.mktemp("next-release")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "topics.yaml", folder)
    for name, (before, now) in CHANGES.items():
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name} does not have {before!r} once"
        (folder / name).write_text(text.replace(before, now), encoding="utf-8")
    return folder


def test_the_next_release_is_a_compatible_one(next_release: Path) -> None:
    """By the rule that every release is held to."""
    done = subprocess.run(
        [sys.executable, "-m", "schemas.json_schemas"], cwd=next_release, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for model in HOPS.values():
        revisions = sorted((next_release / "schemas" / "json" / model.TYPE).glob("*.json"))
        assert len(revisions) == 1 + len([*(ROOT / "schemas" / "json" / model.TYPE).glob("*.json")])
        assert "release" in json.loads(revisions[-1].read_text())["properties"]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(TOTAL):
        sentences = [f"Sentence {count} of document {number} is no other's. " for count in range(1 + number % 7 * 20)]
        (folder / f"{number}.txt").write_text("".join(sentences))
    return folder


class Upgrade:
    """One installation, the workers of both releases, and the jobs submitted to them."""

    def __init__(self, road: Road, documents: Path, next_release: Path) -> None:
        self.road = road
        self._documents = documents
        self._next_release = next_release

    @contextmanager
    def next(self) -> Iterator[None]:
        """What is started within is of the next release."""
        old = self.road.settings
        self.road.settings = {**old, "PYTHONPATH": str(self._next_release)}
        try:
            yield
        finally:
            self.road.settings = old

    def submit(self, reference: str, numbers: Sequence[int], *, manifest: bool = False) -> None:
        """As a foreign client: an event a document, under keys that spread them over the partitions of `ingest`."""
        events: list[tuple[str, dict[str, Any]]] = [
            (str(n), {"documents": [{"path": f"{n}.txt", "uri": file_url(self._documents / f"{n}.txt")}]})
            for n in numbers
        ]
        if manifest:
            events.append(("", {"manifest": {"documents": TOTAL}}))
        named = {"customer": CUSTOMER, "reference": reference}
        records = [
            OutgoingRecord("ingest", key.encode(), json.dumps(named | event).encode(), []) for key, event in events
        ]

        async def publish() -> None:
            async with open_broker(self.road.settings["CRADLE_BROKER_URL"]) as broker:
                await broker.publish(records)

        asyncio.run(publish())

    def wait_until_at(self, reference: str, stages: Mapping[str, int]) -> None:
        """Until so many of the job's documents have open work at each stage, and nowhere else."""

        async def are_there(ledger: Ledger, _: Broker) -> bool:
            found = {one.stage: one.open_documents for one in await ledger.running() if one.job == job(reference)}
            return found == stages

        self._wait(are_there)

    def wait_until_finished(self, reference: str, documents: int) -> None:
        async def are_finished(ledger: Ledger, _: Broker) -> bool:
            view = await ledger.job(job(reference))
            return view.done + view.failed == documents

        self._wait(are_finished)

    def wait_until_shared(self) -> None:
        """Until two workers of each stage have partitions."""

        async def are_shared(_: Ledger, broker: Broker) -> bool:
            members = [await broker.members(stage) for stage in STAGES]
            return all(len(each) == 2 and all(one.partitions for one in each) for each in members)

        self._wait(are_shared)

    def report(self, reference: str) -> dict[str, Any]:
        """Once the job is baked."""

        async def is_settled(ledger: Ledger, _: Broker) -> bool:
            try:
                return (await ledger.job(job(reference))).state in (JobState.BAKED, JobState.FAILED)
            except Permanent:  # not known yet
                return False

        self._wait(is_settled)
        report: dict[str, Any] = self.road.json("job", str(job(reference)))
        assert report["state"] == "baked", f"{report}\n{self.road.logs()}"
        return report

    def _wait(self, condition: Callable[[Ledger, Broker], Awaitable[bool]]) -> None:
        """Asks from this process: a command each time would take more of the machine than the stages do."""

        async def wait() -> None:
            urls = self.road.settings
            async with (
                open_ledger(urls["CRADLE_LEDGER_URL"]) as ledger,
                open_broker(urls["CRADLE_BROKER_URL"]) as broker,
            ):
                while not await condition(ledger, broker):
                    assert time.monotonic() < deadline, f"{await ledger.running()}\n{self.road.logs()[-20000:]}"
                    await asyncio.sleep(0.1)

        deadline = time.monotonic() + 180
        asyncio.run(wait())

    def stop(self, workers: Sequence[subprocess.Popen[bytes]]) -> None:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            assert worker.wait(20) == 0, self.road.logs()
            self.road.workers.remove(worker)


def job(reference: str) -> UUID:
    return job_id(CUSTOMER, reference)


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
def test_two_releases_side_by_side_lose_nothing(
    real_road: Road, documents: Path, next_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade, road = Upgrade(real_road, documents, next_release), real_road
    (tmp_path / "parameters.yaml").write_text("embedding_config: {model: fake}\n")
    road.run("up")
    parameters = str(tmp_path / "parameters.yaml")
    road.run("customer", "add", CUSTOMER, "--root", f"{file_url(documents)}/", "--parameters", parameters)

    # -- the old release alone: what the result has to be
    old = dict(zip(STAGES, road.start(*STAGES), strict=True))
    upgrade.submit(ONE, range(TOTAL), manifest=True)
    expected = upgrade.report(ONE)
    assert expected["documents"] == {"total": TOTAL, "done": TOTAL, "failed": 0}, expected

    # -- messages of the old schema wait for a stage that is being upgraded
    upgrade.stop([old.pop("embed")])
    upgrade.submit(TWO, BEFORE)
    upgrade.wait_until_at(TWO, {"embed": len(BEFORE)})

    # -- the next release beside the old one, from the end of the flow to its beginning
    with upgrade.next():
        road.start(*reversed(STAGES))
    [old["embed"]] = road.start("embed")
    upgrade.wait_until_shared()
    upgrade.submit(TWO, DURING)
    upgrade.wait_until_finished(TWO, len(BEFORE) + len(DURING))

    # -- the old one goes while the last documents come
    upgrade.submit(TWO, AFTER, manifest=True)
    upgrade.stop([*old.values()])
    found = upgrade.report(TWO)

    assert found["documents"] == {"total": TOTAL, "done": TOTAL, "failed": 0}
    assert found["chunks"] == expected["chunks"] > TOTAL
    assert found["merkle"] == expected["merkle"]
    assert found["image"] == expected["image"]
    assert sorted(baked_paths(road.home, TWO)) == sorted(f"{n}.txt" for n in range(TOTAL))
    assert road.json("dlq", "list", "--job", str(job(TWO))) == []
    each_has_read_the_others(releases(road, TWO, monkeypatch))


def baked_paths(home: Path, reference: str) -> list[str]:
    layout = CustomerPaths(home, CUSTOMER).image(job(reference), 1)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(data_layers(open_image(layout))[0][0].read())
    paths = [path for (path,) in connection.execute("SELECT path FROM documents")]
    connection.close()
    return paths


def releases(road: Road, reference: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, set[str | None]]]:
    """By topic and document, which releases wrote the records; None: the old one, which knows no such field."""
    for model in HOPS.values():
        monkeypatch.setitem(TYPES, model.TYPE, with_release(model))
    key = (road.home / "keys" / f"{job(reference)}.key").read_bytes()
    found: dict[str, dict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))

    async def read() -> None:
        async with open_broker(road.settings["CRADLE_BROKER_URL"]) as broker:
            for topic in HOPS:
                async for record in broker.scan(topic):
                    if dict(record.headers).get("ce_subject") == str(job(reference)).encode():
                        document = envelope.address(record.headers).document
                        message: Any = envelope.open_sealed(record.headers, record.value, key=key)
                        found[topic][document or ""].add(message.release)

    asyncio.run(read())
    return found


def with_release(model: type[Message]) -> type[Message]:
    """The message as the next release knows it."""
    fields = {"__annotations__": {"release": str | None}, "__module__": __name__, "release": None}
    return type(model.__name__, (model,), fields)


def each_has_read_the_others(found: Mapping[str, Mapping[str, set[str | None]]]) -> None:
    """At each hop both releases wrote, and each went on from what the other had written."""
    for topic in HOPS:
        assert set().union(*found[topic].values()) == {None, "new"}, topic
        assert len(found[topic]) == TOTAL
    for before, after in (("chunk-ready", "chunked"), ("chunked", "embedded")):
        steps = {(was, now) for d in found[before] for was in found[before][d] for now in found[after][d]}
        assert steps >= {(None, "new"), ("new", None)}, (before, after)
