from datetime import UTC, datetime, timedelta

from consumers.runtime.ownership import Ownership
from operations.lag import Mark

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B = ("chunked", 0), ("chunked", 1)


def since(ownership: Ownership, partition: tuple[str, int]) -> datetime:
    mark = Mark.read(ownership.note(partition, T0 + 9 * HOUR))
    assert mark is not None
    assert (mark.worker, mark.at) == ("w", int((T0 + 9 * HOUR).timestamp() * 1000))
    return datetime.fromtimestamp(mark.since / 1000, UTC)


def test_a_partition_that_is_kept_through_a_rebalance_stays_as_long_its_own() -> None:
    ownership = Ownership("w")
    ownership.gain([A], T0)
    assert ownership.take_unsaid() == {A}
    ownership.keep_only([A, B])
    ownership.gain([A, B], T0 + HOUR)
    assert (since(ownership, A), since(ownership, B)) == (T0, T0 + HOUR)
    assert ownership.take_unsaid() == {B}
    assert ownership.take_unsaid() == set()


def test_one_that_was_lost_and_came_back_is_new() -> None:
    ownership = Ownership("w")
    ownership.gain([A, B], T0)
    ownership.keep_only([B])
    ownership.keep_only([A, B])
    ownership.gain([A, B], T0 + HOUR)
    assert (since(ownership, A), since(ownership, B)) == (T0 + HOUR, T0)
