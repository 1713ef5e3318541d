"""What a worker has read and not finished: when it is delivered again, and what queues behind it."""

from consumers.runtime import Options
from consumers.runtime.backlog import Backlog, Offer
from consumers.runtime.delivery import Delivered, HeldRecord
from infra.broker import StoredRecord
from schemas.errors import Retryable

OPTIONS = Options(poll_records=4, read_ahead=8, offer_records=2, poll_wait=0.2)


def records(*offsets: int) -> list[StoredRecord]:
    return [StoredRecord("ingest", 0, offset, None, b"", (), 0) for offset in offsets]


def offsets(offer: Offer | None) -> list[int]:
    return [record.offset for record in offer.records] if offer else []


def held(offer: Offer, lane: str = "acme", seconds: float = 0.5) -> Delivered:
    return Delivered(held=[HeldRecord(record, lane, seconds) for record in offer.records])


def finished(offer: Offer) -> Delivered:
    delivered = Delivered()
    delivered.finish(offer.records)
    return delivered


def test_what_is_held_is_offered_again_in_time_and_what_follows_it_queues() -> None:
    backlog = Backlog(OPTIONS)
    first = backlog.read(records(0, 1, 2))
    assert not first.behind
    backlog.keep(first, held(first), now=10)
    assert set(backlog.read(records(3)).behind) == {"acme"}
    assert backlog.again(10.4) is None
    again = backlog.again(10.5)
    assert again is not None
    assert (offsets(again), [*again.behind]) == ([0, 1], [])
    backlog.keep(again, finished(again), now=10.6)
    assert offsets(backlog.again(10.7)) == [2]
    assert backlog.offsets.committable() == {("ingest", 0): 2}


def test_what_a_dependency_kept_back_comes_first_and_only_once() -> None:
    backlog = Backlog(OPTIONS)
    for poll in (records(0, 1), records(2)):
        backlog.keep(backlog.read(poll), Delivered(away=Retryable("dependency.away", name="S3")), now=0)
    again = backlog.again(0)
    assert again is not None
    assert offsets(again) == [0, 1, 2]
    backlog.keep(again, finished(again), now=0)
    assert backlog.again(0) is None
    assert backlog.offsets.committable() == {("ingest", 0): 3}


def test_while_much_is_still_to_be_read_most_of_the_time_goes_into_reading() -> None:
    backlog = Backlog(OPTIONS)
    now, turns, reading = 0.0, 0.0, 0.0
    for number in range(100):
        offer = backlog.read(records(*range(8 * number, 8 * number + 8)))
        backlog.keep(offer, held(offer, seconds=0), now)
        now, reading = now + 0.1, reading + 0.1
        if (again := backlog.again(now)) is not None:
            now, turns = now + 0.3, turns + 0.3  # a turn takes three times as long as a poll that only queues
            backlog.keep(again, held(again, seconds=0), now)
    assert 0.1 < turns / (turns + reading) < 0.25
    assert offsets(backlog.read(records(800))) == [800]  # the end is reached: from now on what is parked need not wait
    assert offsets(backlog.again(now)) == [0, 1]


def test_a_fetch_ends_when_something_is_due_and_brings_more_while_something_is_parked() -> None:
    backlog = Backlog(OPTIONS)
    assert backlog.fetch(0) == {"timeout_ms": 200, "max_records": 4}
    offer = backlog.read(records(0))
    backlog.keep(offer, held(offer), now=0)
    assert backlog.fetch(0.1) == {"timeout_ms": 200, "max_records": 8}
    assert backlog.fetch(0.4)["timeout_ms"] in (99, 100)
    assert backlog.fetch(0.9)["timeout_ms"] == 0


def test_what_moves_to_another_worker_is_forgotten_also_while_it_is_delivered() -> None:
    backlog = Backlog(OPTIONS)
    first, second = backlog.read(records(0)), backlog.read(records(1))
    backlog.keep(first, held(first), now=0)
    backlog.forget([("ingest", 0)])
    backlog.keep(second, held(second), now=0)
    assert (len(backlog.parking), len(backlog.offsets), backlog.again(9)) == (0, 0, None)


def test_a_new_poll_does_not_overtake_what_is_kept_back() -> None:
    backlog = Backlog(OPTIONS)
    backlog.keep(backlog.read(records(0, 1)), Delivered(), now=0)  # a storm has just ended: nothing is waited for
    offer = backlog.read(records(2))
    assert offsets(offer) == [0, 1, 2]
    backlog.keep(offer, finished(offer), now=0)
    assert backlog.again(0) is None


def test_what_is_parked_is_tried_first_when_a_wait_is_over_however_much_is_still_to_be_read() -> None:
    """A poll that only queues would end the wait, though its dependency is away."""
    backlog = Backlog(OPTIONS)
    offer = backlog.read(records(*range(8)))
    backlog.keep(offer, held(offer, seconds=0), now=0)
    turn = backlog.again(1)
    assert turn is not None
    backlog.keep(turn, Delivered(away=Retryable("dependency.away", name="S3")), now=5)
    assert offsets(backlog.again(5.5)) == [0, 1]


def test_a_fetch_waits_for_records_while_nothing_that_is_due_can_be_delivered() -> None:
    backlog = Backlog(OPTIONS)
    offer = backlog.read(records(0))
    backlog.keep(offer, held(offer), now=0)
    assert backlog.fetch(0.9, waiting=True)["timeout_ms"] == 200
