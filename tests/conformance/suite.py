"""MCP's official conformance suite: how it is run against a server here; which scenarios cannot pass, and why.

`make conformance` installs it: npm's @modelcontextprotocol/conformance, the newest release for the revisions up to
2025-11-25, the newest preview for both revisions as they were frozen, and the Node 22 that they want.
"""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2] / ".services" / "conformance" / "node_modules"
NODE: Final = ROOT / "node" / "bin" / "node"
SECONDS: Final = 120

OLDER, NEWER = "2025-11-25", "2026-07-28"
REVISIONS: Final = (OLDER, NEWER)

# An appliance answers and does nothing else: it declares none of these capabilities.
NOTIFYING: Final = ("logging-set-level", "tools-call-with-logging", "tools-call-with-progress")
"""The server sends log messages or progress while a tool runs."""
ASKING_BACK: Final = (
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "input-required-result-basic-elicitation",
    "input-required-result-basic-sampling",
    "input-required-result-basic-list-roots",
    "input-required-result-request-state",
    "input-required-result-multiple-input-requests",
    "input-required-result-multi-round",
    "input-required-result-missing-input-response",
    "input-required-result-non-tool-request",
    "input-required-result-result-type",
    "input-required-result-tampered-state",
    "input-required-result-capability-check",
    "input-required-result-ignore-extra-params",
    "server-stateless",  # 4 of its 25 checks want such tools; the other 21 pass
)
"""The server asks the client's model or user something."""
CHANGING: Final = ("resources-subscribe", "resources-unsubscribe")
"""The server reports changes. An image's documents never change."""
SESSIONS: Final = {OLDER: ("server-sse-multiple-streams",), NEWER: ()}
"""The server keeps sessions, which the older revision allows and the newer one has given up."""
FIXTURES: Final = (
    "completion-complete",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-error",
    "resources-read-text",
    "resources-read-binary",
    "resources-templates-read",
    "prompts-list",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-embedded-resource",
    "prompts-get-with-image",
    "caching",  # 1 of its 8 checks lists prompts; the other 7 pass
)
"""The server has the tools, resources and prompts of the suite's own reference server: see `fixtures.py`."""


@dataclass(frozen=True)
class Suite:
    package: str
    revision: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join((self.package, *self.options))


SUITES: Final = (
    Suite("conformance-release", OLDER, ()),
    *(Suite("conformance-preview", revision, ("--requirements", revision)) for revision in REVISIONS),
)


@dataclass(frozen=True)
class Outcome:
    passed: bool
    """Every scenario passed but those that were expected to fail, and those failed."""
    lines: Sequence[str]
    """The suite's summary: a line for each scenario."""


def installed() -> bool:
    return NODE.exists() and all((ROOT / suite.package).exists() for suite in SUITES)


def failing(revision: str, *, fixtures: bool) -> list[str]:
    """The scenarios that cannot pass: against the fixtures server, or against an appliance."""
    return [*NOTIFYING, *ASKING_BACK, *CHANGING, *SESSIONS[revision], *(() if fixtures else FIXTURES)]


def conform(url: str, suite: Suite, *, fixtures: bool, folder: Path) -> Outcome:
    """Runs one suite against the server's `/mcp`. `folder` takes what it writes."""
    baseline = folder / "expected-failures.yml"
    baseline.write_text(_yaml(failing(suite.revision, fixtures=fixtures)))
    program = [str(NODE), str(ROOT / suite.package / "dist" / "index.js"), "server", "--url", f"{url}/mcp"]
    command = [*program, *suite.options, "--expected-failures", str(baseline), "--output-dir", str(folder / "results")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS, cwd=folder)
    _, _, summary = done.stdout.partition("=== SUMMARY ===")
    return Outcome(done.returncode == 0, [*summary.strip().splitlines(), *done.stderr.splitlines()])


def _yaml(scenarios: Iterable[str]) -> str:
    return "server:\n" + "".join(f"  - {one}\n" for one in scenarios)
