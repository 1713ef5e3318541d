import time

import pytest

from infra.retries import ATTEMPTS, tried_again
from schemas.errors import CradleError, Permanent, Retryable

AWAY = Retryable("dependency.away", name="PostgreSQL")


class Store:
    """Fails as often as it is told, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    @tried_again
    async def ask(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "an answer"


@pytest.mark.parametrize("error", [AWAY, Retryable("dependency.busy", name="PostgreSQL", kind="DeadlockDetected")])
async def test_what_passes_the_second_or_third_time_is_never_seen(error: Retryable) -> None:
    store = Store(error, error)
    assert (await store.ask(), store.calls) == ("an answer", ATTEMPTS)


async def test_what_does_not_pass_is_told_soon() -> None:
    store = Store(*[AWAY] * 10)
    began = time.monotonic()
    with pytest.raises(Retryable) as error:
        await store.ask()
    assert (error.value.code, store.calls) == ("dependency.away", ATTEMPTS)
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    "error",
    [
        Permanent("staging.missing"),
        Retryable("dependency.full", name="PostgreSQL"),
        Retryable("database.tables"),
        CradleError("stack.down"),
        ValueError("a mistake of ours"),
    ],
)
async def test_what_cannot_pass_in_two_seconds_is_not_tried_again(error: Exception) -> None:
    store = Store(error)
    with pytest.raises(type(error)):
        await store.ask()
    assert store.calls == 1


async def test_nothing_of_a_call_is_logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    await Store(AWAY).ask()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
