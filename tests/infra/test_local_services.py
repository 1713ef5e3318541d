"""Real services for developers: what is missing is said, and Apache Kafka keeps what it acknowledged through a kill."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.local import services
from infra.local.kafka import KafkaNode
from tests import conftest


def test_without_any_program_it_says_what_to_install_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert services.up(tmp_path / "services") == 3
    said = capsys.readouterr().err
    assert all(word in said for word in ("apt install maven", "go.dev", "apt install redis-server"))
    assert services.read_env(tmp_path / "services") == {}
    assert services.status(tmp_path / "services") == 3
    assert services.down(tmp_path / "services") == 0


def test_wrong_use_is_told() -> None:
    assert services.main([]) == services.main(["sideways"]) == 2


@pytest.mark.parametrize(("in_ci", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_a_test_without_its_service_is_skipped_and_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_ci: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(conftest, "ROOT", tmp_path)
    monkeypatch.setattr(conftest, "IN_CI", in_ci)
    monkeypatch.delenv("CRADLE_TEST_KAFKA", raising=False)
    with pytest.raises(outcome, match="make services"):
        conftest.require("KAFKA")
    monkeypatch.setenv("CRADLE_TEST_KAFKA", "somewhere:9092")
    assert conftest.require("KAFKA") == "somewhere:9092"


@pytest.mark.kafka
async def test_a_killed_kafka_starts_again_at_its_address_with_what_it_acknowledged(kafka_node: KafkaNode) -> None:
    await asyncio.to_thread(kafka_node.start)
    address = kafka_node.address
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait("kept", b"value")
    assert await asyncio.to_thread(kafka_node.kill)
    assert not kafka_node.running()

    await asyncio.to_thread(kafka_node.start)
    assert kafka_node.address == address
    async with contextlib.AsyncExitStack() as opened:
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        await consumer.start()
        opened.push_async_callback(consumer.stop)
        consumer.assign([TopicPartition("kept", 0)])
        record = await asyncio.wait_for(consumer.getone(), 30)
    assert record.value == b"value"
