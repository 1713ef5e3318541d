"""MCP's official conformance suite against a running appliance, and against the suite's own fixtures served by the
appliance's transport. `make conformance` prints what each scenario said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.serving import Appliance, serving, write_layers
from tests.conformance.suite import SUITES, Suite, conform, installed
from tests.conformance.under_test import fixtures_server
from tests.conftest import IN_CI

SENTENCE = "the conformance suite is not there: `make conformance` installs it"


@pytest.fixture(scope="module", autouse=True)
def suite_is_there() -> None:
    if not installed():
        pytest.fail(SENTENCE, pytrace=False) if IN_CI else pytest.skip(SENTENCE)


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with serving(write_layers(tmp_path_factory.mktemp("conformance") / "data"), "--open") as appliance:
        yield appliance


@pytest.fixture(scope="module")
def fixtures() -> Iterator[Appliance]:
    with fixtures_server() as server:
        yield server


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_an_appliance_conforms(appliance: Appliance, suite: Suite, tmp_path: Path) -> None:
    outcome = conform(appliance.url, suite, fixtures=False, folder=tmp_path)
    assert outcome.passed, "\n".join(outcome.lines)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_its_transport_conforms_with_the_suite_s_own_fixtures(
    fixtures: Appliance, suite: Suite, tmp_path: Path
) -> None:
    outcome = conform(fixtures.url, suite, fixtures=True, folder=tmp_path)
    assert outcome.passed, "\n".join(outcome.lines)
