"""A stage as a process: its health endpoints, and how it goes when told to."""

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from infra.local.processes import free_port
from tests.roads.road import Road, wait_until


def test_health_and_sigterm(new_home: Callable[[], Path]) -> None:
    port = free_port()
    road = Road(new_home(), {"CRADLE_HEALTH_PORT": str(port)})

    def answer(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except URLError as error:
            return getattr(error, "code", 0), ""

    try:
        road.run("up")
        [process] = road.start("chunk")
        wait_until(lambda: answer("/readyz")[0] == 200, seconds=60, why=road.logs)
        assert json.loads(answer("/livez")[1])["alive"]
        assert "cradle_messages_total" in answer("/metrics")[1]
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, road.logs()
        assert time.monotonic() - begun < 10
    finally:
        road.stop()
        road.run("down", ok=False)
