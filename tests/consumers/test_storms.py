from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from consumers.runtime import Done, Failed, Options, Outcome, Received
from consumers.runtime.delivery import Delivery
from consumers.runtime.metrics import Metrics
from consumers.runtime.storms import WINDOW_SECONDS, Storms
from schemas.errors import Permanent
from schemas.messages import Message
from tests.consumers.flow import document_message, open_flow

OURS, THEIRS = "delivery.unexpected", "document.encrypted"


class Outcomes:
    """Outcomes of messages 1, 2, 3 ... one a tenth of a second; notes which were held back."""

    def __init__(self, limit: int = 20) -> None:
        self.storms = Storms(limit)
        self.now = 1000.0
        self.count = 0

    def of(self, code: str | None, *, times: int = 1) -> list[bool]:
        """For each whether it was held back."""
        held = []
        for _ in range(times):
            self.count += 1
            self.now += 0.1
            codes = [] if code is None else [code]
            held.append(self.storms.holds_back(UUID(int=self.count), codes, self.now) is not None)
        return held


def test_the_limit_becomes_dead_letters_and_the_next_is_kept_back() -> None:
    outcomes = Outcomes(limit=20)
    assert outcomes.of(OURS, times=30) == [False] * 20 + [True] * 10
    assert outcomes.storms.code == OURS


def test_what_a_customer_may_rightly_send_is_never_a_storm() -> None:
    outcomes = Outcomes(limit=20)
    assert not any(outcomes.of(THEIRS, times=500))


def test_failures_among_many_that_pass_are_no_storm() -> None:
    """37 of 1,000 documents poisoned: letters, and nothing pauses."""
    outcomes = Outcomes(limit=20)
    held = []
    for number in range(1000):
        held += outcomes.of(OURS if number % 27 == 0 else None)
    assert not any(held)


def test_half_of_all_is_not_more_than_half() -> None:
    outcomes = Outcomes(limit=20)
    for _ in range(100):
        assert outcomes.of(None) == [False]
        assert outcomes.of(OURS) == [False]


def test_slow_failures_are_no_storm() -> None:
    outcomes = Outcomes(limit=20)
    for _ in range(100):
        outcomes.now += WINDOW_SECONDS / 20
        assert outcomes.of(OURS) == [False]


def test_a_message_that_is_tried_again_counts_once() -> None:
    storms = Storms(5)
    for turn in range(50):
        assert storms.holds_back(UUID(int=turn % 5), [OURS], turn * 0.1) is None


def test_codes_are_counted_apart() -> None:
    outcomes = Outcomes(limit=20)
    for _ in range(18):
        assert not any(outcomes.of(OURS) + outcomes.of("engine.vectors"))


def test_another_failure_is_let_through_in_a_storm_and_does_not_end_it() -> None:
    outcomes = Outcomes(limit=5)
    outcomes.of(OURS, times=6)
    assert outcomes.of(THEIRS) == outcomes.of("staging.missing") == [False]
    assert outcomes.of(OURS) == [True]


def test_once_one_has_passed_no_more_than_the_limit_fail_in_a_minute() -> None:
    outcomes = Outcomes(limit=5)
    assert outcomes.of(OURS, times=6)[-1]
    assert outcomes.of(None) == [False]
    assert outcomes.storms.code is None
    assert outcomes.of(OURS) == [True]
    outcomes.now += WINDOW_SECONDS + 1
    outcomes.of(None)
    assert outcomes.of(OURS, times=6) == [False] * 5 + [True]


def test_zero_turns_it_off() -> None:
    assert not any(Outcomes(limit=0).of(OURS, times=1000))


def test_a_piece_that_was_refused_counts_like_an_input() -> None:
    storms = Storms(3)
    held = [storms.holds_back(UUID(int=n), [THEIRS, "staging.missing"], n * 0.1) for n in range(4)]
    assert held == [None, None, None, "staging.missing"]


@pytest.mark.parametrize(("chance", "number"), [(0.0, 0), (0.5, 2), (0.999, 3), (1.0, 3)])
def test_in_a_storm_one_message_at_a_time_is_tried(chance: float, number: int) -> None:
    inputs = {UUID(int=n): n for n in range(4)}
    outcomes = Outcomes(limit=1)
    assert outcomes.storms.narrowed(inputs, chance) == inputs
    outcomes.of(OURS, times=2)
    assert outcomes.storms.narrowed(inputs, chance) == {UUID(int=number): number}
    assert outcomes.storms.narrowed({}, chance) == {}


# -- in a stage's delivery ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [5, 0])
async def test_a_storm_keeps_its_messages_until_its_cause_is_mended(limit: int) -> None:
    """Of 40 messages 5 become dead letters, not 40; with the limit off all of them do."""
    broken = True

    async def split(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Failed(one, Permanent("engine.vectors", name="fake", what="finite")) if broken else Done(one, items=1)

    async with AsyncExitStack() as stack:
        flow = await open_flow(stack, options=Options(storm_limit=limit, flush_outcomes=1))
        await flow.open_job()
        for number in range(40):
            await flow.publish(document_message(f"{number}.txt"), "chunk-ready")
        delivery = Delivery("split", split, flow.runtime, Metrics("split"))
        poll = flow.log.of("chunk-ready")
        delivered = await delivery.deliver(poll)
        letters = flow.log.of("chunk-ready.dlq")
        if limit == 0:
            assert (len(letters), len(delivered.finished), delivered.away) == (40, 40, None)
            return
        assert (len(letters), len(delivered.finished)) == (5, 5)
        assert delivered.away is not None
        assert (delivered.away.code, "engine.vectors" in delivered.away.sentence) == ("delivery.storm", True)

        still = await delivery.deliver(poll)
        assert still.away is not None and len(flow.log.of("chunk-ready.dlq")) == 5

        broken = False
        probed = await delivery.deliver(poll)
        assert (probed.away, len(probed.finished)) == (None, 6), "the five that failed, and the one that was tried"
        rest = await delivery.deliver(poll)
        assert (rest.away, len(rest.finished), len(flow.log.of("chunk-ready.dlq"))) == (None, 40, 5)


async def test_what_went_well_before_a_storm_is_finished() -> None:
    async def split(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for number, one in enumerate(inputs):
            yield Done(one) if number < 3 else Failed(one, Permanent("staging.missing"))

    async with AsyncExitStack() as stack:
        flow = await open_flow(stack, options=Options(storm_limit=5))
        await flow.open_job()
        for number in range(20):
            await flow.publish(document_message(f"{number}.txt"), "chunk-ready")
        delivered = await Delivery("split", split, flow.runtime, Metrics("split")).deliver(flow.log.of("chunk-ready"))
        assert (len(delivered.finished), len(flow.log.of("chunk-ready.dlq"))) == (3 + 5, 5)
        assert (await flow.view()).outcomes["split"] == 8
