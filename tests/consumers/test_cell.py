"""A process that runs a stage on one message at a time, and may die of it."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from consumers.runtime import Done, Handle, Outcome, Received
from consumers.runtime.attempts import Died, Unforeseen
from consumers.runtime.cell import live_in_cell, open_cell
from infra.local.processes import alive
from schemas.errors import Retryable
from schemas.messages import JobCompleted
from tests.conftest import ROOT

DEADLINE = 30.0
PROGRAM = "from tests.consumers import test_cell; test_cell.program()"


def program() -> None:
    """What runs in the cell: the customer's name says what becomes of the process."""

    @asynccontextmanager
    async def opened(opening: str) -> AsyncIterator[Handle]:
        if opening == "away":
            raise Retryable("dependency.away", name="S3")
        if opening == "broken":
            os._exit(9)
        yield _stage

    live_in_cell(opened)


async def _stage(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        print("a library says something on stdout")
        match one.message.customer:
            case "exits":
                os._exit(3)
            case "crashes":
                os.abort()
            case "leaves":
                sys.exit(5)
            case "hangs":
                await asyncio.Event().wait()
            case "fails":
                raise ValueError("a customer's text")
            case "away":
                raise Retryable("dependency.away", name="PostgreSQL")
            case "forks":
                if os.fork() == 0:
                    time.sleep(600)
                os._exit(4)
        yield Done(one, items=os.getpid())


def message(customer: str) -> Received[Any]:
    return Received(uuid4(), UUID(int=1), JobCompleted(customer=customer, generation=1))


def cell(opening: str = "", *, stuck: float = 60.0) -> Any:
    return open_cell("test", (sys.executable, "-c", PROGRAM), opening, stuck=stuck, beat=lambda: None)


async def outcome_of(handle: Handle, customer: str) -> Done:
    """The message's outcome, and of which process: `items`."""
    sent = message(customer)
    async with asyncio.timeout(DEADLINE):
        [outcome] = [one async for one in handle([sent])]
    assert outcome.input == sent
    return cast(Done, outcome)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


async def test_one_process_serves_message_after_message_and_ends_with_the_block() -> None:
    async with cell() as handle:
        processes = {(await outcome_of(handle, "good")).items for _ in range(3)}
    [process] = processes
    assert process != os.getpid()
    assert not alive(process)


@pytest.mark.parametrize(
    ("customer", "how"),
    [
        ("exits", "exit code 3"),
        ("crashes", "SIGABRT"),
        ("leaves", "exit code 5"),
        ("forks", "exit code 4"),
        ("hangs", "no progress for 1.5 s"),
    ],
)
async def test_whatever_it_dies_of_the_next_message_gets_a_new_one(customer: str, how: str) -> None:
    async with cell(stuck=1.5 if customer == "hangs" else 60) as handle:
        first = (await outcome_of(handle, "good")).items
        with pytest.raises(Died, match=how):
            await outcome_of(handle, customer)
        assert not alive(first)
        assert (await outcome_of(handle, "good")).items != first


async def test_errors_of_the_stage_come_back_without_their_text() -> None:
    async with cell() as handle:
        with pytest.raises(Unforeseen) as caught:
            await outcome_of(handle, "fails")
        assert (caught.value.kind, caught.value.place.split(":")[0]) == ("ValueError", "test_cell.py")
        assert "customer" not in str(caught.value)
        with pytest.raises(Retryable) as away:
            await outcome_of(handle, "away")
        assert (away.value.code, str(away.value)) == ("dependency.away", "PostgreSQL does not answer.")
        assert (await outcome_of(handle, "good")).items


@pytest.mark.parametrize(("opening", "code"), [("away", "dependency.away"), ("broken", "delivery.isolation")])
async def test_a_process_that_cannot_start_blames_no_message(opening: str, code: str) -> None:
    async with cell(opening) as handle:
        with pytest.raises(Retryable) as caught:
            await outcome_of(handle, "good")
    assert caught.value.code == code


async def test_a_drain_ends_it() -> None:
    async with cell() as handle:
        process = (await outcome_of(handle, "good")).items
        hanging = asyncio.create_task(outcome_of(handle, "hangs"))
        await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    assert not alive(process)


async def test_it_ends_with_its_worker(tmp_path: Path) -> None:
    """Also where the worker is killed while the stage works."""
    worker = f"""
import asyncio, pathlib
from tests.consumers import test_cell

async def main():
    async with test_cell.cell() as handle:
        process = (await test_cell.outcome_of(handle, "good")).items
        hanging = asyncio.create_task(test_cell.outcome_of(handle, "hangs"))
        await asyncio.sleep(0.1)
        pathlib.Path({str(tmp_path / "cell")!r}).write_text(str(process))
        await hanging

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", worker)
    async with asyncio.timeout(DEADLINE):
        while not (told := tmp_path / "cell").exists() or not told.read_text():
            await asyncio.sleep(0.02)
        started = int(told.read_text())
        assert alive(started)
        process.kill()
        await process.wait()
        while alive(started):
            await asyncio.sleep(0.02)


async def test_a_stage_that_is_left_in_the_middle_leaves_no_process() -> None:
    async with cell() as handle, aclosing(cast(Any, handle([message("good")]))) as outcomes:
        process = (await anext(outcomes)).items
    assert not alive(process)
