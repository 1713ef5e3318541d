"""Poison arithmetic: of 1,000 documents 37 cannot pass, in five ways. Those and no others are given up, each within
three deliveries, and the rest is baked. Once the causes are mended, all 1,000 are in the job's next generation."""

import asyncio
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from builders.image import data_layers
from builders.oci.read import open_image
from infra.broker import OutgoingRecord, open_broker
from infra.local.kafka import KafkaNode
from infra.paths import CustomerPaths, file_url
from schemas.ids import document_id, job_id
from tests.roads.road import CUSTOMER, Road, wait_until

pytestmark = pytest.mark.apart

TOTAL = 1000
POISONED = {"absent": 9, "elsewhere": 9, "unstaged": 9, "faulty": 8, "killer": 2}
CODES = {
    "absent": ("admit", "source.missing"),  # its file is not there yet
    "elsewhere": ("admit", "source.root"),  # its root is not allowed yet
    "unstaged": ("chunk", "staging.missing"),  # somebody took its sealed bytes out of the store
    "faulty": ("chunk", "delivery.unexpected"),  # the stage raises what nobody foresaw
    "killer": ("embed", "delivery.killer"),  # the engine takes the process along
}
REFERENCE = "poison"
JOB = job_id(CUSTOMER, REFERENCE)

ILLNESS = """
# Python imports this in every process that finds it first: stages that are ill until the file `healed` is there.
import os, signal, sys
from pathlib import Path

ill = Path(__file__).parent

def handed(name):
    with (ill / "handed").open("a") as log:
        log.write(name + "\\n")
    return not (ill / "healed").exists()

if "cradle" in sys.orig_argv:
    import consumers.chunk.handle
    from engines.embedding.fake import FakeEngine

    chunk, embed = consumers.chunk.handle.chunk, FakeEngine.embed

    def faulty(document, *others):
        if document.path.startswith("faulty/") and handed(document.path):
            raise ZeroDivisionError(document.path)
        return chunk(document, *others)

    def deadly(self, texts):
        if any([handed(text.split()[0]) for text in texts if text.startswith("killer/")]):
            os.kill(os.getpid(), signal.SIGSEGV)
        return embed(self, texts)

    consumers.chunk.handle.chunk, FakeEngine.embed = faulty, deadly
"""


@pytest.fixture
def road(kafka_node: KafkaNode, postgres_url: str, redis_url: str, new_home: Callable[[], Path]) -> Iterator[Road]:
    """Apache Kafka of its own, so that its dead letters are this test's."""
    kafka_node.start()
    urls = {"BROKER": kafka_node.url, "LEDGER": postgres_url, "PARAMETERS": postgres_url, "PROGRESS": redis_url}
    settings = {f"CRADLE_{port}_URL": url for port, url in urls.items()}
    road = Road(new_home(), settings | {"CRADLE_REPLICATION": "1", "CRADLE_RESTARTS": "50"})
    yield road
    road.stop()


class Documents:
    """A thousand small texts in a folder, of which some are poisoned by their names: `<way>/<number>.txt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.poisoned = [f"{way}/{number}.txt" for way, count in POISONED.items() for number in range(count)]
        sound = [f"sound/{number}.txt" for number in range(TOTAL - len(self.poisoned))]
        spread = TOTAL // len(self.poisoned)
        self.paths = [*sound]
        for position, path in enumerate(self.poisoned):
            self.paths.insert(position * spread, path)
        for path in self.paths:
            if not path.startswith("absent/"):
                self.write(path)

    def write(self, path: str) -> None:
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.content(path))

    def content(self, path: str) -> bytes:
        return f"{path} is the whole text of this document, and it is short.".encode()

    def of(self, way: str) -> list[str]:
        return [path for path in self.poisoned if path.startswith(f"{way}/")]

    def root(self, name: str) -> str:
        return file_url(self.folder / name)

    async def submit(self, broker_url: str) -> None:
        """As a foreign client does: a hundred references an event, then the manifest."""
        references = [{"path": path, "uri": file_url(self._file(path))} for path in self.paths]
        events: list[dict[str, Any]] = [{"documents": references[at : at + 100]} for at in range(0, TOTAL, 100)]
        events.append({"manifest": {"documents": TOTAL}})
        records = [
            OutgoingRecord("ingest", b"", json.dumps({"customer": CUSTOMER, "reference": REFERENCE} | one).encode(), [])
            for one in events
        ]
        async with open_broker(broker_url) as broker:
            await broker.publish(records)

    def _file(self, path: str) -> Path:
        return self.folder / ("other" if path.startswith("elsewhere/") else "allowed") / path


class Taken:
    """The sealed bytes of some documents, moved out of the staging store."""

    def __init__(self, road: Road, documents: Documents, paths: Sequence[str]) -> None:
        key = (road.home / "keys" / f"{JOB}.key").read_bytes()
        ids = [document_id(key, path, hashlib.sha256(documents.content(path)).hexdigest()) for path in paths]
        self._objects = [road.home / "staging" / "jobs" / str(JOB) / "raw" / id_ for id_ in ids]
        for staged in self._objects:
            staged.rename(staged.with_suffix(".taken"))

    def put_back(self) -> None:
        for staged in self._objects:
            staged.with_suffix(".taken").rename(staged)


def baked_paths(home: Path, generation: int) -> list[str]:
    """Which documents are in the image of that generation."""
    layout = CustomerPaths(home, CUSTOMER).image(JOB, generation)
    database = data_layers(open_image(layout))[0][0].read()
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database)
    paths = [path for (path,) in connection.execute("SELECT path FROM documents")]
    connection.close()
    return paths


@pytest.mark.kafka
@pytest.mark.redis
def test_37_of_1000_are_given_up_and_come_back(road: Road, kafka_node: KafkaNode, tmp_path: Path) -> None:
    documents, ill = Documents(tmp_path / "documents"), tmp_path / "ill"
    ill.mkdir()
    (ill / "sitecustomize.py").write_text(ILLNESS)
    (tmp_path / "parameters.yaml").write_text("embedding_config: {model: fake}\n")
    road.run("up")
    road.run("customer", "add", CUSTOMER, "--root", documents.root("allowed"), "--window", "100000")
    road.run("customer", "add", CUSTOMER, "--parameters", str(tmp_path / "parameters.yaml"))

    # -- admitted, and then nine of the sealed documents go astray
    road.start("admit")
    asyncio.run(documents.submit(kafka_node.url))
    wait_until(lambda: report(road)["documents"]["total"] == TOTAL, seconds=120, why=road.logs)
    road.stop()
    taken = Taken(road, documents, documents.of("unstaged"))

    # -- the rest of the way, with stages that are ill
    well, road.settings = road.settings, {**road.settings, "PYTHONPATH": str(ill)}
    road.start("--all")
    road.settings = well
    first = generation(road, 1)
    assert first["documents"] == {"total": TOTAL, "done": TOTAL - 37, "failed": 37}
    assert sorted(baked_paths(road.home, 1)) == sorted(set(documents.paths) - set(documents.poisoned))
    assert {one["path"]: (one["stage"], one["code"]) for one in first["failures"]} == {
        path: CODES[path.partition("/")[0]] for path in documents.poisoned
    }
    letters = road.json("dlq", "list", "--job", str(JOB))
    assert len(letters) == 37 == len(road.json("dlq", "list"))
    assert Counter((one["stage"], one["code"], one["state"]) for one in letters) == {
        (*CODES[way], "dead"): count for way, count in POISONED.items()
    }
    assert max(one["attempts"] for one in letters) <= 3
    handed = Counter((ill / "handed").read_text().split())
    assert handed.keys() == {*documents.of("faulty"), *documents.of("killer")}
    assert max(handed.values()) <= 3
    killer = next(one for one in letters if one["code"] == "delivery.killer")
    assert road.json("dlq", "show", killer["letter"])["paths"][0] in documents.of("killer")

    # -- every cause is mended
    for path in documents.of("absent"):
        documents.write(path)
    road.run("customer", "add", CUSTOMER, "--root", documents.root("other"))
    taken.put_back()
    (ill / "healed").touch()
    assert len(road.json("dlq", "redrive", "--job", str(JOB), "--dry-run")["redriven"]) == 37
    assert len(road.json("dlq", "redrive", "--job", str(JOB))["redriven"]) == 37
    second = generation(road, 2)
    assert second["documents"] == {"total": TOTAL, "done": TOTAL, "failed": 0}
    assert sorted(baked_paths(road.home, 2)) == sorted(documents.paths)
    assert {one["state"] for one in road.json("dlq", "list")} == {"mended"}


def report(road: Road) -> dict[str, Any]:
    """The job's, with no documents before the ledger knows it."""
    found = road.run("job", str(JOB), "--json", ok=False).stdout
    return json.loads(found) if found else {"documents": {"total": 0}}


def generation(road: Road, number: int) -> dict[str, Any]:
    """The job's report once that generation is baked."""
    found: dict[str, Any] = {}

    def baked() -> bool:
        found.update(report(road))
        assert found["state"] != "failed", f"{found}\n{road.logs()}"
        return (found["generation"], found["state"]) == (number, "baked")

    wait_until(baked, seconds=300, why=lambda: f"{_counted(found)}\n{road.logs()[-20000:]}")
    return found


def _counted(found: dict[str, Any]) -> str:
    return re.sub(r"'failures': \[.*?\]", "", str(found))
