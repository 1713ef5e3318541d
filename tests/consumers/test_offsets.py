"""What may be committed, whatever order the records of a partition are finished in."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.runtime.offsets import Offset, Offsets, Partition, offset_of
from infra.broker import StoredRecord


def record(topic: str, partition: int, offset: int) -> StoredRecord:
    return StoredRecord(topic, partition, offset, None, b"", (), 0)


def test_a_partition_is_committed_up_to_its_first_unfinished_record() -> None:
    offsets = Offsets()
    offsets.read([record("a", 0, 5), record("a", 0, 6), record("a", 0, 7), record("b", 1, 0)])
    assert offsets.committable() == {}
    offsets.finish([("a", 0, 5), ("a", 0, 7), ("b", 1, 0)])
    assert offsets.committable() == {("a", 0): 6, ("b", 1): 1}
    offsets.committed({("a", 0): 6})
    assert offsets.committable() == {("b", 1): 1}
    offsets.finish([("a", 0, 6)])
    assert offsets.committable() == {("a", 0): 8, ("b", 1): 1}
    assert len(offsets) == 0


def test_gaps_between_offsets_are_no_unfinished_records() -> None:
    offsets = Offsets()
    offsets.read([record("a", 0, 5), record("a", 0, 9)])
    offsets.finish([("a", 0, 5), ("a", 0, 9)])
    assert offsets.committable() == {("a", 0): 10}


def test_a_partition_that_was_lost_is_neither_committed_nor_finished() -> None:
    offsets = Offsets()
    offsets.read([record("a", 0, 5), record("a", 1, 5)])
    offsets.forget([("a", 0)])
    offsets.finish([("a", 0, 5), ("a", 1, 5)])
    offsets.committed({("a", 0): 6})
    assert offsets.committable() == {("a", 1): 6}
    assert not offsets.is_unfinished(record("a", 0, 5))


def test_a_partition_that_goes_back_is_begun_anew() -> None:
    offsets = Offsets()
    assert offsets.read([record("a", 0, 5), record("a", 0, 6)]) == set()
    assert offsets.read([record("a", 0, 0), record("a", 0, 1)]) == {("a", 0)}
    offsets.finish([("a", 0, 0)])
    assert offsets.committable() == {("a", 0): 1}
    assert not offsets.is_unfinished(record("a", 0, 5))


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("read"), st.integers(0, 2), st.integers(1, 3)
        ),  # a partition, and the step to its next offset
        st.tuples(st.just("finish"), st.integers(0, 99), st.just(0)),  # one of what is unfinished
        st.tuples(st.just("commit"), st.just(0), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 2), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_never_past_an_unfinished_record_and_all_that_is_finished_in_the_end(steps: list[tuple[str, int, int]]) -> None:
    offsets = Offsets()
    committed: dict[Partition, int] = {}
    read: dict[Partition, list[int]] = {("t", number): [] for number in range(3)}
    unfinished: list[Offset] = []

    def commit() -> None:
        moved = offsets.committable()
        committed.update(moved)
        offsets.committed(moved)
        for topic, number, offset in unfinished:
            assert committed.get((topic, number), 0) <= offset

    for step, number, gap in steps:
        if step == "read":
            at = read["t", number][-1] + gap if read["t", number] else gap
            read["t", number].append(at)
            offsets.read([record("t", number, at)])
            unfinished.append(("t", number, at))
        elif step == "finish" and unfinished:
            offsets.finish([unfinished.pop(number % len(unfinished))])
        elif step == "commit":
            commit()
        elif step == "lose":
            offsets.forget([("t", number)])
            unfinished = [one for one in unfinished if one[1] != number]
            resumed = committed.get(("t", number), 0)  # it may lie beyond a gap, where nothing was read
            lost = read["t", number]
            del lost[next((i for i, at in enumerate(lost) if at >= resumed), len(lost)) :]
            if lost and lost[-1] < resumed - 1:
                lost.append(resumed - 1)
    assert {offset_of(record(*one)) for one in unfinished if offsets.is_unfinished(record(*one))} == set(unfinished)
    offsets.finish(unfinished)
    unfinished.clear()
    commit()
    assert committed == {partition: at[-1] + 1 for partition, at in read.items() if at}
