from hypothesis import given
from hypothesis import strategies as st

from engines.batching import plan_batches

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=200)


@given(LENGTHS, st.integers(min_value=1, max_value=64), st.integers(min_value=1, max_value=4096))
def test_every_text_once_within_bounds(lengths: list[int], max_items: int, max_tokens: int) -> None:
    batches = list(plan_batches(lengths, max_items=max_items, max_tokens=max_tokens))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_items
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= max_tokens


def test_neighbours_are_of_similar_length() -> None:
    assert list(plan_batches([9, 1, 5, 1, 9], max_items=2, max_tokens=100)) == [[1, 3], [2, 0], [4]]


def test_a_batch_is_filled_before_the_next_begins() -> None:
    assert [len(batch) for batch in plan_batches([10] * 25, max_items=128, max_tokens=100)] == [10, 10, 5]
