from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID, uuid4

import pytest

from consumers.runtime.attempts import Attempts
from consumers.runtime.contract import Done, Failed, Outcome, Received
from schemas.errors import Permanent, Retryable
from schemas.messages import JobCompleted, Message

Inputs = Sequence[Received[Message]]


def received(number: int) -> Received[Message]:
    return Received(UUID(int=number), uuid4(), JobCompleted(customer="acme", generation=number))


def stage_that(act: Callable[[Received[Message], Inputs], Outcome]) -> Callable[[Inputs], AsyncIterator[Outcome]]:
    async def handle(inputs: Inputs) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield act(one, inputs)

    return handle


async def run(handle: Callable[[Inputs], AsyncIterator[Outcome]], count: int) -> dict[int, tuple[Outcome, int]]:
    inputs = {one.id: one for one in map(received, range(1, count + 1))}
    attempts = Attempts("test", handle, most=3, beat=lambda: None)
    return {outcome.input.id.int: (outcome, attempt) async for outcome, attempt in attempts.outcomes(inputs)}


async def test_a_poisoned_message_fails_alone_after_three_attempts() -> None:
    tried: list[int] = []

    def act(one: Received[Message], inputs: Inputs) -> Outcome:
        tried.append(one.id.int)
        if one.id.int == 2:
            raise ValueError("the text of a customer")
        return Done(one)

    outcomes = await run(stage_that(act), 4)
    assert {number: type(outcome) for number, (outcome, _) in outcomes.items()} == {
        1: Done,
        2: Failed,
        3: Done,
        4: Done,
    }
    poisoned, attempt = outcomes[2]
    assert isinstance(poisoned, Failed)
    assert (poisoned.error.code, attempt, tried.count(2)) == ("delivery.unexpected", 3, 3)
    assert "customer" not in poisoned.error.sentence
    assert "ValueError" in poisoned.error.sentence


async def test_an_error_that_passes_is_tried_again() -> None:
    failures = iter([True, False])

    def act(one: Received[Message], inputs: Inputs) -> Outcome:
        if one.id.int == 1 and next(failures):
            raise RuntimeError
        return Done(one)

    outcomes = await run(stage_that(act), 2)
    assert all(isinstance(outcome, Done) for outcome, _ in outcomes.values())
    assert outcomes[1][1] == 2


async def test_a_dependency_that_is_away_blames_no_message() -> None:
    def act(one: Received[Message], inputs: Inputs) -> Outcome:
        raise Retryable("dependency.away", name="PostgreSQL")

    with pytest.raises(Retryable):
        await run(stage_that(act), 3)


async def test_an_input_without_outcome_is_an_error_of_the_stage() -> None:
    async def handle(inputs: Inputs) -> AsyncIterator[Outcome]:
        for one in inputs[:-1]:
            yield Failed(one, Permanent("document.no-text"))

    outcomes = await run(handle, 2)
    forgotten, _ = outcomes[2]
    assert isinstance(forgotten, Failed)
    assert forgotten.error.code == "delivery.unexpected"
