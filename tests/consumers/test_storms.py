from uuid import UUID

import pytest

from consumers.runtime.storms import WINDOW_SECONDS, Storms

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
    outcomes.of(None)
    outcomes.storms.passed()
    assert outcomes.storms.code is None
    assert outcomes.of(OURS) == [True]
    outcomes.now += WINDOW_SECONDS + 1
    outcomes.storms.passed()
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
