"""The alarms point at metrics that exist and at a runbook for each, and the runbook at commands that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import Metric

from consumers.runtime.metrics import ChoreMetrics, Metrics
from cradle.commands import app
from cradle.flow import read_flow
from operations.lag import Partition, StageLag
from operations.lag_gauges import LagGauges
from schemas.errors import CATALOGUE, Family

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
RUNBOOK = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
PARTS = ("Means", "Look", "Do", "Do not", "Over when")
WRONG_USE: Any = typer.BadParameter.__base__  # its UsageError, which typer does not name


def _told() -> list[Metric]:
    """Whatever a worker and `cradle lag --listen` may tell, each metric with a sample."""
    metrics = Metrics("chunk")
    metrics.dead_letters.labels("chunk", "source.missing").inc()
    metrics.wait_for({"dependency.away"})
    ChoreMetrics(metrics.registry)
    gauges = LagGauges(metrics.registry)
    partition = Partition("chunk-ready", 0, 1, 2, 3.0, "a", 1.0, 1.0, 2.0, False, 0.1)
    gauges.set([StageLag("chunk", (partition,))])
    gauges.set_open_documents([("chunk", 1)])
    return [*metrics.registry.collect()]


LABELS = {sample.name: set(sample.labels) for metric in _told() for sample in metric.samples}


def _name(rule: dict[str, Any]) -> str:
    return str(rule["alert"])


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9-]", "", heading.lower().replace(" ", "-"))


def _sections() -> dict[str, str]:
    """The runbook's sections by their anchors."""
    alarms = RUNBOOK.split("\n## Alarms\n")[1].split("\n## ")[0]
    heads_and_texts = re.split(r"\n### (.+)\n", alarms)[1:]
    return {_anchor(head): text for head, text in zip(heads_and_texts[::2], heads_and_texts[1::2], strict=True)}


@pytest.mark.parametrize("rule", RULES, ids=_name)
class TestRule:
    def test_asks_for_metrics_and_labels_that_exist(self, rule: dict[str, Any]) -> None:
        expression = rule["expr"]
        names = re.findall(r"\bcradle_\w+", expression)
        assert names
        assert [name for name in names if name not in LABELS] == []
        known = set.intersection(*(LABELS[name] for name in names))
        grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        told = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert {label.strip() for labels in grouped for label in labels.split(",")} - {"stage"} <= known
        assert {*told} <= {label.strip() for labels in grouped for label in labels.split(",")}
        for name, matchers in re.findall(r"\b(cradle_\w+)\{([^}]*)\}", expression):
            assert {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)} <= LABELS[name]

    def test_names_codes_that_exist(self, rule: dict[str, Any]) -> None:
        for operator, pattern in re.findall(r'code(=~|!~|!=|=)"([^"]*)"', rule["expr"]):
            matched = [
                code for code in CATALOGUE if (re.fullmatch(pattern, code) if "~" in operator else code == pattern)
            ]
            assert matched, pattern

    def test_says_how_urgent_it_is_and_what_is_the_matter(self, rule: dict[str, Any]) -> None:
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "runbook_url"}

    def test_has_a_section_of_the_runbook_under_its_own_name(self, rule: dict[str, Any]) -> None:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (ROOT / page) == ROOT / "docs" / "operating.md"
        assert anchor.replace("-", "") == rule["alert"].lower()
        assert anchor in _sections()


def test_every_section_of_the_runbook_belongs_to_one_rule() -> None:
    anchors = [rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES]
    assert sorted(_sections()) == sorted(anchors)


@pytest.mark.parametrize("anchor", _sections())
def test_a_section_says_all_that_is_needed(anchor: str) -> None:
    assert tuple(re.findall(r"^\*\*([^*]+)\.\*\*", _sections()[anchor], re.MULTILINE)) == PARTS


def test_the_reasons_to_wait_that_a_person_can_mend_are_told() -> None:
    """The others pass by themselves, or have an alarm or a sentence of their own."""
    told = set(re.findall(r"`([a-z]+\.[a-z-]+)`", _sections()["stage-waits"]))
    waits = {code for code, kind in CATALOGUE.items() if kind.family is Family.RETRYABLE}
    by_itself = {"dependency.away", "dependency.busy", "dependency.full", "dependency.refused"}
    ours = {"delivery.storm", "delivery.isolation", "delivery.broken"}
    of_services = {code for code in waits if code.startswith("service.")}  # no stage waits for one
    assert told == waits - by_itself - ours - of_services


def test_links_within_the_page_lead_to_its_headings() -> None:
    headings = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", RUNBOOK) if anchor not in headings] == []


# -- commands ---------------------------------------------------------------------------------------------------------

AN_ID = "0b0c4f4e-0000-4000-8000-000000000000"
EXAMPLES = {"JOB": AN_ID, "ID": AN_ID, "STAGE": "chunk", "CODE": "source.missing"}
"""What stands in the page for what a reader fills in."""


def _shown() -> list[str]:
    """Each `cradle ...` line of a block, without its remark, and each such piece of code in the text."""
    blocks = re.findall(r"```.*?\n(.*?)```", RUNBOOK, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("cradle ")]
    prose = re.sub(r"```.*?```", "", RUNBOOK, flags=re.DOTALL)
    return sorted({*lines, *(re.sub(r"\s+", " ", code) for code in re.findall(r"`(cradle [^`]+)`", prose))})


def accepts(line: str) -> None:
    """Parses the line as the command would, and runs nothing. Raises WRONG_USE."""
    words = [EXAMPLES.get(word, word) for word in shlex.split(line, comments=True)][1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, f"there is no {name}"
        command = command.commands[name]
    command.make_context(command.name, words)


def test_the_page_shows_the_commands_that_it_is_about() -> None:
    names = {line.split()[1] for line in _shown()}
    assert names >= {"lag", "dlq", "replay", "verify", "offsets", "reconcile", "cancel", "doctor", "run", "topics"}


@pytest.mark.parametrize("line", _shown())
def test_a_command_line_that_is_shown_is_accepted(line: str) -> None:
    accepts(line)


@pytest.mark.parametrize(
    "line", ["cradle nothing", "cradle lag --no-such-option", "cradle job", "cradle job x", "cradle dlq show A B"]
)
def test_a_wrong_command_line_is_found(line: str) -> None:
    with pytest.raises((WRONG_USE, AssertionError)):
        accepts(line)


def test_stages_that_are_named_in_the_order_of_an_upgrade_are_the_flows() -> None:
    """From the end of the flow to its beginning, so that each reader is upgraded before what it reads from."""
    [order] = re.findall(r"to its beginning: ((?:`[a-z]+`, )+)then the\s+producers", RUNBOOK)
    named = re.findall(r"`([a-z]+)`", order)
    flow = read_flow()
    assert set(named) == set(flow.stages)
    for place, stage in enumerate(named):
        readers = {reader for topic in flow.stages[stage].writes for reader in flow.readers[topic]}
        assert readers <= {*named[:place]}
