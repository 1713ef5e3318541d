import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from infra.keys import LEASE_SECONDS
from infra.ledger import DocumentState, JobState, JobView, Limit, NewDocument, Outcome
from infra.progress.memory import MemoryProgress
from operations.customers import add_customer
from operations.erasure import erase
from operations.jobs import describe_job, job_report, seal_path, wait_for
from schemas.errors import Permanent
from schemas.ids import job_id
from schemas.parameters import ChunkingConfig, EmbeddingConfig, InstallationParameters
from tests.entrance import NOW, Entrance


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(Permanent) as caught:
        await work
    return caught.value.code


async def test_opening_twice_is_one_job_with_its_first_parameters(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    first = await entrance.jobs.opened("acme", "a reference")
    await entrance.store.add_version(
        InstallationParameters(
            customer_id="acme",
            embedding_config=EmbeddingConfig(model="fake"),
            chunking_config=ChunkingConfig(max_tokens=64, overlap_tokens=0),
        )
    )
    again = await entrance.jobs.opened("acme", "a reference")
    other = await entrance.jobs.opened("acme", "another")
    assert again == first
    assert first.id == job_id("acme", "a reference")
    assert (first.view.parameters, other.view.parameters) == (1, 2)
    assert first.view.fingerprint != other.view.fingerprint
    assert (await entrance.jobs.parameters(first.id)).chunking_config.max_tokens == 256
    assert await entrance.jobs.fingerprint(other.id) == other.view.fingerprint
    assert len(await entrance.ledger.jobs()) == 2


async def test_a_job_of_an_unknown_customer_leaves_nothing(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    assert await refused(entrance.jobs.open("nobody", "a reference")) == "customer.unknown"
    assert await refused(entrance.keys.fetch(str(job_id("nobody", "a reference")))) == "key.unknown"
    assert await entrance.ledger.jobs() == []


async def test_the_key_is_there_before_the_ledger_knows_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entrance = await Entrance(tmp_path).with_customer()

    async def crash(job: object) -> JobView:
        raise ConnectionResetError

    with monkeypatch.context() as broken:
        broken.setattr(entrance.ledger, "open_job", crash)
        with pytest.raises(ConnectionResetError):
            await entrance.jobs.open("acme", "a reference")
    key = await entrance.keys.fetch(str(job_id("acme", "a reference")))
    assert (await entrance.jobs.opened("acme", "a reference")).key == key


async def test_an_erased_job_does_not_open_again(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    job = await entrance.jobs.open("acme", "a reference")
    await entrance.keys.destroy(job)
    assert await refused(entrance.jobs.open("acme", "a reference")) == "key.destroyed"  # the ledger does not know yet
    await entrance.ledger.erased(job, now=NOW)
    assert await refused(entrance.jobs.open("acme", "a reference")) == "job.erased"
    await entrance.ledger.forget(erased_before=NOW + timedelta(days=1))
    assert await refused(entrance.jobs.open("acme", "a reference")) == "key.destroyed"  # nor any more


async def test_a_destroyed_key_is_unusable_once_its_lease_ends(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    job = await entrance.jobs.open("acme", "a reference")
    key = await entrance.jobs.key(job)
    await entrance.keys.destroy(job)
    entrance.seconds = LEASE_SECONDS - 1
    assert await entrance.jobs.key(job) == key
    entrance.seconds = LEASE_SECONDS
    assert await refused(entrance.jobs.key(job)) == "key.destroyed"


async def test_a_lease_is_renewed_and_counted_from_before_the_key_was_asked_for(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    job = await entrance.jobs.open("acme", "a reference")
    fetch = entrance.keys.fetch
    fetched: list[str] = []

    async def slow_fetch(key_id: str) -> bytes:
        fetched.append(key_id)
        entrance.seconds += 30
        return await fetch(key_id)

    entrance.keys.fetch = slow_fetch  # type: ignore[method-assign]
    entrance.seconds = LEASE_SECONDS
    await entrance.jobs.key(job)
    entrance.seconds = 2 * LEASE_SECONDS - 1
    await entrance.jobs.key(job)
    assert len(fetched) == 1
    entrance.seconds = 2 * LEASE_SECONDS
    await entrance.jobs.key(job)
    assert len(fetched) == 2


async def test_a_key_never_shows_in_a_repr(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    opened = await entrance.jobs.opened("acme", "a reference")
    assert repr(opened.key) not in repr(opened)


async def with_a_failure(entrance: Entrance) -> UUID:
    job = await entrance.jobs.open("acme", "a reference")
    sealed = seal_path(await entrance.jobs.key(job), "ab" * 16, "a folder/scan.png", nonce=bytes(12))
    failed = NewDocument("ab" * 16, sealed, DocumentState.FAILED, "document.needs-ocr")
    await entrance.ledger.record("admit", [Outcome(uuid4(), job, None, documents=(failed,), manifest=1)], now=NOW)
    return job


async def test_a_report_tells_why_documents_failed_and_by_which_path(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    job = await with_a_failure(entrance)
    report = await describe_job(job, ledger=entrance.ledger, keys=entrance.keys)
    assert report["documents"] == {"total": 1, "done": 0, "failed": 1}
    assert (report["state"], report["reason"]) == ("failed", "job.empty")
    assert str(job) in report["next_step"]
    assert [(row["path"], row["code"]) for row in report["failures"]] == [("a folder/scan.png", "document.needs-ocr")]


@pytest.mark.parametrize(("written", "pinned"), [("1", Limit(count=1)), ("12.5%", Limit(share=0.125)), (None, None)])
async def test_a_job_pins_how_many_documents_may_fail(
    tmp_path: Path, written: str | None, pinned: Limit | None
) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await add_customer("acme", store=entrance.store, max_failed=written)
    opened = await entrance.jobs.opened("acme", "a reference")
    await add_customer("acme", store=entrance.store, max_failed="50%")
    assert opened.view.max_failed == pinned
    assert job_report((await entrance.jobs.opened("acme", "a reference")).view)["max_failed"] == written


async def test_a_process_keeps_few_jobs_at_hand_and_knows_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.jobs.MOST_PINNED", 2)
    entrance = await Entrance(tmp_path).with_customer()
    jobs = [await entrance.jobs.open("acme", str(number)) for number in range(4)]
    first = [await entrance.jobs.parameters(job) for job in jobs]
    assert len(entrance.jobs._parameters) == len(entrance.jobs._fingerprints) == 2
    assert [await entrance.jobs.parameters(job) for job in jobs] == first


async def test_more_failures_than_the_job_allows_fail_it_and_each_is_named(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await add_customer("acme", store=entrance.store, max_failed="1")
    job = await entrance.jobs.open("acme", "a reference")
    key = await entrance.jobs.key(job)
    codes = [None, "document.type", "document.broken", "document.type"]
    met = [
        NewDocument(
            f"{number:032x}",
            seal_path(key, f"{number:032x}", f"{number}.pdf", nonce=bytes(12)),
            DocumentState.FAILED if code else DocumentState.OPEN,
            code,
        )
        for number, code in enumerate(codes)
    ]
    await entrance.ledger.record("admit", [Outcome(uuid4(), job, None, documents=tuple(met), manifest=4)], now=NOW)
    report = await describe_job(job, ledger=entrance.ledger, keys=entrance.keys)
    assert (report["state"], report["reason"]) == ("failed", "job.too-many-failed")
    assert f"cradle dlq redrive --job {job}" in report["next_step"]
    assert report["failed_by_code"] == {"document.type": 2, "document.broken": 1}
    assert [(one["path"], one["stage"], one["code"]) for one in report["failures"]] == [
        ("1.pdf", "admit", "document.type"),
        ("2.pdf", "admit", "document.broken"),
        ("3.pdf", "admit", "document.type"),
    ]


async def test_after_erasure_a_report_still_tells_what_happened_without_paths(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    job = await with_a_failure(entrance)
    await erase(job, ledger=entrance.ledger, keys=entrance.keys, staging=entrance.staging, clock=lambda: NOW)
    report = await describe_job(job, ledger=entrance.ledger, keys=entrance.keys)
    assert (report["state"], report["erased_at"]) == ("erased", NOW.isoformat())
    assert [(row["path"], row["code"]) for row in report["failures"]] == [(None, "document.needs-ocr")]


async def test_a_report_has_what_the_command_promises(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    report = job_report((await entrance.jobs.opened("acme", "a reference")).view)
    assert {"job", "customer", "state", "documents", "chunks", "image", "merkle"} <= report.keys()
    assert (report["state"], report["chunks"], report["image"], report["reason"]) == ("open", 0, None, None)


async def test_waiting_sees_each_view_and_ends_at_a_state_that_is_over(tmp_path: Path) -> None:
    entrance, progress = await Entrance(tmp_path).with_customer(), MemoryProgress()
    job = await entrance.jobs.open("acme", "a reference")
    states: list[JobState] = []
    first = asyncio.Event()

    def seen(view: JobView) -> None:
        states.append(view.state)
        first.set()

    waiting = asyncio.create_task(
        wait_for(job, {JobState.BAKED}, ledger=entrance.ledger, progress=progress, seen=seen, every=60)
    )
    await first.wait()
    await entrance.ledger.failed(job, "job.empty")
    await progress.changed(job)
    async with asyncio.timeout(10):
        assert (await waiting).state is JobState.FAILED
    assert states == [JobState.OPEN, JobState.FAILED]
