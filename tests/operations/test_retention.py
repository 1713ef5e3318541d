"""What `cradle doctor` says of how long topics are kept."""

from typing import Any

import pytest

from cradle.flow import read_flow
from infra.broker import PartitionLag
from infra.broker.memory import MemoryBroker
from operations.retention import RETENTION, examine_retention
from operations.topics import apply, wanted_topics
from schemas.errors import Retryable

FLOW = read_flow()
KEPT = FLOW.topics["chunk-ready"].retention
NOW = 1_700_000_000.0


class Slow(MemoryBroker):
    """A broker on which the chunk stage is behind."""

    seconds = 0.0

    async def lag(self, group: str, topics: Any) -> list[PartitionLag]:
        behind = self.seconds if group == "chunk" else 0.0
        return [PartitionLag(topic, number, 5, 9, behind * number) for topic in topics for number in range(2)]


@pytest.fixture
async def broker() -> Slow:
    made = Slow()
    await apply(made, FLOW, replication=1)
    return made


async def codes(broker: Slow) -> list[tuple[str, str]]:
    return [(one.name, one.code) for one in await examine_retention(broker, FLOW, now=NOW)]


async def test_says_nothing_while_all_is_well(broker: Slow) -> None:
    broker.seconds = KEPT / 2 - 1
    assert await codes(broker) == []


async def test_unread_records_past_half_of_the_retention_are_told_once_a_topic(broker: Slow) -> None:
    broker.seconds = KEPT * 0.75
    findings = await examine_retention(broker, FLOW, now=NOW)
    assert [(one.name, one.code, one.ok) for one in findings] == [
        (f"topic {topic}", "topic.expiring", False) for topic in FLOW.stages["chunk"].reads
    ]
    assert all("75%" in one.problem and "cradle lag" in one.remedy for one in findings)


@pytest.mark.parametrize("name", ["ingest", "chunk-ready.dlq"])
async def test_another_retention_than_topics_yaml_says_is_told(broker: Slow, name: str) -> None:
    right = wanted_topics(FLOW, replication=1)[name].config[RETENTION]
    for kept, told in (("3600000", "kept 1 h"), ("-1", "kept for ever")):
        await broker.alter_topic(name, partitions=None, config={RETENTION: kept})
        [finding] = await examine_retention(broker, FLOW, now=NOW)
        assert (finding.name, finding.code) == (f"topic {name}", "topic.retention")
        assert told in finding.problem
        assert "cradle topics apply" in finding.remedy
    await broker.alter_topic(name, partitions=None, config={RETENTION: right})
    assert await codes(broker) == []


async def test_topics_that_are_not_there_are_their_stages_to_report() -> None:
    assert await codes(Slow()) == []


async def test_a_broker_that_is_away_is_another_finding(broker: Slow) -> None:
    broker.away = True
    with pytest.raises(Retryable):
        await codes(broker)
