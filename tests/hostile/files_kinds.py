"""What a kind of hostile file is made with."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lure:
    """What a parser must not touch: a file whose words must be in no answer, and an address that nobody must call."""

    file: str
    """`file:///...`."""
    words: str
    address: str
    """`http://127.0.0.1:...`."""


Kind = Callable[[Lure, random.Random], Iterator[tuple[str, bytes]]]
"""Names and contents of one kind's files."""
