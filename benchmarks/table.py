"""What every benchmark returns, and a fair way to compare two functions on a machine that others use as well."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of docs/benchmarks.md."""

    name: str
    measured: str
    """Ours, with its unit."""
    baseline: str
    """What it is held against, measured in the same run."""
    ratio: float
    bar: str
    """What the ratio has to be, in words."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Paired:
    """Medians over the rounds; `ratio` is the median of each round's own, so that a slow moment hits both sides."""

    first: float
    second: float
    ratio: float
    """First over second."""


def paired(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    rounds: int,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Paired:
    """Runs the two in turn, each `repeats` times a round, after one unmeasured; gives the time of one run.

    `clock`: seconds of wall time, or of CPU time (`time.process_time`) where one thread works and nothing waits.
    """
    first(), second()
    times = [(_seconds(first, repeats, clock), _seconds(second, repeats, clock)) for _ in range(rounds)]
    return Paired(
        first=statistics.median(one for one, _ in times),
        second=statistics.median(other for _, other in times),
        ratio=statistics.median(one / other for one, other in times),
    )


def _seconds(function: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        function()
    return (clock() - start) / repeats
