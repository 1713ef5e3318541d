"""What engines of torch share: a GPU that others use too."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Retryable


@contextmanager
def memory_permitting(name: str) -> Iterator[None]:
    """Raises Retryable `engine.busy` for the engine of that name, where the GPU has no room just now."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise Retryable("engine.busy", name=name, what="GPU memory") from error
