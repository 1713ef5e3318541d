"""`cradle --help` is quick, complete, and opens nothing; nobody else ships our names."""

import errno
import inspect
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cradle.commands import app

ROOT = Path(__file__).parents[2]
HEAVY = {
    "numpy",
    "pydantic",
    "aiokafka",
    "faststream",
    "sqlalchemy",
    "psycopg",
    "aioboto3",
    "kreuzberg",
    "cryptography",
}


def test_importing_the_commands_loads_nothing_heavy() -> None:
    """What keeps `cradle --help` under half a second: counted in modules, since seconds depend on the machine."""
    code = "import sys, cradle.commands; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_help_lists_every_command() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    commands = (
        "up down doctor customer ingest jobs job wait run lag topics search erase sweep secrets "
        "dlq replay verify reconcile cancel offsets"
    )
    missing = [name for name in commands.split() if f" {name} " not in done.output]
    assert not missing


@pytest.mark.parametrize(
    "words",
    ["up", "down", "doctor", "customer add", "customer show", "ingest", "jobs", "job", "wait", "run", "lag",
     "topics show", "topics apply", "search", "erase", "sweep", "secrets init", "dlq list", "dlq show", "dlq redrive",
     "dlq discard", "replay", "verify", "reconcile", "cancel", "offsets reset"],
)  # fmt: skip
def test_every_command_takes_json_and_says_what_it_does(words: str) -> None:
    done = CliRunner().invoke(app, [*words.split(), "--help"])
    assert done.exit_code == 0
    assert "--json" in done.output


def every_command(group: Any, *words: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield " ".join((*words, name)), command
        if hasattr(command, "commands"):
            yield from every_command(command, *words, name)


@pytest.mark.parametrize(("words", "command"), [*every_command(typer.main.get_command(app))])
def test_help_is_not_broken_twice_in_80_columns(words: str, command: Any) -> None:
    """Typer joins the lines of the first paragraph alone; those of the others stand as they are written."""
    _, *others = inspect.cleandoc(command.help).split("\n\n")
    assert [line for text in others for line in text.splitlines() if len(line) > 78] == []


@pytest.mark.parametrize("words", [["--help"], ["topics", "--help"], ["topics", "show"], ["topics", "show", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(words: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "cradle", *words], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""
    assert done.returncode in (0, 1)


def test_a_reader_that_leaves_midway_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `--help` goes through `head`: typer writes a last line after the reader has gone."""

    def write(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("typer._click.decorators.echo", write)
    done = CliRunner().invoke(app, ["run", "--help"])
    assert (done.exit_code, done.stderr) == (1, "")


def test_no_dependency_ships_one_of_our_top_level_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    shipped = packages_distributions()
    clashes = {name: owners for name in ours if (owners := set(shipped.get(name, ())) - {"cradle"})}
    assert not clashes
