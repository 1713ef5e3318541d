"""A foreign client: kcat (Debian) publishes clear JSON, as docs/ingest.md shows, and `admit` answers it."""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from consumers.admit import stage
from consumers.runtime.contract import Done, Failed, Outcome, Received, Refused
from infra.broker import Broker, StoredRecord, open_broker
from infra.local import stack
from infra.parameters import Customer
from infra.paths import file_url
from infra.sources import open_source
from schemas import envelope
from schemas.errors import Permanent
from schemas.ids import job_id
from schemas.messages import DocumentAdmitted, DocumentsSubmitted
from tests.conftest import IN_CI
from tests.entrance import Entrance
from tests.roads.road import STAGES, Road, wait_until


@pytest.fixture
def kcat() -> str:
    found = shutil.which("kcat")
    if found is None:
        sentence = "kcat is not there: apt-get install kcat"
        pytest.fail(sentence, pytrace=False) if IN_CI else pytest.skip(sentence)
    return found


@pytest.fixture(params=["embedded_broker_url", pytest.param("kafka_url", marks=pytest.mark.kafka)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Broker, str]]:
    """`host:port`, the broker, and a fresh topic in place of `ingest`."""
    url: str = request.getfixturevalue(request.param)
    topic = f"ingest-{uuid4().hex}"
    async with open_broker(url) as opened:
        await opened.create_topic(topic, partitions=1, replication=1, config={})
        yield url.removeprefix("kafka://"), opened, topic


def publish(kcat: str, address: str, topic: str, *options: str, events: Sequence[object]) -> None:
    """One record a line, keyed `acme`."""
    lines = "\n".join(f"acme\t{json.dumps(event)}" for event in events)
    command = [kcat, "-P", "-b", address, "-t", topic, "-K", "\t", *options]
    subprocess.run(command, input=lines, text=True, check=True, capture_output=True, timeout=60)


def opened_clear(record: StoredRecord) -> Received[DocumentsSubmitted]:
    assert envelope.is_clear(record.headers, record.value)
    message_id, message = envelope.open_clear(record.value)
    return Received(message_id, message.job, message)


async def answers(entrance: Entrance, inputs: list[Received[DocumentsSubmitted]], **ports: Any) -> list[Outcome]:
    return [outcome async for outcome in stage(replace(entrance.ports, **ports))(inputs)]


@pytest.mark.parametrize("header", [(), ("-H", "content-type=application/json")], ids=["bare", "declared"])
async def test_what_kcat_publishes_becomes_a_job(
    tmp_path: Path, kcat: str, broker: tuple[str, Broker, str], header: tuple[str, ...]
) -> None:
    address, opened, topic = broker
    entrance = await Entrance(tmp_path).with_customer()
    named = {"path": "Verträge/lease.txt", "uri": entrance.write("lease.txt", "the rent is due")}
    events = [
        {"customer": "acme", "reference": "kcat 1", "documents": [named]},
        {"customer": "acme", "reference": "kcat 1", "manifest": {"documents": 1}},
    ]
    publish(kcat, address, topic, *header, events=[*events, events[0]])
    first, closing, again = [opened_clear(record) for record in await opened.read(topic)]
    assert first.id == again.id  # published twice, it is one message
    documents, manifest = await answers(entrance, [first, closing])
    assert isinstance(documents, Done)
    assert isinstance(manifest, Done)
    assert first.job == job_id("acme", "kcat 1")
    assert manifest.manifest == 1
    (message,) = (output.message for output in documents.outputs)
    assert isinstance(message, DocumentAdmitted)
    assert message.document.path == "Verträge/lease.txt"
    assert await entrance.sealed.get(first.job, message.object) == b"the rent is due"
    await entrance.record(documents, first.job)
    assert await entrance.paths(first.job) == {"Verträge/lease.txt": "open"}


@pytest.mark.s3
async def test_kcat_names_objects_of_a_bucket(
    tmp_path: Path, kcat: str, broker: tuple[str, Broker, str], s3_url: str
) -> None:
    address, opened, topic = broker
    bucket = urlsplit(s3_url).netloc
    for key, content in (("contracts/Mietvertrag.txt", b"the rent is due"), ("private/salaries.txt", b"not for you")):
        put_object(bucket, key, content)
    entrance = await Entrance(tmp_path).with_customer()
    await entrance.store.put_customer(Customer("acme", roots=(f"s3://{bucket}/contracts/",)))
    documents = [
        {"path": "lease.txt", "uri": f"s3://{bucket}/contracts/Mietvertrag.txt"},
        {"path": "nothing.txt", "uri": f"s3://{bucket}/contracts/nothing.txt"},
        {"path": "salaries.txt", "uri": f"s3://{bucket}/private/salaries.txt"},
        {"path": "elsewhere.txt", "uri": f"s3://{bucket}-other/contracts/Mietvertrag.txt"},
    ]
    publish(kcat, address, topic, events=[{"customer": "acme", "reference": "kcat s3", "documents": documents}])
    received = [opened_clear(record) for record in await opened.read(topic)]
    async with open_source("s3:") as source:
        (answered,) = await answers(entrance, received, source=lambda uri: source)
    assert isinstance(answered, Done)
    assert {path_of(one): one.error.code for one in answered.refused} == {
        "nothing.txt": "source.missing",
        "salaries.txt": "source.root",
        "elsewhere.txt": "source.root",
    }
    (message,) = (output.message for output in answered.outputs)
    assert isinstance(message, DocumentAdmitted)
    assert message.document.path == "lease.txt"
    assert await entrance.sealed.get(received[0].job, message.object) == b"the rent is due"


def path_of(refused: Refused) -> str:
    assert isinstance(refused.message, DocumentsSubmitted)
    return refused.message.documents[0].path


def put_object(bucket: str, key: str, content: bytes) -> None:
    import boto3

    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key=key, Body=content)
    client.close()


async def test_what_kcat_may_not_name_is_refused_by_its_code(
    tmp_path: Path, kcat: str, broker: tuple[str, Broker, str]
) -> None:
    address, opened, topic = broker
    entrance = await Entrance(tmp_path / "acme").with_customer()
    good = entrance.write("good.txt", "text")
    secret = Entrance(tmp_path / "globex").write("secret.txt", "another customer's")
    (entrance.folder / "link.txt").symlink_to(tmp_path / "globex" / "secret.txt")
    pieces = {
        "source.root": [
            secret,
            f"{file_url(entrance.folder)}/../globex/secret.txt",
            f"{file_url(entrance.folder)}/link.txt",
        ],
        "source.digest": [good],
        "source.missing": [f"{file_url(entrance.folder)}/nothing.txt"],
    }
    documents = [
        {"path": f"{code}/{number}", "uri": uri} | ({"sha256": "0" * 64} if code == "source.digest" else {})
        for code, uris in pieces.items()
        for number, uri in enumerate(uris)
    ]
    publish(
        kcat,
        address,
        topic,
        events=[
            {"customer": "nobody", "reference": "kcat 2", "documents": [{"path": "a", "uri": good}]},
            {"customer": "acme", "reference": "kcat 2", "documents": [*documents, {"path": "good.txt", "uri": good}]},
        ],
    )
    unknown, mixed = await answers(entrance, [opened_clear(record) for record in await opened.read(topic)])
    assert isinstance(unknown, Failed)
    assert unknown.error.code == "customer.unknown"
    assert isinstance(mixed, Done)
    assert [refused.error.code for refused in mixed.refused] == ["source.root"] * 3 + [
        "source.digest",
        "source.missing",
    ]
    assert len(mixed.outputs) == 1
    assert len(entrance.staging.objects) == 1
    told = " ".join(f"{refused.error.sentence} {refused.error.next_step}" for refused in mixed.refused)
    assert "globex" not in told


@pytest.mark.parametrize("value", ["not json", '{"customer": "acme"}', '{"customer": "../x", "reference": "a"}', "[]"])
async def test_what_is_no_ingest_event_says_what_it_breaks(
    kcat: str, broker: tuple[str, Broker, str], value: str
) -> None:
    address, opened, topic = broker
    command = [kcat, "-P", "-b", address, "-t", topic, "-H", "content-type=application/json"]
    subprocess.run(command, input=value, text=True, check=True, capture_output=True, timeout=60)
    (record,) = await opened.read(topic)
    with pytest.raises(Permanent) as caught:
        opened_clear(record)
    assert caught.value.code in ("envelope.malformed", "envelope.invalid")


@pytest.fixture
def road(new_home: Callable[[], Path]) -> Iterator[Road]:
    road = Road(new_home())
    yield road
    road.stop()
    road.run("down", ok=False)


def test_a_foreign_clients_documents_come_to_an_answer(road: Road, kcat: str) -> None:
    """The whole walk-through: a root is allowed, kcat publishes, the stages run, the image answers."""
    folder = road.home / "documents"
    folder.mkdir()
    (folder / "lease.txt").write_text("The rent is due on the first of each month.")
    road.run("up")
    road.run("customer", "add", "acme", "--root", f"{file_url(folder)}/")
    documents = [
        {"path": "lease.txt", "uri": file_url(folder / "lease.txt")},
        {"path": "outside.txt", "uri": file_url(road.home / "outside.txt")},
    ]
    endpoints = stack.endpoints(road.home)
    assert endpoints is not None
    event = {"customer": "acme", "reference": "kcat 3", "documents": documents, "manifest": {"documents": 2}}
    stranger = {"customer": "nobody", "reference": "kcat 3", "manifest": {"documents": 0}}
    address = endpoints.broker_url.removeprefix("kafka://")
    publish(kcat, address, "ingest", events=[stranger, event])
    road.start(*STAGES)
    job = str(job_id("acme", "kcat 3"))
    wait_until(lambda: any(one["job"] == job for one in road.json("jobs")), seconds=60, why=road.logs)
    report = road.wait_for_job(job)
    assert report["state"] == "baked"
    assert report["documents"] == {"total": 2, "done": 1, "failed": 1}
    assert [(one["path"], one["code"]) for one in report["failures"]] == [("outside.txt", "source.root")]
    (answer,) = road.json("search", "acme", "When is the rent due?")
    assert answer["document"] == "lease.txt"
    codes = subprocess.run(
        [kcat, "-C", "-b", address, "-t", "ingest.dlq", "-e", "-q", "-f", "%h\n"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert "cradle_code=source.root" in codes
    assert "cradle_code=customer.unknown" in codes
    assert "outside" not in codes
