"""Records that wait: by lane, in order, the oldest few at a time."""

from consumers.runtime.offsets import offset_of
from consumers.runtime.parking import Parking
from infra.broker import StoredRecord


def record(offset: int, *, partition: int = 0, size: int = 0) -> StoredRecord:
    return StoredRecord("ingest", partition, offset, None, bytes(size), (), 0)


def parked(**lanes: range) -> Parking:
    parking = Parking(most_records=1000, most_bytes=10**9)
    for lane, offsets in lanes.items():
        for offset in offsets:
            parking.park(record(offset), lane, due=10)
    return parking


def offered(parking: Parking, now: float, *, each: int = 3, most: int = 100) -> list[int]:
    return [one.offset for one in parking.due(now, each=each, most=most)]


def test_only_the_oldest_few_are_offered_when_their_time_has_come_until_they_are_finished() -> None:
    parking = parked(acme=range(10))
    assert offered(parking, 9.9) == []
    assert offered(parking, 10) == offered(parking, 10) == [0, 1, 2]
    parking.finish([offset_of(record(0)), offset_of(record(1))])
    assert offered(parking, 11) == [2, 3, 4]
    parking.park(record(2), "acme", due=12)  # held again: it keeps its place
    assert offered(parking, 11.9) == []
    assert parking.next_due == 12
    assert offered(parking, 12) == [2, 3, 4]


def test_what_comes_later_of_a_lane_waits_behind_it_and_no_shorter() -> None:
    parking = parked(acme=range(2))
    parking.park(record(7), "acme", due=0)
    assert offered(parking, 9) == []
    assert offered(parking, 10) == [0, 1, 7]


def test_lanes_take_turns_where_not_all_can_be_offered() -> None:
    parking = parked(a=range(3), b=range(3, 6), c=range(6, 9))
    assert offered(parking, 10.5, most=4) == [0, 1, 2, 3, 4, 5]
    assert offered(parking, 11, most=4) == [6, 7, 8, 0, 1, 2]


def test_fewer_are_offered_of_large_ones_but_one_at_least() -> None:
    parking = Parking(most_records=1000, most_bytes=10**9)
    for offset, size in enumerate((100, 20_000, 20_000, 500_000, 100)):
        parking.park(record(offset, size=size), "acme", due=0)
    assert offered(parking, 1, each=16) == [0, 1, 2]
    parking.finish([offset_of(record(offset)) for offset in range(3)])
    assert offered(parking, 1, each=16) == [3]


def test_a_lane_ends_with_its_last_record() -> None:
    parking = parked(a=range(1), b=range(1, 2))
    assert parking.lanes == {"a", "b"}
    parking.finish([offset_of(record(0))])
    assert parking.lanes == {"b"}
    assert record(1) in parking
    assert record(0) not in parking


def test_it_is_full_by_count_or_by_bytes_until_something_is_finished() -> None:
    few = Parking(most_records=2, most_bytes=10**9)
    small = Parking(most_records=1000, most_bytes=5000)
    for parking in (few, small):
        assert not parking.is_full
        for offset in range(2):
            parking.park(record(offset, size=2000), "acme", due=0)
        assert parking.is_full
        parking.finish([offset_of(record(1, size=2000))])
        assert not parking.is_full


def test_a_partition_that_was_lost_is_forgotten() -> None:
    parking = parked(acme=range(2))
    parking.park(record(5, partition=1), "acme", due=0)
    assert parking.partitions == {("ingest", 0), ("ingest", 1)}
    parking.forget([("ingest", 0)])
    assert (len(parking), parking.partitions) == (1, {("ingest", 1)})
    assert offered(parking, 10) == [5]
