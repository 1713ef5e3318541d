"""`make demo`: the whole way, by the same commands that anybody would type. `python -m cradle.demo [FOLDER]`."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

ROOT: Final = Path(__file__).parents[1]
CUSTOMER: Final = "brennlund"
QUESTIONS: Final = 5
PASSAGES: Final = "2"

out: Final = Console(highlight=False)


class CommandFailed(Exception):
    """A command of the demo exited with another code than 0; it has said why."""


def main(arguments: Sequence[str]) -> int:
    """Runs the demo over the given folder, or over examples/. Exit code: 0 done, 1 a command failed, 130 Ctrl-C."""
    folder = Path(arguments[0]) if arguments else ROOT / "examples"
    began = time.monotonic()
    try:
        with _stopping_at_the_end():
            _documents_in(folder)
            _questions(folder / "_questions.json")
            _heading("What the image is")
            _cradle("image", "show", CUSTOMER)
    except CommandFailed:
        return 1
    except KeyboardInterrupt:
        return 130
    _farewell(time.monotonic() - began)
    return 0


def _documents_in(folder: Path) -> None:
    _heading("Start a broker, a database and one process a stage, all of it on this machine")
    _cradle("up", "--run")
    _heading("A customer, whose documents these are")
    _cradle("customer", "add", CUSTOMER)
    _heading("Documents in: seal, read scans, chunk, embed, pack, bake an image")
    _cradle("ingest", _shown(folder), "--customer", CUSTOMER, "--wait")


def _questions(file: Path) -> None:
    _heading("Ask the image")
    for question in _read_questions(file):
        _cradle("search", CUSTOMER, question["question"], "--limit", PASSAGES)


def _read_questions(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    questions: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["demo"]
    return questions[:QUESTIONS]


def _farewell(seconds: float) -> None:
    _heading(f"Done in {seconds:.0f} s. The same with your own folder")
    for line in (
        "source .venv/bin/activate",
        "cradle up --run",
        "cradle customer add my-company",
        "cradle ingest ~/my-folder --customer my-company --wait",
        'cradle search my-company "What do I want to know?"',
        "cradle down",
    ):
        out.print(f"  [bold]{escape(line)}[/bold]")
    out.print("\n[dim]Nothing runs any more; images and state stay in .cradle until `make clean`.[/dim]")


def _heading(text: str) -> None:
    out.print(f"\n[bold cyan]{escape(text)}[/bold cyan]")


def _cradle(*words: str) -> None:
    """Prints the command, then runs it on the same terminal."""
    out.print(f"[dim]$[/dim] [bold]{escape(shlex.join(['cradle', *words]))}[/bold]", soft_wrap=True)
    if _run(*words) != 0:
        raise CommandFailed


def _run(*words: str) -> int:
    """The exit code. Ctrl-C reaches the command as well, which is in our process group: we wait until it has ended."""
    with subprocess.Popen([sys.executable, "-m", "cradle", *words], env=_environment()) as process:  # noqa: S603
        return process.wait()


def _environment() -> dict[str, str]:
    """Ours, with no setting of another installation in it: the demo is always the embedded stack of its home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRADLE_")}
    home = os.environ.get("CRADLE_HOME") or str(Path(".cradle").absolute())
    return {**kept, "CRADLE_HOME": home}


@contextmanager
def _stopping_at_the_end() -> Iterator[None]:
    """Stops everything, whatever happened; a second Ctrl-C does not cut that short."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _heading("Stop it all")
        out.print("[dim]$[/dim] [bold]cradle down[/bold]")
        _run("down")


def _shown(folder: Path) -> str:
    """As a person would type it: relative, where it lies below."""
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
