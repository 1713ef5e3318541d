"""Step 5: which offsets may be committed. Pure.

A worker reads on past a record that has to wait, so what it has read of a partition is finished in any order. It is
committed up to the first record that is not finished, exclusive, never past one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from infra.broker import StoredRecord

Partition = tuple[str, int]
"""Topic and number."""
Offset = tuple[str, int, int]
"""Topic, partition, offset."""


def offset_of(record: StoredRecord) -> Offset:
    return (record.topic, record.partition, record.offset)


def partition_of(record: StoredRecord) -> Partition:
    return (record.topic, record.partition)


@dataclass(slots=True)
class _Reading:
    """One partition's: offsets rise, with gaps where compaction or transactions left some."""

    committed: int
    last: int
    unfinished: dict[int, None] = field(default_factory=dict)

    @property
    def commit(self) -> int:
        return next(iter(self.unfinished), self.last + 1)


class Offsets:
    """What one worker has read of its partitions and not finished yet."""

    def __init__(self) -> None:
        self._readings: dict[Partition, _Reading] = {}

    def __len__(self) -> int:
        return sum(len(reading.unfinished) for reading in self._readings.values())

    def read(self, poll: Iterable[StoredRecord]) -> set[Partition]:
        """Notes that these were read, and are not finished. Returns the partitions that went back to earlier offsets
        (the topic was emptied, or made anew): all that was known of them is forgotten first."""
        back: set[Partition] = set()
        for record in poll:
            partition = partition_of(record)
            reading = self._readings.get(partition)
            if reading is not None and record.offset <= reading.last:
                back.add(partition)
                reading = None
            if reading is None:
                reading = self._readings[partition] = _Reading(record.offset, record.offset)
            reading.last = record.offset
            reading.unfinished[record.offset] = None
        return back

    def finish(self, offsets: Iterable[Offset]) -> None:
        """Of partitions that were forgotten meanwhile nothing is noted."""
        for topic, number, offset in offsets:
            if reading := self._readings.get((topic, number)):
                reading.unfinished.pop(offset, None)

    def is_unfinished(self, record: StoredRecord) -> bool:
        """False also if its partition was forgotten: whoever has it now reads the record again."""
        reading = self._readings.get(partition_of(record))
        return reading is not None and record.offset in reading.unfinished

    def committable(self) -> dict[Partition, int]:
        """The offset at which each partition resumes, where that moved since it was last committed."""
        return {
            partition: reading.commit
            for partition, reading in self._readings.items()
            if reading.commit != reading.committed
        }

    def has_moved(self, partition: Partition, committed: int) -> bool:
        """Whether more is finished, or committed, than up to `committed`."""
        reading = self._readings.get(partition)
        return reading is not None and reading.commit > committed

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        for partition, offset in offsets.items():
            if partition in self._readings:
                self._readings[partition].committed = offset

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are another worker's now, or are to be read anew from what is committed."""
        for partition in partitions:
            self._readings.pop(partition, None)
