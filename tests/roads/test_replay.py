"""Replay and proof as an operator meets them: the commands, real stages in processes, the embedded stack."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from builders.oci.read import open_image
from cradle.commands import app
from cradle.flow import read_flow
from infra.broker import open_broker
from infra.local import stack
from tests.roads.road import CUSTOMER, STAGES, Road

pytestmark = pytest.mark.apart

FAKE = {"embedding_config": {"model": "fake"}, "chunking_config": {"max_tokens": 64, "overlap_tokens": 8}}
COARSE = {**FAKE, "chunking_config": {"max_tokens": 128, "overlap_tokens": 0}}
DOCUMENTS = {
    f"folder {number % 2}/document {number}.md": f"# Document {number}\n\n"
    + "\n\n".join(f"Paragraph {place} of document {number} says that the pump hums." for place in range(number * 12))
    for number in range(1, 6)
} | {"broken.bin": "\0\1\2\3" * 9}


@pytest.fixture(scope="module")
def road(new_home: Callable[[], Path]) -> Iterator[Road]:
    """Its stages are processes; the commands are run in this one, which is quicker."""
    road, patch = Road(new_home()), pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        patch.delenv(name)
    patch.setenv("CRADLE_HOME", str(road.home))
    patch.chdir(road.home)
    try:
        shown("up")
        road.start(*STAGES)
        (road.home / "fake.json").write_text(json.dumps(FAKE))
        shown("customer", "add", CUSTOMER, "--parameters", "fake.json")
        for path, text in DOCUMENTS.items():
            file = road.home / "documents" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        yield road
    finally:
        road.stop()
        cradle("down")
        patch.undo()


def cradle(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def shown(*words: str) -> Any:
    """What the command prints with --json; it has to end well."""
    result = cradle(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def ingested(road: Road, *words: str) -> dict[str, Any]:
    """The job of the documents, baked."""
    job = shown("ingest", "documents", "--customer", CUSTOMER, *words)["job"]
    report: dict[str, Any] = shown("wait", job, "--timeout", "120")
    assert (report["state"], report["documents"]) == ("baked", {"total": 6, "done": 5, "failed": 1}), road.logs()
    return report


@pytest.fixture(scope="module")
def parent(road: Road) -> dict[str, Any]:
    return ingested(road)


def replay(*words: str) -> dict[str, Any]:
    """The new job's report once it is over."""
    [made] = shown("replay", *words, "--wait")["finished"]
    return dict(made)


def committed(road: Road) -> dict[tuple[str, str, int], int]:
    """Where each group resumes."""
    found = stack.endpoints(road.home)
    assert found is not None

    async def ask() -> dict[tuple[str, str, int], int]:
        async with open_broker(found.broker_url) as broker:
            offsets = {}
            for name, stage in read_flow().stages.items():
                for lag in await broker.lag(name, stage.reads):
                    offsets[name, lag.topic, lag.partition] = lag.committed
            return offsets

    return asyncio.run(ask())


def image_of(road: Road, job: str) -> str:
    return str(
        json.loads((road.home / "images" / CUSTOMER / f"{job}.1" / "index.json").read_text())["manifests"][0]["digest"]
    )


@pytest.mark.parametrize("topic", ["ingest", "chunk-ready", "chunked", "embedded", "bake-ready"])
def test_from_every_topic_the_same_image(road: Road, parent: dict[str, Any], topic: str) -> None:
    before = committed(road)
    child = replay("--from", topic, "--job", parent["job"])
    assert (child["image"], child["merkle"]) == (parent["image"], parent["merkle"]), road.logs()
    assert (child["parent"], child["documents"]) == (parent["job"], parent["documents"])
    assert [failure["code"] for failure in child["failures"]] == [failure["code"] for failure in parent["failures"]]
    assert all(offset >= before[place] for place, offset in committed(road).items())
    verified = shown("verify", child["job"], "--against", parent["job"])
    assert (verified["holds"], verified["same_fingerprint"], len(verified["proofs"])) == (True, True, 4)


def test_a_dry_run_changes_nothing(road: Road, parent: dict[str, Any]) -> None:
    words = ("replay", "--from", "chunk-ready", "--job", parent["job"], "--document", "folder 1/document 3.md")
    before, jobs = committed(road), shown("jobs")
    told = shown(*words, "--dry-run")
    assert (committed(road), shown("jobs")) == (before, jobs)
    [one] = told["replays"]
    assert (one["job"], one["records"], one["replayed"]) == (None, 1, ["folder 1/document 3.md"])
    assert (one["inherited"], one["stay_failed"][0]["code"]) == (4, "document.type")


def test_one_document_is_replayed_and_the_others_are_inherited(road: Road, parent: dict[str, Any]) -> None:
    child = replay("--from", "chunk-ready", "--job", parent["job"], "--document", "folder 1/document 3.md")
    assert child["image"] == parent["image"]
    assert child["items"]["chunk"] < parent["items"]["chunk"]


def test_new_parameters_are_told_by_how_many_chunks_changed(road: Road, parent: dict[str, Any]) -> None:
    (road.home / "coarse.json").write_text(json.dumps(COARSE))
    version = shown("customer", "add", CUSTOMER, "--parameters", "coarse.json")["parameters"]["version"]
    words = ("--job", parent["job"], "--parameters", str(version))
    refused = cradle("replay", "--from", "chunked", *words)
    assert (refused.exit_code, "replay.parameters" in refused.stderr, "chunk-ready" in refused.stderr) == (
        1,
        True,
        True,
    )
    child = replay("--from", "chunk-ready", *words)
    assert child["merkle"]["admit"] == parent["merkle"]["admit"]
    assert child["merkle"]["chunk"] != parent["merkle"]["chunk"]
    told = shown("verify", child["job"], "--against", parent["job"])
    chunks = told["comparison"]["chunks"]
    assert (told["holds"], told["same_fingerprint"]) == (True, False)
    assert chunks["same"] + chunks["changed"] + chunks["added"] == child["chunks"]
    assert chunks["gone"] > 0


def test_a_replay_that_fails_leaves_the_parents_image(road: Road) -> None:
    parent = ingested(road, "--reference", "loses a file")
    job = parent["job"]
    raw = [*(road.home / "staging" / "jobs" / job / "raw").iterdir()]
    for one in raw:  # whichever of them the replay needs
        one.unlink()
    failed = cradle("replay", "--from", "chunk-ready", "--job", job)
    assert (failed.exit_code, "staging.missing" in failed.stderr) == (1, True)
    [child] = [one for one in shown("jobs") if one["parent"] == job]
    assert (child["state"], child["reason"], child["image"]) == ("failed", "staging.missing", None)
    assert image_of(road, job) == parent["image"] == shown("job", job)["image"]


def test_a_flipped_byte_is_found_and_named(road: Road, parent: dict[str, Any]) -> None:
    child = replay("--from", "bake-ready", "--customer", CUSTOMER, "--job", parent["job"])
    layer = open_image(road.home / "images" / CUSTOMER / f"{child['job']}.1").layer("data-000").path
    content = bytearray(layer.read_bytes())
    begin = content.index(b"CRADLEVF") + 64
    content[begin] ^= 1
    layer.chmod(0o644)
    layer.write_bytes(content)
    verified = cradle("verify", child["job"], "--json")
    assert verified.exit_code == 1
    difference = json.loads(verified.stdout)["difference"]
    assert (difference["stage"], difference["document"], difference["ordinal"]) == (
        "embed",
        "folder 0/document 2.md",
        0,
    )
