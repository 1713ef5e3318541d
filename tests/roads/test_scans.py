"""Scans on the embedded stack, with the engine that reads them by default: from a folder to a hit, and read again."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cradle.commands import app
from tests.roads.road import CUSTOMER, STAGES, Road

pytestmark = pytest.mark.apart

EXAMPLES = Path(__file__).parents[2] / "examples"
SCAN, MIXED, TEXT = "lieferschein-kranichfeld.png", "vessel-certificate-480-0377.pdf", "on-call-handbook.txt"
PARAMETERS = {"embedding_config": {"model": "builtin"}}
CAUTIOUS = {**PARAMETERS, "vision_config": {"engine": "rapidocr", "min_confidence": 1.0}}
"""No page is read with so much confidence."""


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
        for name, fields in (("parameters.json", PARAMETERS), ("cautious.json", CAUTIOUS)):
            (road.home / name).write_text(json.dumps(fields))
        shown("customer", "add", CUSTOMER, "--parameters", "parameters.json")
        (road.home / "documents").mkdir()
        for name in (SCAN, MIXED, TEXT):
            shutil.copy(EXAMPLES / "service" / name, road.home / "documents" / name)
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


@pytest.fixture(scope="module")
def job(road: Road) -> dict[str, Any]:
    """Of the three documents, baked."""
    report: dict[str, Any] = shown("ingest", "documents", "--customer", CUSTOMER, "--wait")
    assert (report["state"], report["documents"]["done"]) == ("baked", 3), road.logs()
    return report


def first_hit(question: str) -> dict[str, Any]:
    hit: dict[str, Any] = shown("search", CUSTOMER, question)[0]
    return hit


def test_a_scan_becomes_a_hit(job: dict[str, Any]) -> None:
    hit = first_hit("Warum wurde eine Kiste der Spedition Kranichfeld nicht angenommen?")
    assert (hit["document"], hit["page"]) == (SCAN, 1)
    assert "drei Gehäuse zeigen Flugrost" in hit["text"]
    assert hit.get("marks", []) == []


def test_of_a_mixed_document_only_the_scanned_page_was_recognised(job: dict[str, Any]) -> None:
    assert job["items"]["ocr"] == 4, "pages of both documents"
    assert (job["counts"]["recognised"], job["counts"]["doubtful"]) == (2, 0)
    for question, page, answer in (
        ("At which pressure did the safety valve open?", 2, "opened at 27.3 bar"),
        ("Who pays the fee of the inspection body?", 3, "nothing but the fee of the inspection body"),
    ):
        hit = first_hit(question)
        assert (hit["document"], hit["page"]) == (MIXED, page)
        assert answer in hit["text"]


def test_scans_are_read_again_under_other_parameters_and_texts_are_inherited(road: Road, job: dict[str, Any]) -> None:
    version = shown("customer", "add", CUSTOMER, "--parameters", "cautious.json")["parameters"]["version"]
    words = ("replay", "--job", job["job"], "--parameters", str(version))
    refused = cradle(*words, "--from", "chunk-ready")
    assert (refused.exit_code, "replay.parameters" in refused.stderr, "ocr-ready" in refused.stderr) == (1, True, True)
    [child] = shown(*words, "--from", "ocr-ready", "--wait")["finished"]
    assert (child["state"], child["documents"], child["items"]["ocr"]) == ("baked", job["documents"], 4), road.logs()
    assert (child["counts"]["recognised"], child["counts"]["doubtful"]) == (2, 2)
    assert child["items"]["chunk"] < job["items"]["chunk"] == child["chunks"], "the text was inherited"
    hit = first_hit("Warum wurde eine Kiste der Spedition Kranichfeld nicht angenommen?")
    assert (hit["document"], hit["marks"]) == (SCAN, ["doubtful"])
    again = shown("replay", "--from", "ocr-done", "--job", child["job"], "--wait")["finished"][0]
    assert again["image"] == child["image"]
