"""Step 5: which offsets may be committed. Pure."""

from collections.abc import Collection, Iterable, Mapping

from infra.broker import StoredRecord

Partition = tuple[str, int]


def committable(
    poll: Iterable[StoredRecord], finished: Collection[tuple[str, int, int]]
) -> tuple[Mapping[Partition, int], Mapping[Partition, int]]:
    """Per partition: the offset to commit, and, where something is left, the offset to read again from.

    A partition is committed up to its first unfinished record, exclusive, never past one. `poll` holds the records in
    the order they were fetched; compaction and transactions may leave gaps between their offsets.
    """
    commit: dict[Partition, int] = {}
    again: dict[Partition, int] = {}
    for record in poll:
        partition = (record.topic, record.partition)
        if partition in again:
            continue
        if (*partition, record.offset) in finished:
            commit[partition] = record.offset + 1
        else:
            again[partition] = record.offset
    return commit, again
