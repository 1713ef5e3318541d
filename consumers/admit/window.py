"""The window: how many documents of a customer may be in work at one time, so that nobody waits behind all of another.

What waits behind the window has cost nothing yet but a record on `ingest`; what is let in shares every later stage with
the others. While several customers have documents waiting, each has its part of its window: then all of them together
fill the stages no further than one alone, and a newcomer's documents are as soon through.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from infra.ledger import Ledger
from infra.parameters import Customer

LATELY: Final = timedelta(seconds=5)
"""How long after it last asked a customer counts as one that shares. One whose documents wait asks far more often."""


class Sharing:
    """Who has asked lately. Each process counts for itself, since a customer's events are keyed into one of them."""

    def __init__(self) -> None:
        self._asked: dict[str, datetime] = {}

    def part(self, customer: Customer, now: datetime) -> int:
        """How many documents of the customer's window it may use now, at least one."""
        self._asked = {name: when for name, when in self._asked.items() if now - when <= LATELY} | {customer.id: now}
        return max(1, customer.window // len(self._asked))


class Window:
    """Asks the ledger once a customer, and counts what is let in from then on. Documents that are finished meanwhile
    make room for the next one who looks."""

    def __init__(self, ledger: Ledger, sharing: Sharing) -> None:
        self._ledger = ledger
        self._sharing = sharing
        self._open: Counter[str] = Counter()

    async def is_full(self, customer: Customer, now: datetime) -> bool:
        if customer.id not in self._open:
            self._open[customer.id] = await self._ledger.open_documents(customer.id)
        return self._open[customer.id] >= self._sharing.part(customer, now)

    def let_in(self, customer: Customer, documents: int) -> None:
        self._open[customer.id] += documents
