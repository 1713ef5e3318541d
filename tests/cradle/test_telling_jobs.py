"""What `cradle job` and `cradle jobs` tell of a job beside its progress."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from cradle.commands import jobs
from infra.ledger import Counted, JobState, JobView
from operations.jobs import job_report

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAIN = JobView(
    id=UUID(int=1),
    customer="acme",
    reference="spring",
    state=JobState.BAKED,
    parameters=1,
    fingerprint="f" * 64,
    parent=None,
    generation=1,
    manifest=10,
    total=10,
    done=10,
    failed=0,
    open_work=0,
    items={"chunk": 80},
    outcomes={},
    reason=None,
    image="sha256:1",
    merkle={},
    opened_at=NOW,
    completed_at=NOW,
    baked_at=NOW,
    erased_at=None,
    retain_until=NOW,
    chunks=80,
)
COUNTS = {Counted.RECOGNISED: 30, Counted.DOUBTFUL: 2, Counted.HIDDEN: 4, Counted.FOLDED: 9}
NOTED = replace(PLAIN, done=6, duplicates=3, failed=1, counts=COUNTS)


def shown(view: JobView, capsys: pytest.CaptureFixture[str]) -> str:
    jobs.show_job(job_report(view))
    return " ".join(capsys.readouterr().out.split())


def test_a_job_of_which_nothing_is_to_be_noted_says_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(PLAIN, capsys)
    assert "documents 10 of 10 done chunks 80 " in told
    assert "pages" not in told


def test_what_is_to_be_noted_stands_with_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(NOTED, capsys)
    assert "documents 9 of 10 done, 3 of them the same file again, 1 failed" in told
    assert "pages 30 recognised, 2 hard to read" in told
    assert "chunks 80, 4 with hidden text, 9 folded" in told


def test_the_report_counts_by_name() -> None:
    assert job_report(NOTED)["documents"] == {"total": 10, "done": 9, "failed": 1}
    expected = {"duplicates": 3, "recognised": 30, "doubtful": 2, "hidden": 4, "folded": 9}
    assert job_report(NOTED)["counts"] == expected
    assert job_report(PLAIN)["counts"] == dict.fromkeys(expected, 0)
