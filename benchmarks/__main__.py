"""`python -m benchmarks [NAME]...`: runs them, prints a table, and writes docs/benchmarks.md with machine and date."""

import importlib
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.services import Missing
from benchmarks.table import Row

NAMES: Final = (
    "codec",
    "sandbox",
    "chunker",
    "embed",
    "deterministic",
    "ocr",
    "hop",
    "safety",
    "bake",
    "update",
    "appliance",
    "http",
)
PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD: Final = """\
# Benchmarks

<!-- Written by `make bench`. -->

Each number is held against a baseline that is measured in the same run, on the same machine.

"""


def main(names: Sequence[str]) -> int:
    """Runs the named benchmarks, or all, and writes their rows into the page. Exit code 1 if a bar is missed."""
    console = Console()
    rows: list[Row] = []
    missing: list[str] = []
    for name in names or NAMES:
        with console.status(f"measuring {name}"):
            try:
                rows += importlib.import_module(f"benchmarks.{name}").run()
            except Missing as service:
                missing.append(f"{name}: needs {service}")
    console.print(_table(rows))
    for line in missing:
        console.print(f"[yellow]left out[/yellow] {line}")
    if not missing:
        kept = _kept(PAGE.read_text("utf-8"), rows) if names else []
        PAGE.write_text(page(rows, machine(), datetime.now(UTC), kept), "utf-8")
        console.print(
            f"[dim]written to {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}[/dim]"
        )
    return 0 if all(row.passed for row in rows) and not missing else 1


def page(rows: Sequence[Row], machine: str, when: datetime, kept: Sequence[str] = ()) -> str:
    """docs/benchmarks.md; `kept` are lines of earlier runs."""
    lines = ["| what | measured | baseline | ratio | bar | |", "| --- | --- | --- | --- | --- | --- |", *kept]
    lines += [
        f"| {row.name} | {row.measured} | {row.baseline} | {row.ratio:.2f} | {row.bar} | {_verdict(row)} |"
        for row in rows
    ]
    return f"{HEAD}{machine}. {when:%Y-%m-%d}.\n\n" + "\n".join(lines) + "\n"


def _kept(old: str, rows: Sequence[Row]) -> list[str]:
    """The page's lines of other benchmarks than these."""
    new = {row.name for row in rows}
    lines = [line for line in old.splitlines() if line.startswith("| ")][1:]
    return [
        line for line in lines if line.split(" | ")[0].removeprefix("| ") not in new and not line.startswith("| ---")
    ]


def machine() -> str:
    """Processor, cores, memory, system and Python, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _table(rows: Sequence[Row]) -> Table:
    table = Table("what", "measured", "baseline", "ratio", "bar", "", box=None, header_style="dim")
    for row in rows:
        colour = "green" if row.passed else "red"
        table.add_row(
            row.name, row.measured, row.baseline, f"{row.ratio:.2f}", row.bar, f"[{colour}]{_verdict(row)}[/{colour}]"
        )
    return table


def _verdict(row: Row) -> str:
    return "met" if row.passed else "missed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
