"""Where a benchmark finds Apache Kafka: CRADLE_TEST_KAFKA, or what `make services` wrote."""

import os
from pathlib import Path

_ENV = Path(__file__).parents[1] / ".services" / "env"


class Missing(Exception):
    """A benchmark's service is not there; its row says so."""


def kafka_url() -> str:
    """`kafka://HOST:PORT`. Raises Missing."""
    lines = _ENV.read_text().splitlines() if _ENV.exists() else []
    settings = dict(line.split("=", 1) for line in lines if "=" in line) | os.environ
    if "CRADLE_TEST_KAFKA" not in settings:
        raise Missing("Apache Kafka: start it with `make services`")
    return f"kafka://{settings['CRADLE_TEST_KAFKA']}"
