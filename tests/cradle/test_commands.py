"""Each command on an embedded stack: what it prints, the shape of its JSON, its exit codes."""

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner, Result

import cradle as public
from cradle.commands import app, ingest, jobs, run
from cradle.flow import read_flow
from cradle.settings import Settings, load_settings, where
from engines.embedding.builtin import SHA256
from infra import waits
from infra.broker import open_broker
from infra.local import stack
from infra.waits import WaitNote
from operations.topics import wanted_topics
from producers.producer import Submitted
from schemas.errors import Retryable
from tests.builders.corpus import book, library, marked
from tests.operations.test_search import bake

TOLD = {"document", "page", "start", "end", "score", "marks", "also", "names", "folded", "text"}
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
    assert submitted.keys() == {"job", "reference", "documents", "bytes", "removed", "extends", "unreadable"}
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


@pytest.mark.parametrize("unreadable", [(), (("locked.pdf", "source.unreadable"),)])
def test_waiting_ends_with_1_if_a_document_was_left_out(
    monkeypatch: pytest.MonkeyPatch, unreadable: tuple[tuple[str, str], ...]
) -> None:
    async def submit(*_: object) -> Submitted:
        return Submitted(UUID(NOBODY), "first", 1, 16, unreadable)

    async def waited(*_: object) -> dict[str, Any]:
        return {"job": NOBODY, "state": "baked", "image": "sha256:1"}

    monkeypatch.setattr(ingest, "_ingest", submit)
    monkeypatch.setattr(ingest, "_wait", waited)
    result = cradle("ingest", "documents", "--customer", "acme", "--wait", "--json")
    assert result.exit_code == (1 if unreadable else 0)
    assert json.loads(result.stdout)["unreadable"] == [{"path": path, "code": code} for path, code in unreadable]


def test_wait_gives_up_with_1(job: str) -> None:
    result = cradle("wait", job, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "job.unfinished" in result.stderr


def test_lag_counts_what_waits(job: str) -> None:
    stages = {one["stage"]: one for one in shown("lag")["stages"]}
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


def test_cancelling_asks_first_and_erases(home: Path) -> None:
    (home / "stop.md").write_text("# Stop\n")
    made = shown("ingest", "stop.md", "--customer", "acme", "--reference", "to be stopped")["job"]
    assert CliRunner().invoke(app, ["cancel", made], input="n\n").exit_code == 1
    assert shown("job", made)["state"] == "open"
    assert shown("cancel", made, "--yes")["objects"] == 1
    report = shown("job", made)
    assert (report["state"], report["reason"], report["erased_at"] is None) == ("cancelled", "job.cancelled", False)
    result = cradle("ingest", "stop.md", "--customer", "acme", "--reference", "to be stopped")
    assert result.exit_code == 1
    assert "job.cancelled" in result.stderr


def test_no_dead_letters(home: Path) -> None:
    assert shown("dlq", "list") == []
    assert "no dead letter" in cradle("dlq", "list").output
    assert shown("dlq", "redrive", "--stage", "chunk") == {
        "dry_run": False,
        "redriven": [],
        "passed": [],
        "refused": [],
    }
    assert shown("dlq", "discard", "--code", "document.broken", "--dry-run") == {"dry_run": True, "discarded": []}


def test_many_documents_left_out_are_counted_by_code_and_all_named(
    home: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [
        {"path": f"{number}.pdf", "document": "", "stage": "admit", "code": "document.type"} for number in range(300)
    ]
    report = shown("job", job) | {"failures": failures, "failed_by_code": {"document.type": 300}, "max_failed": "10%"}

    async def found(*_: object) -> dict[str, Any]:
        return report

    monkeypatch.setattr(jobs, "_job", found)
    printed = cradle("job", job).stdout
    assert "document.type 300" in printed
    assert re.search(r"may fail +10%", printed)
    assert all(f"{number}.pdf" in printed for number in range(300))


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


async def test_a_dry_run_tells_the_difference_and_changes_nothing(home: Path) -> None:
    name = "chunk-ready"
    kept = wanted_topics(read_flow(), replication=1)[name].config["retention.ms"]
    endpoints = stack.endpoints(home)
    assert endpoints is not None
    async with open_broker(endpoints.broker_url) as broker:
        await broker.alter_topic(name, partitions=None, config={"retention.ms": "3600000"})
    difference = f"{name}: alter retention.ms 3600000 -> {kept}"
    for _ in range(2):
        assert await asyncio.to_thread(shown, "topics", "apply", "--dry-run") == {
            "dry_run": True,
            "changes": [difference],
        }
    assert difference in (await asyncio.to_thread(cradle, "topics", "apply", "--dry-run")).output
    assert (await asyncio.to_thread(shown, "topics", "apply"))["changes"] == [difference]
    assert (await asyncio.to_thread(shown, "topics", "apply", "--dry-run"))["changes"] == []


def test_a_passage_has_ten_fields(tmp_path: Path) -> None:
    bake(tmp_path / "image", library())
    passages = shown("search", str(tmp_path / "image"), "notice in writing pump Urlaub", "--limit", "2")
    assert len(passages) == 2
    assert all(one.keys() == TOLD for one in passages)


def test_a_passage_is_shown_with_its_marks_and_how_often_it_is_nearly_repeated(tmp_path: Path) -> None:
    notice = "All statements are made to the best of our knowledge and without warranty."
    one = marked(book("a.txt", f"{notice}\nPumps.\n{notice}"), {0: ("hidden",), 2: ("hidden",)})
    bake(tmp_path / "image", [one], fold=True)
    told = " ".join(CliRunner().invoke(app, ["search", str(tmp_path / "image"), "statements"]).stdout.split())
    assert "Some of this text is hidden from whoever reads the document." in told
    assert "nearly repeated once elsewhere" in told


def test_run_all_asks_its_children_for_json_as_it_was_asked() -> None:
    settings, flow = Settings(), read_flow()
    for json_lines in (False, True):
        for child in run._children(settings, flow, 2, json_lines, named=True):
            assert list(child.command[2:]) == ["cradle", "run", child.stage, *(["--json"] if json_lines else [])]


def test_run_all_names_its_children_and_watches_their_beats(tmp_path: Path) -> None:
    flow = read_flow()
    settings = Settings()
    elsewhere = settings.model_copy(update={"home": tmp_path})
    children = run._children(settings, flow, 2, False, named=True)
    variables = [dict(child.variables) for child in children]
    names = {one["CRADLE_INSTANCE"] for one in variables}
    assert len(names) == len(flow.stages) * 2
    assert names == {dict(c.variables)["CRADLE_INSTANCE"] for c in run._children(settings, flow, 2, True, named=True)}
    assert not names & {
        dict(c.variables)["CRADLE_INSTANCE"] for c in run._children(elsewhere, flow, 2, True, named=True)
    }
    for child, told in zip(children, variables, strict=True):
        assert child.beats is not None
        assert str(child.beats.file) == told["CRADLE_BEAT_FILE"]
        assert child.beats.longest_pause > flow.stages[child.stage].stuck
    unnamed = run._children(settings, flow, 1, False, named=False)
    assert not any("CRADLE_INSTANCE" in dict(child.variables) for child in unnamed)


# -- a narrow terminal ----------------------------------------------------------------------------------------------


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def lines(*words: str) -> list[list[str]]:
    """What the command prints at 80 columns, a list of words a line, without empty ones; nothing is cut."""
    result = cradle(*words)
    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    return [line.split() for line in result.stdout.splitlines() if line.strip()]


@pytest.mark.usefixtures("narrow")
def test_doctor_names_each_dependency_in_80_columns(home: Path) -> None:
    starts = [line[:2] for line in lines("doctor")]
    assert all(["✓", one["name"]] in starts for one in shown("doctor"))


@pytest.mark.usefixtures("narrow")
def test_doctor_names_each_setting_and_its_origin_in_80_columns(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"file:///{'long-folder/' * 12}"
    monkeypatch.setenv("CRADLE_STAGING_URL", value)
    printed = lines("doctor", "--settings")
    starts = [line[:2] for line in printed]
    assert all([one.name, one.origin] in starts for one in where(load_settings(), {}))
    assert value in "".join(word for line in printed for word in line)


@pytest.mark.usefixtures("narrow")
def test_jobs_and_lag_and_topics_are_named_in_80_columns(job: str) -> None:
    assert [job, "acme", "open"] in [line[:3] for line in lines("jobs", "--customer", "acme")]
    assert ["job", job] in lines("job", job)
    flow = read_flow()
    assert {line[0] for line in lines("lag")} >= {*flow.stages}
    rows = {line[0]: line for line in lines("topics", "show") if line}
    for name, topic in flow.topics.items():
        assert rows[name][:3] == [name, topic.type, str(topic.key)]


@pytest.mark.usefixtures("narrow")
def test_a_long_customer_and_a_failed_document_are_whole_in_80_columns(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = f"{'customer-' * 6}customer"
    cradle("customer", "add", customer)
    (tmp_path / "note.md").write_text("# Note\n")
    made = shown("ingest", str(tmp_path / "note.md"), "--customer", customer)["job"]
    printed = cradle("jobs", "--customer", customer).stdout
    assert made in printed
    assert customer in printed

    path = f"{'folder/' * 15}lease.pdf"
    report = shown("job", made) | {
        "failures": [{"path": path, "document": "", "stage": "chunk", "code": "document.needs-ocr"}]
    }

    async def found(*_: object) -> dict[str, Any]:
        return report

    monkeypatch.setattr(jobs, "_job", found)
    printed_job = lines("job", made)
    assert any(line[-2:] == ["chunk", "document.needs-ocr"] for line in printed_job)
    assert path in "".join(word for line in printed_job for word in line if word not in ("chunk", "document.needs-ocr"))


def test_doctor_finds_everything(home: Path) -> None:
    findings = shown("doctor")
    assert [one["name"] for one in findings if not one["ok"]] == []
    assert {"broker", "ledger", "parameters", "staging", "keys", "progress"} <= {one["name"] for one in findings}


def test_doctor_names_what_is_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_PROGRESS_URL", "redis://:s3cr3t@127.0.0.1:1/0")
    result = cradle("doctor", "--json")
    assert result.exit_code == 1
    [away] = [one for one in json.loads(result.stdout) if not one["ok"]]
    assert (away["name"], away["code"]) == ("progress", "dependency.away")
    assert "CRADLE_PROGRESS_URL" in away["remedy"]
    assert "s3cr3t" not in result.output


def test_doctor_names_what_stages_wait_for(home: Path) -> None:
    note = WaitNote(waits.folder(home), "embed")
    note.tell([Retryable("delivery.storm", stage="embed", failing="engine.vectors")])
    try:
        result = cradle("doctor", "--json")
        assert result.exit_code == 1
        [waiting] = [one for one in json.loads(result.stdout) if not one["ok"]]
        assert (waiting["name"], waiting["code"]) == ("stage embed", "delivery.storm")
        assert "engine.vectors" in waiting["problem"] and "CRADLE_STORM_LIMIT" in waiting["remedy"]
    finally:
        note.tell([])


def test_doctor_loads_the_engine_and_tells_if_it_is_broken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHA256, "weights.npz", "0" * 64)
    result = cradle("doctor", "--json")
    assert result.exit_code == 1
    [broken] = [one for one in json.loads(result.stdout) if not one["ok"]]
    assert (broken["name"], broken["code"]) == ("embedding", "engine.weights")
    assert "constraints/runtime.txt" in broken["remedy"]


def test_doctor_without_a_stack_has_a_finding_for_each_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path))
    result = cradle("doctor", "--json")
    assert result.exit_code == 1
    findings = {one["name"]: one for one in json.loads(result.stdout)}
    down = {name for name, one in findings.items() if one["code"] == "stack.down"}
    assert down == {"broker", "ledger", "parameters", "progress"}
    assert all("cradle up" in findings[name]["remedy"] for name in down)
    assert findings["keys"]["ok"]
    result = cradle("doctor")
    assert result.exit_code == 1
    rows = [line.split()[:2] for line in result.stdout.splitlines()]
    assert all(["✗", name] in rows for name in down)
    assert "✗ broker, ledger, parameters, progress" in result.stdout


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
        (["cancel", NOBODY, "--yes"], "job.unknown"),
        (["dlq", "show", NOBODY], "letter.unknown"),
        (["dlq", "redrive", NOBODY], "letter.unknown"),
        (["dlq", "redrive"], "letter.choice"),
        (["dlq", "redrive", NOBODY, "--stage", "chunk"], "letter.choice"),
        (["dlq", "discard"], "letter.choice"),
        (["customer", "add", "acme", "--max-failed", "lots"], "customer.invalid"),
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
