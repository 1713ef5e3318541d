"""Records that a stage holds: kept in memory until their time comes, while the worker reads on. Pure: time is told.

A lane holds what belongs together and keeps its order: what the topic is keyed by, such as one customer. Of a lane that
waits only the oldest few are offered to the stage again, so twenty thousand waiting records cost as little as twenty;
what is read of it meanwhile queues behind them without being offered at all.
"""

from collections.abc import Collection, Iterable, Iterator, KeysView
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from consumers.runtime.offsets import Offset, Partition, offset_of
from infra.broker import StoredRecord

RECORD_BYTES: Final = 512
"""What a parked record takes besides its key, value and headers."""
OFFER_BYTES: Final = 32 * 1024
"""Of one lane, to be offered at a time."""


@dataclass(slots=True)
class _Lane:
    due: float
    records: dict[Offset, StoredRecord] = field(default_factory=dict)


class Parking:
    """What one worker has parked. A record that is offered stays parked until it is finished."""

    def __init__(self, *, most_records: int, most_bytes: int) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[Offset, str] = {}
        self._bytes = 0
        self._most_records = most_records
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, record: StoredRecord) -> bool:
        return offset_of(record) in self._lane_of

    @property
    def lanes(self) -> KeysView[str]:
        """Those in which something is parked."""
        return self._lanes.keys()

    @property
    def is_full(self) -> bool:
        return len(self) >= self._most_records or self._bytes >= self._most_bytes

    @property
    def partitions(self) -> set[Partition]:
        """Those of which something is parked."""
        return {(topic, number) for topic, number, _ in self._lane_of}

    def park(self, record: StoredRecord, lane: str, due: float) -> None:
        """Puts the record behind those of its lane, unless it is there, and lets the lane wait until `due` at least."""
        place = self._lanes.setdefault(lane, _Lane(due))
        place.due = max(place.due, due)
        offset = offset_of(record)
        if offset not in self._lane_of:
            place.records[offset] = record
            self._lane_of[offset] = lane
            self._bytes += _size(record)

    def due(self, now: float, *, each: int, most: int) -> list[StoredRecord]:
        """The oldest of each lane whose time has come: at most `each` of a lane, fewer of large ones, and about `most`
        altogether, of the lanes that have waited longest."""
        offered: list[StoredRecord] = []
        for lane in sorted(self._lanes.values(), key=lambda lane: lane.due):
            if lane.due > now or len(offered) >= most:
                break
            offered += _oldest(lane, each)
            lane.due = now  # behind those whose turn has not come
        return offered

    @property
    def next_due(self) -> float | None:
        """When the first lane's time comes; None if nothing is parked."""
        return min((lane.due for lane in self._lanes.values()), default=None)

    def finish(self, offsets: Iterable[Offset]) -> None:
        for offset in offsets:
            name = self._lane_of.pop(offset, None)
            if name is not None:
                lane = self._lanes[name]
                self._bytes -= _size(lane.records.pop(offset))
                if not lane.records:
                    del self._lanes[name]

    def forget(self, partitions: Collection[Partition]) -> None:
        if partitions:
            self.finish([offset for offset in self._lane_of if offset[:2] in partitions])


def _oldest(lane: _Lane, count: int) -> Iterator[StoredRecord]:
    """At least one: to open a large record only to hold it again costs as much as many small ones."""
    size = 0
    for record in islice(lane.records.values(), count):
        yield record
        size += _size(record)
        if size >= OFFER_BYTES:
            return


def _size(record: StoredRecord) -> int:
    headers = sum(len(name) + len(content) for name, content in record.headers)
    return RECORD_BYTES + len(record.key or b"") + len(record.value) + headers
