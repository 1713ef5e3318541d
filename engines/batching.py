"""Groups texts into engine batches: of similar length, so that padding is small, and of bounded size."""

from collections.abc import Iterator, Sequence


def plan_batches(lengths: Sequence[int], *, max_items: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices of `lengths` in batches, the shortest texts first; equal lengths keep their order.

    A batch holds at most `max_items` texts, and padded to its longest at most `max_tokens` tokens, unless a single
    text is longer than that. Every index is in exactly one batch.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) == max_items or (len(batch) + 1) * lengths[index] > max_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
