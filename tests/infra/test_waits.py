import subprocess
import sys
from pathlib import Path

import pytest

from infra.waits import Wait, WaitNote, waits_of
from schemas.errors import Retryable

AWAY = Retryable("dependency.away", name="PostgreSQL")
STORM = Retryable("delivery.storm", stage="chunk", failing="engine.vectors")


def test_a_note_is_read_while_it_stands(tmp_path: Path) -> None:
    notes = tmp_path / "run" / "waiting"
    chunk, embed = WaitNote(notes, "chunk"), WaitNote(notes, "embed")
    assert waits_of(notes) == []
    embed.tell([AWAY])
    chunk.tell([AWAY])
    chunk.tell([STORM])
    assert waits_of(notes) == [
        Wait("chunk", "delivery.storm", STORM.sentence, STORM.next_step),
        Wait("embed", "dependency.away", AWAY.sentence, AWAY.next_step),
    ]
    chunk.tell([])
    embed.tell([])
    assert waits_of(notes) == [] and [*notes.iterdir()] == []


def test_the_note_of_a_process_that_died_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from infra.waits import WaitNote; "
        "from schemas.errors import Retryable; "
        "WaitNote(Path(sys.argv[1]), 'chunk').tell([Retryable('topic.missing', topic='t')]); os._exit(1)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=root, check=False)
    assert len([*tmp_path.iterdir()]) == 1
    assert waits_of(tmp_path) == []
    assert [*tmp_path.iterdir()] == []


def test_hosts_that_share_the_folder_do_not_write_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = WaitNote(tmp_path, "chunk")
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    second = WaitNote(tmp_path, "chunk")
    first.tell([AWAY])
    second.tell([STORM])
    assert {wait.code for wait in waits_of(tmp_path)} == {"dependency.away", "delivery.storm"}
    assert {wait.stage for wait in waits_of(tmp_path)} == {"chunk"}
    second.tell([])
    assert [wait.code for wait in waits_of(tmp_path)] == ["dependency.away"]
    first.tell([])


def test_a_disk_that_takes_no_note_costs_only_the_note(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    note = WaitNote(tmp_path / "file", "chunk")
    note.tell([AWAY])
    note.tell([])


def test_a_stage_of_many_processes_is_told_once(tmp_path: Path) -> None:
    first = WaitNote(tmp_path, "chunk")
    first.tell([AWAY])
    second = WaitNote(tmp_path, "chunk")
    second._path = tmp_path / "chunk@another-1.json"
    second.tell([AWAY])
    assert [wait.stage for wait in waits_of(tmp_path)] == ["chunk"]
    for note in (first, second):
        note.tell([])
