"""The window: how many documents of a customer may be in work at one time, so that nobody waits behind all of another.

What waits for its customer's window has cost nothing yet but a record on `ingest`. What was let in takes its turn with
all others at every later stage. So a newcomer waits behind at most one window of each customer at work, and gets as
large a share of the stages as any of them; the smaller the window the sooner, and a lone customer's documents keep all
stages busy as long as it holds a few polls' worth.
"""

from collections import Counter

from infra.ledger import Ledger
from infra.parameters import Customer


class Window:
    """What is open of each customer, for one poll. The ledger is asked once a customer, and what is let in from then on
    is counted here; what is finished meanwhile makes room for the next poll."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: Counter[str] = Counter()

    async def is_full(self, customer: Customer) -> bool:
        if customer.id not in self._open:
            self._open[customer.id] = await self._ledger.open_documents(customer.id)
        return self._open[customer.id] >= customer.window

    def let_in(self, customer: Customer, documents: int) -> None:
        self._open[customer.id] += documents
