"""The servers that the suite is run against."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.processes import free_port
from tests.appliance.serving import Appliance, started


@contextmanager
def fixtures_server() -> Iterator[Appliance]:
    port = free_port()
    command = [sys.executable, "-m", "tests.conformance.fixtures", str(port)]
    with started(command, f"http://127.0.0.1:{port}", {}) as server:
        yield server
