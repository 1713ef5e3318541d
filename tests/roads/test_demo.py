"""What `make demo` runs, in a home of its own: five questions, five answers, and nothing left running."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cradle.workers import workers_pid
from infra.local import stack

ROOT = Path(__file__).parents[2]
QUESTIONS = json.loads((ROOT / "examples" / "_questions.json").read_text(encoding="utf-8"))["demo"]


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cradle-tests-"))  # pytest's own folder is closed to the server's user
    yield folder
    stack.down(folder)
    shutil.rmtree(folder)


def start_demo(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cradle.demo"],
        cwd=ROOT,
        env={**os.environ, "CRADLE_HOME": str(home), "COLUMNS": "200", "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_answers_and_leaves_nothing_running(home: Path) -> None:
    with start_demo(home) as demo:
        printed, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, printed
    answers = printed.split("$ cradle search")[1:]
    assert len(answers) == len(QUESTIONS) == 5
    for question, answer in zip(QUESTIONS, answers, strict=True):
        text = " ".join(answer.split())
        page = "" if question["page"] is None else f", page {question['page']}"
        assert f"{question['document']}{page}" in text
        assert question["contains"] in text
    assert re.search(r"\b(\d+) of \1 done", printed)
    assert re.search(r"\$ cradle image show \w+\n *image +sha256:[0-9a-f]{64}", printed)
    assert re.search(r"Done in \d+ s", printed)
    assert workers_pid(home) is None
    assert not stack.running(home)


def test_ctrl_c_leaves_nothing_running(home: Path) -> None:
    with start_demo(home) as demo:
        deadline = time.monotonic() + 120
        while workers_pid(home) is None:
            assert time.monotonic() < deadline
            assert demo.poll() is None
            time.sleep(0.1)
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: to every process in the foreground
        printed, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, printed
    assert workers_pid(home) is None
    assert not stack.running(home)
