"""Workers with one safety off, to show that the checker sees it: `python -m tests.chaos.careless HOW run STAGE`.

no-deduplication  the ledger is never asked what has an outcome, and outputs get ids drawn at random: a message that is
                  delivered again is worked on again, under new ids
early-commit      offsets are committed as soon as records are fetched, before the work on them, which then takes a
                  moment: what a killed worker had in hand is lost
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

if TYPE_CHECKING:
    from tests.chaos.campaign import Settings

NO_DEDUPLICATION: Final = "no-deduplication"
EARLY_COMMIT: Final = "early-commit"
PATIENCE: Final = 30.0
"""Seconds without progress: longer than a group takes to find a killed member missing."""
IN_HAND_SECONDS: Final = 1.0
"""The stages of a campaign are so quick that a kill would seldom meet one at work."""


def command(how: str) -> tuple[str, ...]:
    """What starts such a worker, in place of `-m cradle`."""
    return "-m", "tests.chaos.careless", how


def switch_deduplication_off() -> None:
    from infra.ledger import Taken, postgres
    from schemas import ids

    async def take(self: Any, *_: Any, **__: Any) -> Taken:
        return Taken(finished=frozenset(), suspects={})

    async def finished(self: Any, *_: Any, **__: Any) -> set[Any]:
        return set()

    postgres.PostgresLedger.take = take  # type: ignore[method-assign]
    postgres.PostgresLedger.finished = finished  # type: ignore[method-assign]
    ids.message_id = lambda *_: uuid4()


def commit_early() -> None:
    from aiokafka import AIOKafkaConsumer

    getmany = AIOKafkaConsumer.getmany

    async def committed(self: Any, *partitions: Any, **options: Any) -> Any:
        found = await getmany(self, *partitions, **options)
        if found:
            await self.commit()  # the positions behind what was fetched just now
            await asyncio.sleep(IN_HAND_SECONDS)
        return found

    AIOKafkaConsumer.getmany = committed


WAYS: Final[dict[str, Callable[[], None]]] = {NO_DEDUPLICATION: switch_deduplication_off, EARLY_COMMIT: commit_early}


def careless_settings(settings: "Settings", how: str, faults: int) -> "Settings":
    """The same campaign with such workers, and with faults under which it shows."""
    from tests.chaos.plan import Kind, only_kills

    return replace(
        settings,
        faults=only_kills(faults, settings.seed, {NO_DEDUPLICATION: Kind.DUPLICATE, EARLY_COMMIT: Kind.KILL_ALL}[how]),
        command=command(how),
        patience=PATIENCE,
    )


def main(words: list[str]) -> None:
    how, *left = words
    WAYS[how]()
    sys.argv = ["cradle", *left]
    from cradle.commands import main as cradle

    cradle()


if __name__ == "__main__":
    main(sys.argv[1:])
