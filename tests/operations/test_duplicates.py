"""The same bytes under several names, from the entrance to the image, through all that mends and replays a job."""

import os
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from builders.parts import KIND
from infra.ledger import Counted, JobState, Outcome
from infra.paths import CustomerPaths
from operations.erasure import erase
from operations.jobs import describe_job, job_report
from operations.reconcile import Bench, reconcile
from operations.replay import Request, carry_out, plan
from operations.search import open_library
from operations.verify import verify
from schemas.errors import Permanent
from schemas.ids import message_id
from tests.entrance import NOW
from tests.operations.workshop import Workshop

LEASE = "The rent is due on the first of the month."
PLAN = "The pump is checked in March."


def zipped(**members: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.txt", content)
    return file.getvalue()


TWICE: dict[str, bytes | str] = {
    "b.txt": LEASE,
    "a.txt": LEASE,
    "c.zip": zipped(x=LEASE, y=PLAN),
    "d.txt": PLAN,
    "e.txt": "Another one.",
}
STATES = {
    "a.txt": "duplicate",
    "b.txt": "done",
    "c.zip": "expanded",
    "c.zip!/x.txt": "duplicate",
    "c.zip!/y.txt": "done",
    "d.txt": "duplicate",
    "e.txt": "done",
}
NAMES = {"a.txt": ("b.txt", "c.zip!/x.txt"), "c.zip!/y.txt": ("d.txt",), "e.txt": ()}
"""By the name that its passages stand under: its others."""


@pytest.fixture
async def workshop(tmp_path: Path) -> Workshop:
    return await Workshop.open(tmp_path)


async def names(workshop: Workshop, job: UUID) -> dict[str, tuple[str, ...]]:
    """What the image lists, and finds."""
    view = await workshop.baked(job)
    with open_library(CustomerPaths(workshop.home, "acme").image(job, view.generation)) as data:
        found = {one.document: one.also for one in data.search("rent pump another", limit=50)}
        listed = [one.path for one in data.documents()]
    assert sorted(listed) == sorted(name for first, others in found.items() for name in (first, *others))
    return found


async def holds(workshop: Workshop, job: UUID) -> bool:
    return (await verify(job, workshop.verify_ports)).holds


async def parts(workshop: Workshop, job: UUID) -> int:
    return len([name async for name in workshop.entrance.sealed.list(job, KIND)])


async def test_they_are_worked_on_once_and_listed_under_each_name(workshop: Workshop) -> None:
    job = await workshop.finish(TWICE)
    assert await workshop.states(job) == STATES
    assert await names(workshop, job) == NAMES
    assert await holds(workshop, job)
    assert await parts(workshop, job) == 3
    report = job_report(await workshop.view(job))
    assert report["documents"] == {"total": 6, "done": 6, "failed": 0}
    assert report["counts"] == {"duplicates": 3, "recognised": 0, "doubtful": 0, "hidden": 0, "folded": 0}
    assert len(workshop.records_of(job, "chunk-ready")) == 3


async def test_in_which_order_they_come_does_not_show_in_the_image(workshop: Workshop) -> None:
    jobs = [await workshop.finish(TWICE), await workshop.finish(dict(reversed(TWICE.items())), "backwards")]
    one, other = [await workshop.view(job) for job in jobs]
    assert await workshop.states(jobs[0]) != await workshop.states(jobs[1])
    assert (one.image, one.merkle) == (other.image, other.merkle)


async def test_they_fail_together_and_are_mended_together(workshop: Workshop) -> None:
    workshop.broken = {"chunk": "document.broken"}
    job = await workshop.finish({"a.txt": LEASE, "b.txt": LEASE})
    entrance = workshop.entrance
    report = await describe_job(job, ledger=entrance.ledger, keys=entrance.keys)
    assert [(row["path"], row["stage"], row["code"]) for row in report["failures"]] == [
        ("a.txt", "chunk", "document.broken"),
        ("b.txt", "chunk", "document.broken"),
    ]
    assert (report["state"], report["reason"]) == ("failed", "job.empty")
    workshop.broken = {}
    document = await workshop.id_of(job, "a.txt")
    message = message_id(job, "admit", UUID(document), 0)
    assert await entrance.ledger.redrive("chunk", message, job=job, now=NOW)
    [record] = workshop.records_of(job, "chunk-ready")
    await workshop.broker.publish([_again(record)])
    await workshop.run()
    assert await workshop.states(job) == {"a.txt": "done", "b.txt": "duplicate"}
    assert await names(workshop, job) == {"a.txt": ("b.txt",)}
    assert await holds(workshop, job)


def _again(record):  # type: ignore[no-untyped-def]
    from infra.broker import OutgoingRecord

    return OutgoingRecord(record.topic, record.key, record.value, list(record.headers))


async def test_lost_work_on_the_original_is_mended_and_the_duplicate_is_left_alone(workshop: Workshop) -> None:
    job = await workshop.submit(TWICE)
    await workshop.run("admit")
    for topic in ("chunk-ready", "ocr-ready"):
        for partition, span in (await workshop.broker.ranges(topic)).items():
            workshop.broker.truncate(topic, partition, span.end)
    entrance = workshop.entrance
    bench = Bench(
        broker=workshop.broker,
        ledger=entrance.ledger,
        staging=entrance.staging,
        key=workshop.jobs.key,
        unsealed=entrance.sealed,
        topology=workshop.topology,
        clock=lambda: NOW,
        entropy=os.urandom,
    )
    done = await reconcile(bench, job=job)
    assert len(done.jobs[0].documents) == 3
    await workshop.run()
    assert await workshop.states(job) == STATES
    assert await names(workshop, job) == NAMES
    assert (await reconcile(replace(bench, dry_run=True), job=job)).jobs == ()


@pytest.mark.parametrize("topic", ["ingest", "chunk-ready", "chunked", "embedded", "bake-ready"])
async def test_a_replay_has_them_as_well(workshop: Workshop, topic: str) -> None:
    job = await workshop.finish(TWICE)
    child = await _replayed(workshop, Request(topic, job=job))
    assert await workshop.states(child) == STATES
    assert await names(workshop, child) == NAMES
    assert (await workshop.baked(child)).merkle == (await workshop.baked(job)).merkle
    assert await holds(workshop, child)
    grandchild = await _replayed(workshop, Request(topic, job=child))
    assert await workshop.states(grandchild) == STATES


@pytest.mark.parametrize("named", ["a.txt", "b.txt", "c.zip!/x.txt"])
@pytest.mark.parametrize("topic", ["ingest", "chunk-ready", "chunked"])
async def test_a_replay_of_one_of_them_keeps_them_together(workshop: Workshop, topic: str, named: str) -> None:
    job = await workshop.finish(TWICE)
    child = await _replayed(workshop, Request(topic, job=job, documents=(named,)))
    assert await names(workshop, child) == NAMES
    assert (await workshop.view(child)).total == 6
    assert await holds(workshop, child)


async def test_a_replay_brings_back_what_failed(workshop: Workshop) -> None:
    job = await workshop.submit(TWICE)
    await workshop.run("admit")
    workshop.broken = {"chunk": "document.broken"}
    await workshop.run()
    workshop.broken = {}
    assert set((await workshop.states(job)).values()) == {"expanded", "document.broken"}
    child = await _replayed(workshop, Request("chunk-ready", job=job))
    assert await workshop.states(child) == STATES


@pytest.mark.parametrize(
    ("topic", "documents", "expected"),
    [
        ("chunk-ready", ("b.txt",), {"hidden": 5}),
        ("chunk-ready", (), {}),
        ("chunked", ("b.txt",), {"hidden": 7}),
        ("bake-ready", (), {"hidden": 7}),
    ],
)
async def test_what_is_inherited_counts_and_what_is_done_again_counts_anew(
    workshop: Workshop, topic: str, documents: tuple[str, ...], expected: dict[str, int]
) -> None:
    job = await workshop.finish(TWICE)
    ledger = workshop.entrance.ledger
    for path, hidden in (("b.txt", 2), ("e.txt", 5)):
        counted = Outcome(uuid4(), job, await workshop.id_of(job, path), counts={Counted.HIDDEN: hidden})
        await ledger.record("chunk", [counted], now=NOW)
    child = await _replayed(workshop, Request(topic, job=job, documents=documents))
    assert (await workshop.view(child)).counts == expected
    again = await _replayed(workshop, Request("bake-ready", job=child))
    assert (await workshop.view(again)).counts == expected


async def test_an_update_brings_and_removes_names(workshop: Workshop) -> None:
    await workshop.remember(await workshop.finish(TWICE), "v1.0-init")
    job = await workshop.update({"f.txt": LEASE, "g.txt": LEASE}, removed=["a.txt", "c.zip"])
    assert await names(workshop, job) == {"b.txt": ("f.txt", "g.txt"), "d.txt": (), "e.txt": ()}
    assert await holds(workshop, job)


async def test_erased_nothing_is_left_of_their_names(workshop: Workshop) -> None:
    job = await workshop.finish(TWICE)
    entrance = workshop.entrance
    await erase(job, ledger=entrance.ledger, keys=entrance.keys, staging=entrance.staging, clock=lambda: NOW)
    assert {row.sealed_path for row in await entrance.ledger.documents(job)} == {b""}
    assert (await entrance.ledger.job(job)).state is JobState.ERASED
    assert [name async for name in entrance.staging.list(f"jobs/{job}/")] == []
    with pytest.raises(Permanent):
        await entrance.sealed.get(job, f"jobs/{job}/raw/{'0' * 32}")


async def _replayed(workshop: Workshop, request: Request) -> UUID:
    [found], refused = await plan(request, workshop.replay_ports)
    assert refused == []
    done = await carry_out(found, workshop.replay_ports)
    await workshop.run()
    return done.job
