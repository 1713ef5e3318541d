"""What topics.yaml asks of a broker, and how the flow is drawn."""

from pathlib import Path

import pytest

from cradle.flow import read_flow
from infra.broker import TopicState, open_broker
from operations.topics import apply, draw, plan, wanted_topics
from schemas.envelope import MAX_RECORD_BYTES
from schemas.errors import CradleError
from schemas.topology import Topology, read_topology

REAL = (Path(__file__).parents[2] / "topics.yaml").read_text()
DIAMOND = """
topics:
  ingest:  {type: cradle.ingest.v1, key: customer, partitions: 2, retention: 4h, max_bytes: 1MiB, origin: producers}
  left:    {type: cradle.documents.v1, key: document, partitions: 2, retention: 1d, max_bytes: 1MiB}
  middle:  {type: cradle.pages.v1, key: document, partitions: 2, retention: 1d, max_bytes: 1MiB}
  right:   {type: cradle.chunks.v1, key: document, partitions: 2, retention: 30d, max_bytes: 100KiB}
  later:   {type: cradle.graph.v1, key: document, partitions: 2, retention: 1d, max_bytes: 1MiB, reserved: true}
stages:
  join:  {reads: [left, middle, right], writes: [], version: 1}
  split: {reads: [ingest], writes: [left, middle, right], version: 1}
"""


@pytest.fixture
def real() -> Topology:
    return read_flow()


@pytest.fixture
def diamond() -> Topology:
    return read_topology(DIAMOND, folders={"split", "join"})


def test_every_topic_in_use_is_wanted_with_one_for_its_dead_letters(diamond: Topology) -> None:
    wanted = wanted_topics(diamond, replication=1)
    assert [*wanted] == ["ingest", "ingest.dlq", "left", "left.dlq", "middle", "middle.dlq", "right", "right.dlq"]
    assert wanted["ingest"].partitions == 2
    assert wanted["ingest"].config["retention.ms"] == str(4 * 3600 * 1000)
    assert wanted["ingest"].config["segment.ms"] == str(3600 * 1000)
    assert wanted["ingest.dlq"].partitions == 1
    assert wanted["ingest.dlq"].config["retention.ms"] == str(14 * 24 * 3600 * 1000)
    assert wanted["right.dlq"].config["retention.ms"] == str(30 * 24 * 3600 * 1000), "not shorter than its topic"


def test_a_topic_takes_a_full_record_and_its_framing(real: Topology) -> None:
    for wanted in wanted_topics(real, replication=1).values():
        assert int(wanted.config["max.message.bytes"]) >= MAX_RECORD_BYTES + 16 * 1024


@pytest.mark.parametrize(("replication", "in_sync"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_three_copies_have_two_in_sync(real: Topology, replication: int, in_sync: str | None) -> None:
    for wanted in wanted_topics(real, replication=replication).values():
        assert wanted.config.get("min.insync.replicas") == in_sync


def test_a_plan_tells_each_difference_in_a_line(diamond: Topology) -> None:
    wanted = {name: one for name, one in wanted_topics(diamond, replication=1).items() if name in ("ingest", "left")}
    present = {"left": TopicState(1, {**wanted["left"].config, "retention.ms": "5"})}
    create, alter = plan(wanted, present)
    assert str(create) == (
        "ingest: create with partitions=2, retention.ms=14400000, segment.ms=3600000, max.message.bytes=1114112"
    )
    assert str(alter) == "left: alter partitions 1 -> 2, retention.ms 5 -> 86400000"
    assert plan(wanted, {name: TopicState(one.partitions, one.config) for name, one in wanted.items()}) == []


def test_fewer_partitions_are_refused(real: Topology) -> None:
    with pytest.raises(CradleError) as error:
        plan(wanted_topics(real, replication=1), {"chunked": TopicState(8, {})})
    assert error.value.code == "topology.partitions"
    assert str(error.value) == "Topic 'chunked' has 8 partitions; 4 were asked for, and Kafka cannot remove any."


@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_applied_twice_changes_nothing_more(
    request: pytest.FixtureRequest, kind: str, real: Topology, diamond: Topology
) -> None:
    url = "memory:" if kind == "memory" else request.getfixturevalue("embedded_broker_url")
    async with open_broker(url) as broker:
        planned = await apply(broker, diamond, replication=1, dry_run=True)
        assert planned
        assert not {change.topic for change in planned} & set(await broker.topics()), "a dry run changes nothing"
        assert await apply(broker, diamond, replication=1) == planned
        assert await apply(broker, diamond, replication=1) == []

        more = read_topology(
            DIAMOND.replace("partitions: 2, retention: 1d", "partitions: 3, retention: 2d"), folders={"split", "join"}
        )
        changes = await apply(broker, more, replication=1)
        assert {change.topic for change in changes} == {"left", "middle"}
        state = (await broker.topics())["left"]
        assert (state.partitions, state.config["retention.ms"]) == (3, "172800000")
        assert await apply(broker, more, replication=1) == []


def test_the_real_flow_is_drawn(real: Topology) -> None:
    assert (
        draw(real)
        == """\
 producers  ──▶ ingest      ──▶ admit ─┬▶ chunk-ready
                                       └▶ ocr-ready
                ocr-ready   ──▶ ocr   ──▶ ocr-done
                chunk-ready ─┬▶ chunk ──▶ chunked
                ocr-done    ─┘
                chunked     ──▶ embed ──▶ embedded
                embedded    ──▶ pack
 completion ──▶ bake-ready  ──▶ bake

 reserved for stages to come: graphed"""
    )


def test_a_flow_that_splits_and_joins_is_drawn_in_order(diamond: Topology) -> None:
    assert (
        draw(diamond)
        == """\
 producers  ──▶ ingest ──▶ split ─┬▶ left
                                  ├▶ middle
                                  └▶ right
                left   ─┬▶ join
                middle ─┤
                right  ─┘

 reserved for stages to come: later"""
    )


def test_a_drawing_fits_a_terminal(real: Topology, diamond: Topology) -> None:
    assert all(len(line) <= 80 for flow in (real, diamond) for line in draw(flow).splitlines())


def test_an_imaginary_stage_is_drawn_and_gets_its_topics() -> None:
    topic = "  summarised: {type: cradle.pages.v1, key: document, partitions: 4, retention: 7d, max_bytes: 1MiB}\n"
    text = REAL.replace("  bake-ready:", f"{topic}  bake-ready:").replace(
        "writes: [chunked], ", "writes: [chunked, summarised], "
    )
    text += "  imagine: {reads: [summarised], writes: [], version: 1}\n"
    flow = read_topology(text, folders=set(read_flow().stages) | {"imagine"})
    assert "                summarised  ──▶ imagine" in draw(flow).splitlines()
    assert {"summarised", "summarised.dlq"} <= set(wanted_topics(flow, replication=1))


def test_in_sync_copies_are_asked_of_new_topics_alone(real: Topology) -> None:
    """A topic of one copy that had to have two in sync would refuse every record."""
    wanted = wanted_topics(real, replication=3)
    there = {name: TopicState(topic.partitions, dict(topic.config)) for name, topic in wanted.items()}
    there["ingest"] = TopicState(wanted["ingest"].partitions, {**wanted["ingest"].config, "min.insync.replicas": "1"})
    assert plan(wanted, there) == []
