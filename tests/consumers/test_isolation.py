"""Messages that a worker may have died of: who runs them where, how often, and what becomes of them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest

from consumers.runtime import Done, Failed, Handle, Held, Options, Outcome, Received, Runtime
from consumers.runtime.attempts import Died
from consumers.runtime.delivery import Delivery
from consumers.runtime.metrics import Metrics
from schemas.errors import Permanent, Retryable
from tests.consumers.flow import Crash, Flow, document_message, open_flow

DOCUMENTS = ("a.txt", "b.txt", "c.txt")
POISON = "b.txt"


class Cells:
    """Processes for one message at a time, without processes: `act` says what becomes of a document in one."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self.act = act
        self.open = 0
        self.ran: list[str] = []

    @asynccontextmanager
    async def isolate(self, stage: str, *, stuck: float, beat: Callable[[], None]) -> AsyncIterator[Handle]:
        self.open += 1
        yield self._handle
        self.open -= 1

    async def _handle(self, inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        assert len(inputs) == 1
        self.ran.append(inputs[0].message.document.path)
        self.act(self.ran[-1])
        yield Done(inputs[0], items=1)


@dataclass
class Bench:
    flow: Flow
    in_company: list[str] = field(default_factory=list)
    deadly: bool = True

    async def poll(self, worker: Runtime) -> Any:
        return await self.flow.poll("split", with_ports=worker)

    def new_worker(self, cells: Cells | None = None, **options: Any) -> Runtime:
        """As after a start of the process: the ledger knows it by another id."""
        isolate = cells.isolate if cells else None
        return replace(self.flow.runtime, worker=uuid4(), isolate=isolate, options=Options(**options))

    async def letters(self) -> list[str]:
        return [dict(one.headers)["cradle_code"].decode() for one in self.flow.log.of("chunk-ready.dlq")]

    async def handle(self, inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            path = one.message.document.path
            self.in_company.append(path)
            if path == POISON and self.deadly:
                raise Crash
            yield Done(one, items=1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        bench = Bench(await open_flow(stack))
        await bench.flow.open_job()
        bench.flow.handles["split"] = bench.handle
        for name in DOCUMENTS:
            message = document_message(name)
            await bench.flow.publish(message, "chunk-ready", document=message.document.id)
        yield bench


async def die_once(bench: Bench) -> None:
    with pytest.raises(Crash):
        await bench.poll(bench.new_worker())


def dies_of_poison(path: str) -> None:
    if path == POISON:
        raise Died("SIGSEGV")


async def test_a_killer_is_handed_over_three_times_and_its_neighbours_pass(bench: Bench) -> None:
    await die_once(bench)
    cells = Cells(dies_of_poison)
    await bench.poll(bench.new_worker(cells))
    assert bench.in_company.count(POISON) == 1
    assert sorted(cells.ran) == ["a.txt", POISON, POISON, "c.txt"]
    assert await bench.letters() == ["delivery.killer"]
    assert dict(bench.flow.log.of("chunk-ready.dlq")[0].headers)["cradle_attempts"] == b"3"
    assert bench.flow.log.committed["split", "chunk-ready"] == 3
    view = await bench.flow.view()
    assert (view.outcomes["split"], view.items["split"]) == (3, 2)
    assert cells.open == 0


async def test_what_nobody_died_of_runs_in_company_and_ahead_of_suspects(bench: Bench) -> None:
    await die_once(bench)
    later = document_message("later.txt")
    await bench.flow.publish(later, "chunk-ready", document=later.document.id)
    order: list[str] = []
    cells = Cells(order.append)
    bench.deadly = False
    bench.in_company = order
    await bench.poll(bench.new_worker(cells))
    assert order[0] == "later.txt"
    assert sorted(cells.ran) == list(DOCUMENTS)


async def test_workers_that_are_killed_condemn_nothing(bench: Bench) -> None:
    """However often: nobody lives to see what they died of."""
    await die_once(bench)

    def killed(path: str) -> None:
        raise Crash

    for _ in range(10):
        with pytest.raises(Crash):
            await bench.poll(bench.new_worker(Cells(killed)))
    cells = Cells(lambda path: None)
    await bench.poll(bench.new_worker(cells))
    assert sorted(cells.ran) == list(DOCUMENTS)
    assert await bench.letters() == []
    assert (await bench.flow.view()).items["split"] == 3


async def test_a_strike_outlives_the_worker(bench: Bench) -> None:
    await die_once(bench)
    deaths = 0

    def dies_and_then_its_worker(path: str) -> None:
        nonlocal deaths
        if path == POISON:
            deaths += 1
            raise Died("SIGKILL") if deaths == 1 else Crash

    with pytest.raises(Crash):
        await bench.poll(bench.new_worker(Cells(dies_and_then_its_worker)))
    cells = Cells(dies_of_poison)
    await bench.poll(bench.new_worker(cells))
    assert cells.ran.count(POISON) == 1
    assert await bench.letters() == ["delivery.killer"]


async def test_one_strike_is_forgiven(bench: Bench) -> None:
    await die_once(bench)
    strikes = iter([True, False])

    def dies_once(path: str) -> None:
        if path == POISON and next(strikes):
            raise Died("SIGKILL")

    await bench.poll(bench.new_worker(Cells(dies_once)))
    assert await bench.letters() == []
    assert (await bench.flow.view()).items["split"] == 3


@pytest.mark.parametrize(
    ("error", "letters", "away"),
    [
        (ValueError("content"), ["delivery.unexpected"], None),
        (Retryable("dependency.away", name="S3"), [], "dependency.away"),
    ],
)
async def test_errors_of_the_stage_mean_what_they_mean_in_the_worker(
    bench: Bench, error: Exception, letters: list[str], away: str | None
) -> None:
    await die_once(bench)

    def fails(path: str) -> None:
        if path == POISON:
            raise error

    cells = Cells(fails)
    delivered = await bench.poll(bench.new_worker(cells))
    assert await bench.letters() == letters
    assert cells.ran.count(POISON) == (3 if letters else 1)
    assert (delivered.away.code if delivered.away else None) == away


async def test_a_suspect_stays_one_until_it_has_an_outcome(bench: Bench) -> None:
    """Also for the worker that has let go of it in between."""
    await die_once(bench)
    away = iter([True, False])

    def away_once(path: str) -> None:
        if next(away, False):
            raise Retryable("dependency.away", name="S3")

    worker = bench.new_worker(cells := Cells(away_once))
    poll = bench.flow.log.of("chunk-ready")
    delivery = Delivery("split", bench.handle, worker, Metrics("split"))
    assert (await delivery.deliver(poll)).away is not None
    assert len((await delivery.deliver(poll)).finished) == 3
    assert bench.in_company.count(POISON) == 1
    assert cells.ran.count(POISON) >= 1


async def test_what_a_living_worker_has_let_go_of_is_no_suspect(bench: Bench) -> None:
    async def not_now(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            if one.message.document.path == POISON:
                yield Held(one, 0.1)
            else:
                yield Failed(one, Permanent("document.no-text"))

    bench.flow.handles["split"] = not_now
    await bench.poll(bench.new_worker())
    bench.flow.handles["split"] = bench.handle
    bench.deadly = False
    cells = Cells(dies_of_poison)
    await bench.poll(bench.new_worker(cells))
    assert (cells.ran, bench.in_company) == ([], [POISON])


async def test_without_processes_suspects_run_one_at_a_time_in_the_worker(bench: Bench) -> None:
    await die_once(bench)
    polls: list[int] = []

    async def count(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        polls.append(len(inputs))
        for one in inputs:
            yield Done(one, items=1)

    bench.flow.handles["split"] = count
    await bench.poll(bench.new_worker())
    assert polls == [1, 1, 1]


async def test_each_process_that_a_message_ends_is_counted(bench: Bench) -> None:
    await die_once(bench)
    metrics = Metrics("split")
    delivery = Delivery("split", bench.handle, bench.new_worker(Cells(dies_of_poison)), metrics)
    await delivery.deliver(bench.flow.log.of("chunk-ready"))
    assert metrics.registry.get_sample_value("cradle_strikes_total", {"stage": "split"}) == 2
