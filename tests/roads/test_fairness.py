"""A customer with few documents does not wait for one with many, who came first.

CRADLE_LONG=1: 20,000 documents stand in the way instead of a few thousand. They are not worked through to the end.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.broker import OutgoingRecord, open_broker
from infra.ledger import JobState, open_ledger
from infra.local import stack
from infra.paths import file_url
from schemas.ids import job_id
from tests.roads.road import STAGES, Road

pytestmark = pytest.mark.apart

LONG = os.environ.get("CRADLE_LONG") == "1"
FEW = 20
ALONE = 3
"""How often the few are timed on their own."""
AT_MOST = 3.0
"""How many times as long they may take behind the many."""
SECONDS = 120.0


@pytest.fixture
def road(new_home: Callable[[], Path]) -> Iterator[Road]:
    road = Road(new_home())
    yield road
    road.stop()
    road.run("down", ok=False)


class ForeignClient:
    """Writes clear JSON, a record for each document, all with one key: customers share a partition, in one long row."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._folder = road.home / "documents"
        self._folder.mkdir()

    def allow(self, customer: str) -> None:
        self._road.run("customer", "add", customer, "--root", f"{file_url(self._folder)}/")

    async def submit(self, customer: str, reference: str, count: int) -> None:
        events: list[dict[str, Any]] = []
        for number in range(count):
            file = self._folder / f"{reference}-{number}.txt"  # no two of the same bytes: those were worked on once
            file.write_text(f"Lease {number}. The rent is due on the first of each month.\n" * 20)
            events.append({"documents": [{"path": f"{reference}/{number}.txt", "uri": file_url(file)}]})
        events.append({"manifest": {"documents": count}})
        values = [json.dumps({"customer": customer, "reference": reference, **event}).encode() for event in events]
        async with open_broker(endpoints(self._road).broker_url) as broker:
            await broker.publish([OutgoingRecord("ingest", b"", value, []) for value in values])


class OurProducer:
    """`cradle ingest`: sealed, in events of many documents each."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def allow(self, customer: str) -> None:
        self._road.run("customer", "add", customer)

    async def submit(self, customer: str, reference: str, count: int) -> None:
        folder = self._road.home / "documents" / reference
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.txt").write_text(f"Rent {number} is due on the first of each month.\n" * 20)
        words = ("ingest", str(folder), "--customer", customer, "--reference", reference)
        await asyncio.to_thread(self._road.run, *words, timeout=600)


def endpoints(road: Road) -> stack.Endpoints:
    found = stack.endpoints(road.home)
    assert found is not None
    return found


async def seconds_to_bake(road: Road, job: UUID, since: float) -> float:
    """From `since` until the job's image is there."""
    async with open_ledger(endpoints(road).ledger_url) as ledger:
        state = None
        while state is not JobState.BAKED:
            assert time.monotonic() - since < SECONDS, f"still {state}\n{road.logs()}"
            await asyncio.sleep(0.05)
            known = {view.id: view.state for view in await ledger.jobs(limit=10)}
            state = known.get(job)
            assert state is not JobState.FAILED
    return time.monotonic() - since


async def open_documents(road: Road, customer: str) -> int:
    async with open_ledger(endpoints(road).ledger_url) as ledger:
        return await ledger.open_documents(customer)


@pytest.mark.parametrize(("client", "many"), [(ForeignClient, 3_000), (OurProducer, 1_000)])
async def test_few_documents_take_at_most_three_times_as_long_behind_many(
    road: Road, client: type[ForeignClient] | type[OurProducer], many: int
) -> None:
    many = 20_000 if LONG else many
    road.run("up")
    road.start(*STAGES)
    submitting = client(road)
    for customer in ("many", "few"):
        submitting.allow(customer)

    async def time_the_few(reference: str) -> float:
        begun = time.monotonic()
        await submitting.submit("few", reference, FEW)
        return await seconds_to_bake(road, job_id("few", reference), begun)

    await time_the_few("warm up")
    alone = [await time_the_few(f"alone {number}") for number in range(ALONE)]
    await submitting.submit("many", "many", many)
    behind = await time_the_few("behind")
    assert await open_documents(road, "many") > 0, "the many were through before the few: nothing was shown"
    ratio = behind / statistics.median(alone)
    print(f"{many} ahead: alone {[round(one, 2) for one in alone]} s, behind {behind:.2f} s, {ratio:.2f} times")
    assert ratio <= AT_MOST
