from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from cradle.flow import read_flow
from infra.broker import Member, PartitionLag
from infra.ledger import JobState, JobView, NewDocument, NewJob, Outcome, StageProgress, Unit, open_ledger
from operations.job_lag import by_customer, eta_seconds, running_jobs
from operations.lag import LagMeter, Mark, Sample, StageLag, drain_seconds, judge
from operations.lag_gauges import LagGauges

FLOW = read_flow()
PATIENCE = FLOW.stages["chunk"].stuck
RETENTION = FLOW.topics["chunk-ready"].retention
NOW = 1_700_000_000.0
PLACE = ("chunk", "chunk-ready", 0)


def lag(committed: int = 0, end: int = 0, seconds: float = 0.0, mark: Mark | None = None) -> PartitionLag:
    return PartitionLag("chunk-ready", 0, committed, end, seconds, mark.text() if mark else "")


def judged(now: PartitionLag, before: PartitionLag | None = None, *, owner: str | None = None) -> StageLag:
    """`before` was seen ten seconds earlier."""
    owners = {PLACE: owner} if owner else {}
    earlier = Sample(NOW - 10, {PLACE: before}, {}) if before else None
    [stage] = judge(FLOW, Sample(NOW, {PLACE: now}, owners), earlier)
    return stage


def mark_at(seconds: float, worker: str = "a") -> Mark:
    return Mark(worker, since=int((NOW - 3600) * 1000), at=int(seconds * 1000))


class TestRates:
    def test_are_unknown_at_the_first_look(self) -> None:
        [partition] = judged(lag(5, 9)).partitions
        assert (partition.rate_in, partition.rate_out) == (None, None)
        assert judged(lag(5, 9)).drain_seconds is None

    def test_are_records_a_second_between_two_looks(self) -> None:
        stage = judged(lag(40, 100), lag(10, 90))
        assert (stage.rate_in, stage.rate_out) == (1.0, 3.0)
        assert stage.drain_seconds == 60 / 2

    def test_offsets_that_were_set_back_are_no_negative_rate(self) -> None:
        assert judged(lag(0, 100), lag(50, 100)).rate_out == 0.0

    @pytest.mark.parametrize(
        ("behind", "rate_in", "rate_out", "seconds"),
        [(0, None, None, 0.0), (10, 1.0, 1.0, None), (10, 2.0, 1.0, None), (10, 0.0, 5.0, 2.0), (10, None, 5.0, None)],
    )
    def test_drain(self, behind: int, rate_in: float | None, rate_out: float | None, seconds: float | None) -> None:
        assert drain_seconds(behind, rate_in, rate_out) == seconds


class TestStuck:
    def test_nothing_waits(self) -> None:
        assert judged(lag(9, 9, mark=mark_at(NOW - 10 * PATIENCE))).stuck == 0

    def test_waits_long_and_nobody_ever_committed(self) -> None:
        assert judged(lag(0, 9, PATIENCE + 1)).stuck == 1

    def test_waits_long_and_the_last_commit_is_as_old(self) -> None:
        assert judged(lag(3, 9, PATIENCE + 1, mark_at(NOW - PATIENCE - 1))).stuck == 1

    def test_a_backlog_that_moves_is_not_stuck(self) -> None:
        assert judged(lag(3, 9, 10 * PATIENCE, mark_at(NOW - 1))).stuck == 0

    def test_a_record_that_has_just_come_after_a_quiet_night(self) -> None:
        assert judged(lag(3, 4, 1.0, mark_at(NOW - 8 * 3600))).stuck == 0


class TestOwner:
    def test_is_told_with_the_time_since(self) -> None:
        [partition] = judged(lag(1, 1, mark=mark_at(NOW)), owner="a").partitions
        assert (partition.owner, partition.owned_since) == ("a", NOW - 3600)

    def test_a_mark_of_the_one_before_says_nothing_of_this_one(self) -> None:
        [partition] = judged(lag(1, 1, mark=mark_at(NOW, worker="b")), owner="a").partitions
        assert (partition.owner, partition.owned_since) == ("a", None)

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", '{"worker": 1}', "who knows", '{"worker":"a","since":"x","at":1}']
    )
    def test_a_strangers_text_is_no_mark(self, text: str) -> None:
        assert Mark.read(text) is None

    def test_a_mark_is_read_as_it_was_written(self) -> None:
        assert Mark.read(mark_at(NOW).text()) == mark_at(NOW)


def test_half_of_the_retention_is_a_warning() -> None:
    assert judged(lag(0, 1, RETENTION / 2 - 1)).expiring == 0
    assert judged(lag(0, 1, RETENTION / 2)).expiring == 1


class Looked:
    """A broker that answers what it is told."""

    def __init__(self) -> None:
        self.now = lag(0, 10)

    async def lag(self, group: str, topics: Any) -> list[PartitionLag]:
        return [self.now] if group == "chunk" else []

    async def members(self, group: str) -> list[Member]:
        return [Member("w", "h", frozenset({("chunk-ready", 0)}))] if group == "chunk" else []


async def test_a_meter_takes_rates_over_its_window() -> None:
    broker = Looked()
    meter = LagMeter(broker, FLOW)  # type: ignore[arg-type]
    for second in range(100):
        broker.now = lag(second * 3, 1000 + second)
        [stage] = await meter.look(["chunk"], now=NOW + second)
    assert stage.rate_out == pytest.approx(3.0)
    assert stage.rate_in == pytest.approx(1.0)
    assert stage.owners == 1


def test_gauges_have_no_customer_and_tell_what_only_grows() -> None:
    registry = CollectorRegistry()
    gauges = LagGauges(registry)
    gauges.set([judged(lag(5, 20), lag(5, 10))])
    gauges.set_open_documents([("chunk", 3)])
    text = generate_latest(registry).decode()
    assert 'cradle_lag_records_behind{partition="0",stage="chunk",topic="chunk-ready"} 15.0' in text
    assert 'cradle_lag_drain_seconds{stage="chunk"} +Inf' in text
    assert 'cradle_open_documents{stage="chunk"} 3.0' in text


# -- jobs -------------------------------------------------------------------------------------------------------------

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def view(**fields: Any) -> JobView:
    known: dict[str, Any] = {
        "id": uuid4(),
        "customer": "acme",
        "reference": "r",
        "state": JobState.PROCESSING,
        "parameters": 1,
        "fingerprint": "f",
        "parent": None,
        "generation": 0,
        "manifest": 1000,
        "total": 1000,
        "done": 0,
        "failed": 0,
        "open_work": 1,
        "items": {},
        "outcomes": {},
        "reason": None,
        "image": None,
        "merkle": {},
        "opened_at": T0,
        "completed_at": None,
        "baked_at": None,
        "erased_at": None,
        "retain_until": T0,
    }
    return JobView(**{**known, **fields})


@pytest.mark.parametrize("latency", [0.0, 5.0, 30.0])
@pytest.mark.parametrize("batch", [1, 20, 64])
def test_eta_is_within_a_fifth_once_a_tenth_is_done(latency: float, batch: int) -> None:
    """A steady run: after the pipeline has filled, ten documents a second, in groups."""
    rate, total = 10.0, 1000
    ends = latency + total / rate
    first = latency + batch / rate
    for second in range(int(latency) + 1, int(ends)):
        done = int((second - latency) * rate) // batch * batch
        if done < total / 10 or done == batch:
            continue
        known = {"first_done_at": T0 + timedelta(seconds=first), "first_done": batch}
        last = T0 + timedelta(seconds=latency + done / rate)
        eta = eta_seconds(view(done=done, last_done_at=last, **known), T0 + timedelta(seconds=second))
        assert eta == pytest.approx(ends - second, rel=0.2)


async def test_eta_on_a_steady_run_of_the_ledger() -> None:
    """1,000 documents, admitted by window and finished in polls of 64, each poll after the time its documents take."""
    total, poll, seconds_each, fills = 1000, 64, 0.1, 7.0
    job = NewJob(uuid4(), "acme", "r", 1, "f", T0)
    async with open_ledger("memory:") as ledger:
        await ledger.open_job(job)
        units = [Unit(uuid4(), "pack", f"d{number}") for number in range(total)]
        met = tuple(NewDocument(f"d{number}", b"path") for number in range(total))
        admitted = Outcome(uuid4(), job.id, None, opens=tuple(units), documents=met, manifest=total)
        await ledger.record("admit", [admitted], now=T0)
        ends = T0 + timedelta(seconds=fills + total * seconds_each)
        told = 0
        for begin in range(0, total, poll):
            some = units[begin : begin + poll]
            at = T0 + timedelta(seconds=fills + (begin + len(some)) * seconds_each)
            await ledger.record("pack", [Outcome(one.message, job.id, one.document) for one in some], now=at)
            looked = at + timedelta(seconds=2)
            if begin + len(some) < total / 10 or begin == 0 or looked > ends:
                continue
            [seen] = await running_jobs(ledger, now=looked)
            assert seen.eta_seconds == pytest.approx((ends - looked).total_seconds(), rel=0.2)
            told += 1
    assert told > 10


def test_eta_is_unknown_before_there_is_a_rate() -> None:
    later = T0 + timedelta(seconds=9)
    known = {"first_done_at": T0, "first_done": 5, "last_done_at": later}
    assert eta_seconds(view(), later) is None
    assert eta_seconds(view(manifest=None, done=9, **known), later) is None
    assert eta_seconds(view(done=5, **known), later) is None
    assert eta_seconds(view(done=1000, **known), later) == 0.0
    assert eta_seconds(view(done=10, **known), later + timedelta(days=1)) == 0.0, "late, and no guess how much"


class Running:
    def __init__(self, views: list[JobView], open_work: list[StageProgress]) -> None:
        self._views, self._open = views, open_work

    async def jobs(self, customer: str | None = None, *, limit: int = 100) -> list[JobView]:
        return self._views[:limit]

    async def running(self) -> list[StageProgress]:
        return self._open


async def test_jobs_under_way_and_their_customers() -> None:
    one, other, over = view(done=10, failed=2), view(customer="other"), view(state=JobState.BAKED)
    open_work = [StageProgress(one.id, "acme", "chunk", 7, 7), StageProgress(one.id, "acme", "embed", 3, 9)]
    ledger: Any = Running([one, replace(one, id=uuid4()), other, over], open_work)
    jobs = await running_jobs(ledger, now=T0)
    assert [job.finished for job in jobs] == [12, 12, 0]
    assert jobs[0].stages == {"chunk": 7, "embed": 3}
    acme, others = by_customer(jobs)
    assert (acme.jobs, acme.expected, acme.finished, acme.stages) == (2, 2000, 24, {"chunk": 7, "embed": 3})
    assert (others.customer, others.eta_seconds) == ("other", None)
