"""Does Kafka keep every record until it was read? What `cradle doctor` says of the topics."""

from collections.abc import Mapping

from infra.broker import Broker, TopicState
from operations.doctor import Finding
from operations.lag import StageLag, judge, take_sample
from operations.topics import wanted_topics
from schemas.errors import CradleError
from schemas.topology import Topology

RETENTION = "retention.ms"


async def examine_retention(broker: Broker, flow: Topology, *, now: float) -> list[Finding]:
    """A finding for each topic that is kept for another time than topics.yaml says, and for each with records that a
    stage has left unread for more than half of it. None while all is well. `now`: seconds since 1970.

    Raises Retryable `dependency.away`.
    """
    present = await broker.topics()
    read = {stage: one for stage, one in flow.stages.items() if all(topic in present for topic in one.reads)}
    lags = judge(flow, await take_sample(broker, flow, [*read], now=now), None)
    return [*_kept_otherwise(flow, present), *_expiring(flow, lags)]


def _kept_otherwise(flow: Topology, present: Mapping[str, TopicState]) -> list[Finding]:
    """A topic that is not there is its stage's to report."""
    found = []
    for name, topic in wanted_topics(flow, replication=1).items():
        wanted = topic.config[RETENTION]
        state = present.get(name)
        if state is not None and state.config.get(RETENTION) != wanted:
            kept = _told_ms(state.config.get(RETENTION))
            found.append(_finding(name, CradleError("topic.retention", topic=name, kept=kept, wanted=_told_ms(wanted))))
    return found


def _expiring(flow: Topology, lags: list[StageLag]) -> list[Finding]:
    found = []
    for lag in lags:
        for topic in flow.stages[lag.stage].reads:
            used = max((one.retention_used for one in lag.partitions if one.topic == topic and one.expiring), default=0)
            if used:
                error = CradleError("topic.expiring", topic=topic, stage=lag.stage, used=f"{used:.0%}")
                found.append(_finding(topic, error))
    return found


def _finding(topic: str, error: CradleError) -> Finding:
    return Finding(f"topic {topic}", "", False, "", 0.0, error.code, error.sentence, error.next_step)


def _told_ms(milliseconds: str | None) -> str:
    """Hours, as far as it is a number of them. Kafka's -1 keeps records for ever."""
    if milliseconds is None or not milliseconds.lstrip("-").isdigit():
        return "an unknown time"
    return "for ever" if int(milliseconds) < 0 else f"{int(milliseconds) / 3_600_000:g} h"
