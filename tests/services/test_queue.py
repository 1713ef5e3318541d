"""What the engine gets next, over any requests: nothing lost, nothing doubled, nothing starved, nothing too large."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from services.batching import Limits, Pace, Queue, Request

COSTS = st.lists(st.integers(1, 50), min_size=1, max_size=12)
REQUESTS = st.lists(st.tuples(COSTS, st.integers(1, 12)), max_size=8)
LIMITS = st.builds(Limits, batch_cost=st.integers(1, 100), batch_items=st.integers(1, 10), waiting_cost=st.just(10_000))
WIDE = Limits(batch_cost=100, batch_items=10, waiting_cost=1000, linger=2.0)


def request(costs: list[int], *, most: int = 100, arrived: float = 0.0) -> Request[int]:
    """Its items are numbered."""
    return Request(deque(enumerate(costs)), arrived, most)


def emptied(queue: Queue[int]) -> list[list[tuple[Request[int], int]]]:
    batches = []
    while batch := queue.take():
        batches.append(batch)
    return batches


@given(requests=REQUESTS, limits=LIMITS)
def test_every_item_is_in_one_batch_and_in_its_order(requests: list[tuple[list[int], int]], limits: Limits) -> None:
    queue = Queue[int](limits)
    waiting = [request(costs, most=most) for costs, most in requests]
    assert all(queue.add(one) for one in waiting)
    batches = emptied(queue)
    for one, (costs, _) in zip(waiting, requests, strict=True):
        got = [item for batch in batches for owner, item in batch if owner is one]
        assert got == list(range(len(costs)))
    assert queue.cost == 0
    assert queue.due() is None


@given(requests=REQUESTS, limits=LIMITS)
def test_no_batch_is_too_large(requests: list[tuple[list[int], int]], limits: Limits) -> None:
    queue = Queue[int](limits)
    costs = {}
    for its_costs, most in requests:
        one = request(its_costs, most=most)
        costs[one] = its_costs
        queue.add(one)
    for batch in emptied(queue):
        cost = sum(costs[owner][item] for owner, item in batch)
        assert len(batch) == 1 or cost <= limits.batch_cost
        assert len(batch) <= limits.batch_items
    queue = Queue[int](limits)
    for its_costs, most in requests:
        queue.add(request(its_costs, most=most))
    for batch in emptied(queue):
        owners = [owner for owner, _ in batch]
        assert all(owners.count(owner) <= owner.most for owner in owners)


@given(requests=REQUESTS, limits=LIMITS)
def test_the_oldest_request_is_never_passed_over(requests: list[tuple[list[int], int]], limits: Limits) -> None:
    queue = Queue[int](limits)
    waiting = [request(costs, most=most) for costs, most in requests]
    for one in waiting:
        queue.add(one)
    while waiting:
        batch = queue.take()
        assert batch[0][0] is waiting[0]
        waiting = [one for one in waiting if one.items]


def test_a_long_request_does_not_hold_up_a_short_one() -> None:
    queue = Queue[int](Limits(batch_cost=4, batch_items=4, waiting_cost=1000))
    long, short = request([1] * 100), request([1])
    queue.add(long)
    queue.add(short)
    assert [owner for owner, _ in queue.take()] == [long, short, long, long]


def test_what_is_urgent_goes_first_and_always_finds_room() -> None:
    queue = Queue[int](Limits(batch_cost=1, batch_items=1, waiting_cost=1))
    waiting, urgent = request([1]), request([1])
    assert queue.add(waiting)
    assert not queue.add(request([1]))
    assert queue.add(urgent, urgent=True)
    assert queue.take() == [(urgent, 0)]
    assert queue.take() == [(waiting, 0)]


def test_only_where_nothing_waits_may_a_request_cost_more_than_may_wait() -> None:
    queue = Queue[int](WIDE)
    assert queue.add(request([2000]))
    assert not queue.add(request([1]))
    queue.take()
    assert queue.add(request([1]))


@given(requests=REQUESTS, gone=st.sets(st.integers(0, 7)))
def test_of_a_request_that_is_discarded_nothing_waits(requests: list[tuple[list[int], int]], gone: set[int]) -> None:
    queue = Queue[int](WIDE)
    waiting = [request(costs) for costs, _ in requests]
    added = [one for one in waiting if queue.add(one)]
    left = [one for number, one in enumerate(waiting) if number in gone]
    for one in [*left, *left]:
        queue.discard(one)
    assert queue.cost == sum(one.cost for one in added if one not in left)
    assert not {owner for batch in emptied(queue) for owner, _ in batch} & {*left}


def test_a_batch_waits_for_company_unless_it_is_full() -> None:
    queue = Queue[int](WIDE)
    assert queue.due() is None
    queue.add(request([40], arrived=5.0))
    queue.add(request([40], arrived=6.0))
    assert queue.due() == 7.0
    queue.add(request([40], arrived=6.5))
    assert queue.due() == 5.0


def test_a_pace_follows_what_was_measured() -> None:
    pace = Pace()
    assert pace.seconds(1000) == 1.0
    pace.measured(100, 1.0)
    assert pace.seconds(1000) == 10.0
    for _ in range(20):
        pace.measured(200, 1.0)
    assert 4.9 < pace.seconds(1000) < 5.2
    pace.measured(5, 0.0)
    assert pace.seconds(1000) < 1
