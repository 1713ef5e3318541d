"""Servers for tests. PostgreSQL and the embedded broker come with the wheels and are always there; Apache Kafka, S3
and Redis are those that `make services` starts, or those that CRADLE_TEST_* name. Where one is missing, its tests are
skipped, and fail under CI=true: there no test may be skipped, whatever for.
"""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from infra.local.broker import EmbeddedBroker
from infra.local.kafka import KafkaNode
from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import HOST, free_port, listens

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile("local", max_examples=40, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return refuse_skip((yield))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def refuse_skip(report: Report) -> Report:
    """Under CI=true a skip is a failure: what CI did not run it did not check. (A test expected to fail is no skip.)"""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Under CI=true no test is skipped. {reason}"
    return report


def require(name: str) -> str:
    """The value of CRADLE_TEST_<name>. Where it is set nowhere, or names a port of this machine on which nobody
    listens any more, the test is skipped; under CI=true it fails."""
    value = _service_settings().get(f"CRADLE_TEST_{name}")
    if value and _answers(value):
        return value
    sentence = f"{name.lower()} is not there: start it with `make services`, or set CRADLE_TEST_{name}"
    if IN_CI:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def _answers(value: str) -> bool:
    local = re.search(rf"{re.escape(HOST)}:(\d+)", value)
    return local is None or listens(int(local[1]))


def _service_settings() -> dict[str, str]:
    file = ROOT / ".services" / "env"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line) | {
        name: value for name, value in os.environ.items() if name.startswith("CRADLE_TEST_")
    }


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="cradle-tests-"))  # pytest's own folder is closed to the server's user
    server = EmbeddedPostgres(folder / "postgres", {"fsync": "off"})
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, empty database."""
    name = f"test_{uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path_factory.mktemp("broker"), kafka_port=free_port(), redis_port=free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def embedded_broker_url(embedded_broker: EmbeddedBroker) -> str:
    """`kafka://127.0.0.1:PORT` of the embedded broker; shared by all tests, so name topics and groups afresh."""
    return embedded_broker.broker_url


@pytest.fixture
def kafka_url() -> str:
    """`kafka://HOST:PORT` of Apache Kafka; shared by all tests, so name topics and groups afresh."""
    return f"kafka://{require('KAFKA')}"


@pytest.fixture
def kafka_node(tmp_path: Path) -> Iterator[KafkaNode]:
    """A throwaway Apache Kafka for this test alone, not started: to be killed and started again."""
    node = KafkaNode(tmp_path / "kafka", Path(require("KAFKA_LIBS")))
    yield node
    node.kill()


@pytest.fixture
def redis_url() -> str:
    """`redis://HOST:PORT/0`; shared by all tests."""
    return f"redis://{require('REDIS')}/0"


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://BUCKET/staging?endpoint=...&region=...` with a fresh bucket; credentials stand in the AWS variables."""
    endpoint = require("S3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", require("S3_ACCESS_KEY"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", require("S3_SECRET"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    bucket = f"test-{secrets.token_hex(8)}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/staging?endpoint={endpoint}&region=us-east-1"
