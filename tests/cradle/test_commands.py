"""Each command on an embedded stack: what it prints, the shape of its JSON, its exit codes."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

import cradle as public
from cradle.commands import app
from cradle.flow import read_flow

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """An installation that is up, with the customer `acme`; no consumers run."""
    folder = Path(tempfile.mkdtemp(prefix="cradle-tests-"))  # pytest's own folder is closed to the server's user
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        patch.delenv(name)
    patch.setenv("CRADLE_HOME", str(folder))
    patch.chdir(folder)
    try:
        assert CliRunner().invoke(app, ["up"]).exit_code == 0
        assert CliRunner().invoke(app, ["customer", "add", "acme"]).exit_code == 0
        yield folder
    finally:
        CliRunner().invoke(app, ["down"])
        patch.undo()
        shutil.rmtree(folder)


def cradle(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def shown(*words: str) -> Any:
    """What the command prints with --json; it has to end well."""
    result = cradle(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def job(home: Path) -> str:
    (home / "documents").mkdir()
    (home / "documents" / "note.md").write_text("# Note\n\nThe pump hums.\n")
    submitted = shown("ingest", "documents", "--customer", "acme", "--reference", "first")
    assert submitted.keys() == {"job", "reference", "documents", "bytes", "unreadable"}
    assert (submitted["documents"], submitted["unreadable"]) == (1, [])
    return str(submitted["job"])


def test_up_again_changes_nothing(home: Path) -> None:
    assert shown("up") == {"home": str(home), "stack": "embedded", "topics": [], "workers": False}


def test_the_same_reference_is_the_same_job(job: str) -> None:
    assert shown("ingest", "documents", "--customer", "acme", "--reference", "first")["job"] == job


def test_job_has_a_stable_shape(job: str) -> None:
    report = shown("job", job)
    promised = {"job", "customer", "state", "documents", "chunks", "image", "merkle"}
    assert promised <= report.keys()
    assert (report["job"], report["customer"], report["state"]) == (job, "acme", "open")
    assert report["documents"] == {"total": 0, "done": 0, "failed": 0}
    assert (report["image"], report["merkle"]) == (None, {})


def test_jobs_lists_it(job: str) -> None:
    assert job in [one["job"] for one in shown("jobs", "--customer", "acme")]
    assert shown("jobs", "--customer", "nobody") == []
    assert job in cradle("jobs").output


def test_wait_gives_up_with_1(job: str) -> None:
    result = cradle("wait", job, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "job.unfinished" in result.stderr


def test_lag_counts_what_waits(job: str) -> None:
    stages = {one["stage"]: one for one in shown("lag")}
    assert list(stages) == list(read_flow().stages)
    assert stages["admit"]["records_behind"] >= 1
    assert stages["chunk"]["records_behind"] == 0
    assert {"topic", "partition", "committed", "end"} <= stages["admit"]["partitions"][0].keys()
    assert "admit" in cradle("lag").output


def test_an_erased_job_says_so(home: Path) -> None:
    (home / "gone.md").write_text("# Gone\n")
    gone = shown("ingest", "gone.md", "--customer", "acme", "--reference", "gone")["job"]
    assert shown("erase", gone) | {"erased_at": ""} == {
        "job": gone,
        "key_destroyed": True,
        "objects": 1,
        "erased_at": "",
    }
    assert shown("job", gone)["state"] == "erased"
    again = cradle("ingest", "gone.md", "--customer", "acme", "--reference", "gone")
    assert again.exit_code == 1
    assert "job.erased" in again.stderr


async def test_the_library_submits_the_same_way(home: Path) -> None:
    async with public.Producer() as producer:
        job = await producer.open("acme", "by library")
        await producer.add("lease.md", b"# Lease\n\nIt ends in May.\n")
        submitted = await producer.close()
    assert (submitted.job, submitted.documents) == (job, 1)
    with pytest.raises(public.CradleError) as caught:
        public.search("acme", "When does it end?")
    assert caught.value.code == "image.unknown"


def test_sweep_finds_nothing_due(home: Path) -> None:
    assert shown("sweep") == {"erased": [], "failed": []}


def test_a_customer_is_changed_field_by_field(home: Path, tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("chunking_config: {max_tokens: 128, overlap_tokens: 16}\n")
    name = f"customer-{uuid4().hex[:8]}"
    assert shown("customer", "add", name, "--window", "5", "--root", "s3://papers/in")["parameters"]["version"] == 1
    found = shown("customer", "add", name, "--parameters", str(parameters))
    assert (found["window"], found["roots"]) == (5, ["s3://papers/in/"])
    assert found["parameters"]["version"] == 2
    assert found["parameters"]["chunking_config"]["max_tokens"] == 128
    assert found == shown("customer", "show", name)
    assert "s3://papers/in/" in cradle("customer", "show", name).output


def test_topics_are_drawn_and_as_they_should_be(home: Path) -> None:
    drawn = cradle("topics", "show").output
    flow = read_flow()
    assert all(name in drawn for name in (*flow.topics, *flow.stages))
    assert shown("topics", "show").keys() == {"topics", "stages"}
    assert shown("topics", "apply", "--dry-run") == {"dry_run": True, "changes": []}


def test_doctor_finds_everything(home: Path) -> None:
    findings = shown("doctor")
    assert [one["name"] for one in findings if not one["ok"]] == []
    assert {"broker", "ledger", "parameters", "staging", "keys", "progress"} <= {one["name"] for one in findings}


def test_doctor_names_what_is_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_PROGRESS_URL", "redis://:s3cr3t@127.0.0.1:1/0")
    result = cradle("doctor", "--json")
    assert result.exit_code == 1
    [away] = [one for one in json.loads(result.stdout) if not one["ok"]]
    assert away["name"] == "progress"
    assert "CRADLE_PROGRESS_URL" in away["remedy"]
    assert "s3cr3t" not in result.output


def test_doctor_shows_where_settings_come_from(home: Path) -> None:
    found = {one["name"]: one for one in shown("doctor", "--settings")}
    assert found["home"] == {"name": "home", "value": str(home), "origin": "environment"}
    assert found["broker_url"]["origin"] == "embedded"
    assert found["broker_url"]["value"].startswith("kafka://127.0.0.1:")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["job", NOBODY], "job.unknown"),
        (["customer", "show", "nobody"], "customer.unknown"),
        (["customer", "add", "No Id"], "customer.id"),
        (["ingest", "nowhere", "--customer", "acme"], "source.missing"),
        (["ingest", "documents", "--customer", "nobody"], "customer.unknown"),
        (["ingest", "ftp://host/x", "--customer", "acme"], "source.scheme"),
        (["search", "nobody", "What?"], "image.unknown"),
        (["run", "brew"], "stage.unknown"),
    ],
)
def test_wrong_use_exits_with_2_a_sentence_and_a_next_step(job: str, words: list[str], code: str) -> None:
    result = cradle(*words)
    assert result.exit_code == 2, result.output
    assert f"({code})" in result.stderr.replace("\n", "")
    assert "next" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize("words", [["job", "no-uuid"], ["ingest"], ["run"], ["run", "chunk", "--all"], ["brew"]])
def test_a_mistyped_command_exits_with_2(home: Path, words: list[str]) -> None:
    assert cradle(*words).exit_code == 2


def test_debugging_shows_the_traceback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_DEBUG", "1")
    result = cradle("job", NOBODY)
    assert type(result.exception).__name__ == "Permanent"


def test_without_a_stack_commands_say_how_to_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path))
    result = cradle("jobs")
    assert result.exit_code == 1
    assert "cradle up" in result.stderr
