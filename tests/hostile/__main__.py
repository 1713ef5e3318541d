"""Throws files at Cradle and tells what came of it.

    make fuzz                                            # everything, 10,000 mutants, seed 7
    python -m tests.hostile built --only "zip bombs"
    python -m tests.hostile mutated --files 500 --seed 1 --out docs/reliability.md

The exit code is 1 if a worker died, a file was answered too late or cost too much memory, or something was followed.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.hostile.files import CUTS, HostileFile, built, cuts, mutants, noise
from tests.hostile.files_kinds import Lure
from tests.hostile.throwing import LONGEST_SECONDS, MOST_BYTES, Answer, Report, lure, throw

Part = Callable[[Lure, argparse.Namespace], Iterator[HostileFile]]
PARTS: Final[dict[str, tuple[str, Part]]] = {
    "built": ("Built to hurt", lambda lure, told: built(lure, seed=told.seed, only=told.only)),
    "cut": (f"Cut at {CUTS} points", lambda lure, told: cuts()),
    "noise": ("Noise under each signature", lambda lure, told: noise(seed=told.seed)),
    "mutated": ("Mutated", lambda lure, told: mutants(told.files, seed=told.seed)),
}


def main() -> int:
    told = _arguments()
    failed = False
    for part in [told.part] if told.part else PARTS:
        title, files = PARTS[part]
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, lure(Path(folder)) as (bait, caller):
            report = throw(files(bait, told), Path(folder), caller, say=_say)
        text = _section(report, told.seed, time.monotonic() - started)
        print(f"### {title}\n\n{text}", flush=True)
        if told.out:
            _write(told.out, title, text)
        failed |= bool(report.failures)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("part", nargs="?", choices=[*PARTS])
    parser.add_argument("--only", default="", help="kinds with this in their names")
    parser.add_argument("--files", type=int, default=10_000, help="how many are mutated")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="a Markdown file with a heading for each part")
    return parser.parse_args()


def _say(number: int, answer: Answer) -> None:
    if number % 100 == 99:
        print(f"{number + 1} files", file=sys.stderr, flush=True)
    if answer.failure or answer.seconds > LONGEST_SECONDS or answer.bytes > MOST_BYTES:
        cost = f"{answer.seconds:.1f} s, {answer.bytes >> 20} MiB"
        print(f"{answer.file.kind} {answer.file.name[:60]!r}: {cost}, {answer.failure}", file=sys.stderr, flush=True)


def _section(report: Report, seed: int, seconds: float) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"{report.files} files, seed {seed}, in {seconds:.0f} s on {machine}.",
        "",
        *report.table(),
        "",
        *([f"- {failure.splitlines()[0]}" for failure in report.failures] or ["No worker died, nothing was followed."]),
    ]
    return "\n".join(lines) + "\n"


def _write(out: Path, title: str, text: str) -> None:
    """In place of what stands under that heading."""
    whole = out.read_text()
    start, end = re.escape(f"### {title}\n"), r"(?=\n#{1,3} |\Z)"
    written, count = re.subn(rf"(?s){start}.*?{end}", lambda _: f"### {title}\n\n{text}", whole, count=1)
    if not count:
        raise SystemExit(f"{out} has no heading {title!r}")
    out.write_text(written)


if __name__ == "__main__":
    sys.exit(main())
