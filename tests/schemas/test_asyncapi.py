"""The AsyncAPI document: current, complete, and valid under the official parser."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cradle.flow import read_flow
from schemas.asyncapi import DOCUMENT, HEADERS, document, main, render
from schemas.envelope import BOUND_HEADERS
from schemas.messages import TYPES
from schemas.topology import Topology

ROOT = Path(__file__).parents[2]
PARSER = "@asyncapi/parser@3"
PARSE = """
const { Parser } = require("@asyncapi/parser");
const { readFileSync } = require("node:fs");
new Parser().parse(readFileSync(process.argv[2], "utf8")).then(({ document, diagnostics }) => {
  console.log(JSON.stringify({
    parsed: document !== undefined,
    errors: diagnostics.filter((found) => found.severity < 2).map((found) => found.message),
    operations: document ? document.allOperations().all().map((operation) => operation.id()) : [],
  }));
});
"""


@pytest.fixture
def flow() -> Topology:
    return read_flow()


@pytest.fixture
def generated(flow: Topology) -> dict[str, Any]:
    return document(flow)


def test_the_committed_document_is_current(flow: Topology) -> None:
    assert DOCUMENT.read_text("utf-8") == render(flow), "run `python -m schemas.asyncapi`"
    assert main(["--check"]) == 0


def test_a_document_that_is_not_current_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.asyncapi.DOCUMENT", tmp_path / "asyncapi.yaml")
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_every_topic_stage_type_and_header_is_in_it(flow: Topology, generated: dict[str, Any]) -> None:
    assert [*generated["channels"]] == [*flow.topics]
    assert {message["name"] for message in generated["components"]["messages"].values()} == set(TYPES)
    assert {f"{name}-receive-{topic}" for name, stage in flow.stages.items() for topic in stage.reads} <= set(
        generated["operations"]
    )
    assert {f"{name}-send-{topic}" for name, stage in flow.stages.items() for topic in stage.writes} <= set(
        generated["operations"]
    )
    assert "producers-send-ingest" in generated["operations"]
    assert set(HEADERS) == {*BOUND_HEADERS, "traceparent"}


def test_ingest_is_taken_sealed_and_as_json(generated: dict[str, Any]) -> None:
    assert [*generated["channels"]["ingest"]["messages"]] == ["DocumentsSubmitted", "ClearIngestEvent"]
    messages = generated["components"]["messages"]
    assert messages["ClearIngestEvent"]["contentType"] == "application/json"
    assert messages["ClearIngestEvent"]["payload"] == messages["DocumentsSubmitted"]["payload"]


def test_it_survives_yaml(flow: Topology, generated: dict[str, Any]) -> None:
    assert yaml.safe_load(render(flow)) == json.loads(json.dumps(generated))


@pytest.fixture(scope="session")
def parser_folder() -> Path:
    """The official parser, installed once and kept; without npm this is skipped, and fails under CI=true."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing = "node and npm are not there: install them to validate docs/asyncapi.yaml"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    folder = ROOT / ".services" / "npm"
    if not (folder / "node_modules" / "@asyncapi" / "parser").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        subprocess.run(
            [npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", PARSER],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=300,
        )
    return folder


def test_the_official_parser_takes_it(parser_folder: Path, generated: dict[str, Any], tmp_path: Path) -> None:
    def parse(file: Path) -> dict[str, Any]:
        result = subprocess.run(
            ["node", "-e", PARSE, "-", file],
            cwd=parser_folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    found = parse(DOCUMENT)
    assert found["errors"] == []
    assert found["parsed"]
    assert set(found["operations"]) == set(generated["operations"])

    broken = tmp_path / "broken.yaml"
    broken.write_text(DOCUMENT.read_text("utf-8").replace("action: receive", "action: dream", 1))
    assert parse(broken)["errors"], "the parser refuses a wrong document, so its silence means something"
