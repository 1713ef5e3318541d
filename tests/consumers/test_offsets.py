from hypothesis import given
from hypothesis import strategies as st

from consumers.runtime.offsets import committable
from infra.broker import StoredRecord


def record(topic: str, partition: int, offset: int) -> StoredRecord:
    return StoredRecord(topic, partition, offset, None, b"", (), 0)


def test_commits_past_what_is_finished_and_reads_again_from_the_first_that_is_not() -> None:
    poll = [record("a", 0, 5), record("a", 0, 6), record("a", 0, 7), record("b", 1, 0)]
    commit, again = committable(poll, {("a", 0, 5), ("a", 0, 7), ("b", 1, 0)})
    assert commit == {("a", 0): 6, ("b", 1): 1}
    assert again == {("a", 0): 6}


def test_gaps_between_offsets_are_no_unfinished_records() -> None:
    commit, again = committable([record("a", 0, 5), record("a", 0, 9)], {("a", 0, 5), ("a", 0, 9)})
    assert (commit, again) == ({("a", 0): 10}, {})


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_never_commits_past_an_unfinished_record(poll: list[tuple[int, bool]]) -> None:
    ends: dict[int, int] = {}
    records, finished = [], set()
    for partition, done in poll:
        offset = ends.get(partition, 0)
        ends[partition] = offset + 1
        records.append(record("t", partition, offset))
        if done:
            finished.add(("t", partition, offset))
    commit, again = committable(records, finished)
    for (topic, partition), offset in commit.items():
        assert all((topic, partition, earlier) in finished for earlier in range(offset))
    for partition, end in ends.items():
        lost = end - commit.get(("t", partition), 0)
        assert (lost > 0) == (("t", partition) in again)
        if lost:
            assert again["t", partition] == commit.get(("t", partition), 0)
