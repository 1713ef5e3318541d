"""What this machine and this release have: Kafka's jars, the repair command."""

import os
from pathlib import Path

from infra.local.kafka import bring_jars
from infra.local.services import ROOT as SERVICES
from tests.chaos.plan import Kind
from tests.chaos.world import ROOT


def libs() -> Path:
    """Apache Kafka's jars, brought by Maven if they are not there. Raises CradleError `service.missing`."""
    named = os.environ.get("CRADLE_TEST_KAFKA_LIBS")
    return Path(named) if named else bring_jars(SERVICES / "kafka" / "libs")


def missing() -> frozenset[Kind]:
    """Faults that need `cradle reconcile`, where there is none."""
    there = (ROOT / "cradle" / "commands" / "reconcile.py").exists()
    return frozenset() if there else frozenset({Kind.TRUNCATE, Kind.RESTORE})
