"""Where a stage reads on, told by times, ends and offsets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cradle.flow import read_flow
from infra.broker import Member, OutgoingRecord, open_broker
from infra.broker.memory import MemoryBroker
from operations.offsets import End, Move, Target, read_target, reset
from schemas.errors import CradleError

FLOW = read_flow()
START = datetime(2026, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    """`chunked` holds offsets 2 to 9 in the one partition that has any, a second apart; `embed` has done 7."""
    async with open_broker("memory:") as broker:
        assert isinstance(broker, MemoryBroker)
        await broker.create_topic("chunked", partitions=2, replication=1, config={})
        for number in range(10):
            broker.append(OutgoingRecord("chunked", b"key", b"", []), timestamp_ms=milliseconds(START) + 1000 * number)
        broker.truncate("chunked", partition(), 2)
        broker.commit("embed", "chunked", partition(), 7)
        yield broker


def partition() -> int:
    from zlib import crc32

    return crc32(b"key") % 2


@pytest.mark.parametrize(
    ("to", "after"),
    [
        (End.EARLIEST, 2),
        (End.LATEST, 10),
        (START.replace(second=4), 4),
        (START.replace(second=4, microsecond=500_000), 5),
        (START.replace(year=2025), 2),
        (START.replace(year=2027), 10),
        (0, 2),
        (5, 5),
        (99, 10),
    ],
)
async def test_a_group_reads_on_where_it_is_told(broker: MemoryBroker, to: Target, after: int) -> None:
    moves = await reset("embed", to, broker=broker, topology=FLOW, dry_run=True)
    assert len(moves) == 2
    assert moves[partition()] == Move("chunked", partition(), 7, after, 10)
    assert moves[partition()].again == 7 - after
    assert broker.committed("embed", "chunked", partition()) == 7, "a dry run changes nothing"

    assert await reset("embed", to, broker=broker, topology=FLOW) == moves
    assert broker.committed("embed", "chunked", partition()) == after


async def test_one_partition_alone(broker: MemoryBroker) -> None:
    other = 1 - partition()
    [move] = await reset("embed", 0, broker=broker, topology=FLOW, topic="chunked", partition=other)
    assert move.partition == other
    assert broker.committed("embed", "chunked", partition()) == 7
    for topic, number in (("chunked", 2), ("chunk-ready", 0)):
        with pytest.raises(CradleError) as refused:
            await reset("embed", 0, broker=broker, topology=FLOW, topic=topic, partition=number)
        assert refused.value.code == "offsets.topic"
        assert "chunked" in refused.value.next_step


async def test_a_stage_at_work_is_left_alone(broker: MemoryBroker) -> None:
    broker.joined["embed"] = [Member("embed-1", "host", frozenset())]
    for dry_run in (True, False):
        with pytest.raises(CradleError) as refused:
            await reset("embed", End.EARLIEST, broker=broker, topology=FLOW, dry_run=dry_run)
        assert refused.value.code == "group.active"
    assert broker.committed("embed", "chunked", partition()) == 7


async def test_an_unknown_group_is_told_the_known_ones(broker: MemoryBroker) -> None:
    with pytest.raises(CradleError) as refused:
        await reset("embedd", End.EARLIEST, broker=broker, topology=FLOW)
    assert refused.value.code == "stage.unknown"
    assert "embed, pack" in refused.value.next_step


def test_targets_as_a_person_writes_them() -> None:
    assert read_target("earliest") is End.EARLIEST
    assert read_target("latest") is End.LATEST
    assert read_target("42") == 42
    assert read_target("2026-01-01") == START
    assert read_target("2026-01-01T01:00+01:00") == START
    for text in ("", "soon", "-1", "1.5", "1900-01-01", "²"):
        with pytest.raises(CradleError) as refused:
            read_target(text)
        assert refused.value.code == "offsets.target"
