"""Small campaigns of tests/chaos: nothing is lost or doubled; and where a safety is off, the checker says so.

Each has Apache Kafka, PostgreSQL and workers of its own.
"""

import ast
import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import available, checker
from tests.chaos.campaign import Result, Settings, run
from tests.chaos.careless import EARLY_COMMIT, NO_DEDUPLICATION, careless_settings
from tests.chaos.plan import FEWEST_OTHERS, OTHERS, Kind, plan
from tests.chaos.report import to_markdown
from tests.conftest import require

pytestmark = pytest.mark.apart

SEED = 20261123
OURS = (
    "cradle",
    "services",
    "producers",
    "consumers",
    "operations",
    "builders",
    "engines",
    "infra",
    "appliance",
    "schemas",
)


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Not in pytest's own folder: it is closed to the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="cradle-chaos-tests-"))
    folder.chmod(0o711)
    yield Settings(documents=60, seed=SEED, faults=(), libs=Path(require("KAFKA_LIBS")), parent=folder)
    shutil.rmtree(folder)


def campaign(settings: Settings) -> Result:
    result = asyncio.run(run(settings))
    print(to_markdown(result))
    return result


@pytest.mark.kafka
def test_nothing_is_lost_and_nothing_doubled(settings: Settings) -> None:
    faults = plan(30, SEED, without=available.missing())
    result = campaign(Settings(documents=300, seed=SEED, faults=faults, libs=settings.libs, parent=settings.parent))
    assert sum(result.counts.values()) == len(faults)
    assert result.verdict.violations == []


@pytest.mark.kafka
def test_without_deduplication_the_checker_finds_work_done_twice(settings: Settings) -> None:
    result = campaign(careless_settings(settings, NO_DEDUPLICATION, faults=6))
    assert "No work was done under two ids" in violated(result)


@pytest.mark.kafka
def test_with_offsets_committed_early_the_checker_finds_documents_lost(settings: Settings) -> None:
    result = campaign(careless_settings(settings, EARLY_COMMIT, faults=6))
    assert {"Every document is in the image or in the dead letters", "No committed offset lies beyond a record"} <= (
        violated(result)
    )


def violated(result: Result) -> set[str]:
    """The rules that were broken, by how they begin."""
    begins = ("No work was done under two ids", "Every document is in the image or in the dead letters")
    begins += ("No committed offset lies beyond a record",)
    return {begin for begin in begins for sentence in result.verdict.violations if sentence.startswith(begin)}


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    files = [*Path(checker.__file__).parent.glob("*.py")]
    assert len(files) > 4
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] not in OURS, f"{file.name} imports {name}"
                assert not name.startswith("tests.") or name.startswith(
                    ("tests.chaos.checker", "tests.chaos.documents")
                )


def test_a_seed_gives_one_plan_with_every_fault_in_it() -> None:
    drawn = plan(30, SEED)
    assert drawn == plan(30, SEED) != plan(30, SEED + 1)
    assert {fault.kind for fault in drawn} == set(Kind)
    assert [fault.at for fault in drawn] == sorted(fault.at for fault in drawn)
    kills = [fault for fault in plan(240, SEED) if fault.kind is Kind.KILL]
    assert len(kills) >= 195 and len(OTHERS) <= FEWEST_OTHERS
