"""What a worker has read and not finished. No partition is ever sought back: all of it is kept in memory.

What a dependency kept back is delivered again as soon as the wait is over; what the stage held is parked until its time
has come. Meanwhile the worker reads on, and what it reads of a lane that has something parked queues behind that.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from consumers.runtime.delivery import Delivered
from consumers.runtime.offsets import Offsets, Partition, offset_of, partition_of
from consumers.runtime.parking import Parking
from consumers.runtime.runtime import Options
from infra.broker import StoredRecord

READING_SHARE: Final = 0.8
"""Of its time that a worker reads on while much is still to be read; the rest is for what is parked."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What to deliver now; what is of a lane in `behind` only queues."""

    records: list[StoredRecord]
    behind: Collection[str] = ()
    turn: bool = False
    """Whether it is what was parked."""


class Backlog:
    """Times are seconds of any clock that only goes on."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.offsets = Offsets()
        self.parking = Parking(most_records=options.parked_records, most_bytes=options.parked_bytes)
        self._kept_back: list[StoredRecord] = []
        self._more_waits = False
        self._turn_began = 0.0
        self._next_turn = 0.0

    def read(self, poll: list[StoredRecord]) -> Offer:
        """A new poll, behind what is kept back, if anything is: it would overtake its lanes."""
        self._more_waits = len(poll) >= self._options.read_ahead
        self._let_go(self.offsets.read(poll))
        return Offer([*self._kept_back, *poll], self.parking.lanes)

    def again(self, now: float) -> Offer | None:
        """What is left of earlier polls, where its time has come.

        As long as much is still to be read, what is parked gets its turn less often: it has been waiting longest, but
        somebody may stand behind it who need not wait at all.
        """
        if self._kept_back:
            return Offer(self._kept_back, self.parking.lanes)
        if self._more_waits and now < self._next_turn:
            self._more_waits = False  # until the next poll says so again
            return None
        self._turn_began = now
        due = self.parking.due(now, each=self._options.offer_records, most=self._options.poll_records)
        return Offer(due, turn=True) if due else None

    def keep(self, offer: Offer, delivered: Delivered, now: float) -> None:
        """Takes in what became of a delivery. What went to another worker meanwhile is not kept."""
        if offer.turn and delivered.away is None:  # else it is due as soon as the wait is over, which nothing else ends
            self._next_turn = now + (now - self._turn_began) * READING_SHARE / (1 - READING_SHARE)
        self.offsets.finish(delivered.finished)
        self.parking.finish(delivered.finished)
        for held in delivered.held:
            if self.offsets.is_unfinished(held.record):
                self.parking.park(held.record, held.lane, now + held.seconds)
        once = {offset_of(record): record for record in (*self._kept_back, *offer.records)}
        self._kept_back = [
            record for record in once.values() if self.offsets.is_unfinished(record) and record not in self.parking
        ]

    def forget(self, partitions: Collection[Partition]) -> None:
        """They are another worker's, or read anew from what is committed."""
        self.offsets.forget(partitions)
        self._let_go(partitions)

    def fetch(self, now: float, *, waiting: bool = False) -> dict[str, int]:
        """How long the next fetch may wait for a record, and how many it may bring: aiokafka's options.

        Behind parked records many are read at a time: most of them only queue, and others come after them. `waiting`:
        none of them can be delivered now, due or not.
        """
        options = self._options
        due = None if waiting else self.parking.next_due
        if due is None:
            return {"timeout_ms": int(options.poll_wait * 1000), "max_records": options.poll_records}
        seconds = min(options.poll_wait, max(0.0, due - now))
        return {"timeout_ms": int(seconds * 1000), "max_records": max(options.poll_records, options.read_ahead)}

    @property
    def crowding(self) -> set[Partition]:
        """Of which nothing more is to be read until something is finished."""
        return self.parking.partitions if self.parking.is_full else set()

    def _let_go(self, partitions: Collection[Partition]) -> None:
        self.parking.forget(partitions)
        self._kept_back = [record for record in self._kept_back if partition_of(record) not in partitions]
