"""The report of a campaign as a section of Markdown: every number comes from the run."""

import os
import platform
import re
from pathlib import Path

from tests.chaos.campaign import Result

SHOWN = 5
"""Violations that are spelt out for each rule."""


def to_markdown(result: Result) -> str:
    settings = result.settings
    killed = sum(count for kind, count in result.counts.items() if kind.startswith("kill"))
    title = f"{settings.documents} documents, {sum(result.counts.values())} faults, seed {settings.seed}"
    return "\n".join(
        (
            f"### {title}",
            "",
            f"{result.documents} documents with the members of archives and mails; {killed} kills; "
            f"{result.restarts} workers started again; `cradle reconcile` was run {result.reconciled} times. "
            f"The calm run took {result.calm_seconds:.0f} s, the one with faults {result.storm_seconds:.0f} s, "
            f"on {os.cpu_count()} cores, Python {platform.python_version()}.",
            "",
            "| fault | times |",
            "| --- | ---: |",
            *(f"| {kind.value} | {count} |" for kind, count in result.counts.items()),
            "",
            "| what must hold | looked at | violations |",
            "| --- | ---: | ---: |",
            *(f"| {one.rule} | {one.looked_at} | {len(one.violations)} |" for one in result.verdict.findings),
            "",
            *_violations(result),
        )
    )


def write_section(file: Path, section: str) -> None:
    """Puts the section into the file, in place of the one of the same title, or at its end."""
    title = section.split("\n", 1)[0]
    before = file.read_text() if file.exists() else ""
    old = re.compile(re.escape(title) + r"\n.*?(?=\n#{1,3} |\Z)", re.S)
    after = old.sub(lambda _: section.rstrip(), before) if old.search(before) else f"{before.rstrip()}\n\n{section}"
    file.write_text(after.strip() + "\n")


def _violations(result: Result) -> list[str]:
    lines = []
    for finding in result.verdict.findings:
        lines += [f"- {finding.rule} {sentence}" for sentence in finding.violations[:SHOWN]]
        if len(finding.violations) > SHOWN:
            lines.append(f"- {finding.rule} And {len(finding.violations) - SHOWN} more.")
    return lines or ["Nothing was lost and nothing doubled."]
