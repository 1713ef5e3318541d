"""What every ledger does, in memory and on PostgreSQL alike."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import Final
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.ledger import (
    Announcement,
    Counted,
    CountedUnit,
    DocumentRow,
    DocumentState,
    ImageRecord,
    JobState,
    JobView,
    Ledger,
    Limit,
    NewDocument,
    NewJob,
    Outcome,
    StageProgress,
    Taken,
    Unit,
    WorkRow,
    open_ledger,
)
from infra.ledger.migrations import migrate
from infra.local.postgres import EmbeddedPostgres
from schemas.errors import Permanent
from schemas.ids import NO_JOB

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def migrated_url(postgres_server: EmbeddedPostgres) -> str:
    postgres_server.create_database("test_ledger_contract")
    url = postgres_server.url("test_ledger_contract")
    migrate(url)
    return url


@pytest.fixture(params=["memory", "postgresql"])
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """An empty ledger; on PostgreSQL in a database that is migrated once and emptied for each test."""
    url = "memory:"
    if request.param == "postgresql":
        url = request.getfixturevalue("migrated_url")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "TRUNCATE ledger.jobs, ledger.documents, ledger.work, ledger.progress, ledger.counts, ledger.outbox,"
                " ledger.in_hand, ledger.discarded"
            )
    async with open_ledger(url) as opened:
        yield opened


def new_job(customer: str = "acme", **changes: object) -> NewJob:
    job = NewJob(uuid4(), customer, "spring", 3, "f" * 64, NOW)
    return replace(job, **changes)  # type: ignore[arg-type]


def met(document: str, **changes: object) -> NewDocument:
    return replace(NewDocument(document, b"sealed " + document.encode()), **changes)  # type: ignore[arg-type]


async def opened(ledger: Ledger, **changes: object) -> UUID:
    return (await ledger.open_job(new_job(**changes))).id


async def submit(ledger: Ledger, job: UUID, *documents: NewDocument, manifest: int | None = None) -> dict[str, UUID]:
    """Admits the documents in one outcome; returns the message each open one goes on as."""
    messages = {one.id: uuid4() for one in documents if one.state is DocumentState.OPEN}
    outcome = Outcome(
        uuid4(),
        job,
        None,
        opens=tuple(Unit(message, "chunk", document) for document, message in messages.items()),
        documents=documents,
        manifest=manifest,
    )
    await ledger.record("admit", [outcome], now=NOW)
    return messages


async def finish(ledger: Ledger, job: UUID, messages: dict[str, UUID], code: str | None = None) -> None:
    outcomes = [Outcome(message, job, document, items=2, code=code) for document, message in messages.items()]
    await ledger.record("chunk", outcomes, now=LATER)


async def complete(ledger: Ledger, **changes: object) -> UUID:
    job = await opened(ledger, **changes)
    await finish(ledger, job, await submit(ledger, job, met("a"), manifest=1))
    return job


def image(**changes: object) -> ImageRecord:
    record = ImageRecord("sha256:" + "0" * 64, 7, {"chunk": "ab"}, LATER, NOW + timedelta(days=2))
    return replace(record, **changes)  # type: ignore[arg-type]


async def test_when_documents_first_were_done_stays_known(ledger: Ledger) -> None:
    job = await opened(ledger)
    refused = met("z", state=DocumentState.FAILED, code="document.type")
    messages = await submit(ledger, job, met("a"), met("b"), refused, manifest=3)
    assert (await ledger.job(job)).first_done_at is None, "one that is refused says nothing of the stages"
    for document, when in (("a", LATER), ("b", LATER + timedelta(hours=1))):
        await ledger.record("chunk", [Outcome(messages[document], job, document)], now=when)
        view = await ledger.job(job)
        assert (view.first_done_at, view.first_done, view.last_done_at) == (LATER, 2, when)


class TestJobs:
    async def test_a_job_is_opened_once(self, ledger: Ledger) -> None:
        job = new_job()
        first = await ledger.open_job(job)
        again = await ledger.open_job(replace(job, parameters=9, fingerprint="0" * 64))
        assert again == first
        assert first == JobView(
            id=job.id,
            customer="acme",
            reference="spring",
            state=JobState.OPEN,
            parameters=3,
            fingerprint="f" * 64,
            parent=None,
            generation=0,
            manifest=None,
            total=0,
            done=0,
            failed=0,
            open_work=0,
            items={},
            outcomes={},
            reason=None,
            image=None,
            merkle={},
            opened_at=NOW,
            completed_at=None,
            baked_at=None,
            erased_at=None,
            retain_until=NOW + timedelta(hours=24),
        )

    async def test_an_unknown_job_is_said_to_be_unknown(self, ledger: Ledger) -> None:
        with pytest.raises(Permanent) as caught:
            await ledger.job(uuid4())
        assert caught.value.code == "job.unknown"
        assert await ledger.documents(uuid4()) == []

    async def test_the_newest_jobs_come_first(self, ledger: Ledger) -> None:
        ids = [await opened(ledger, opened_at=NOW + timedelta(minutes=minute)) for minute in range(4)]
        other = await opened(ledger, customer="other", opened_at=NOW + timedelta(minutes=9))
        assert [job.id for job in await ledger.jobs()] == [other, *reversed(ids)]
        assert [job.id for job in await ledger.jobs("acme", limit=2)] == [ids[3], ids[2]]
        assert await ledger.jobs("nobody") == []

    async def test_it_answers(self, ledger: Ledger) -> None:
        await ledger.ping()


class TestCompletion:
    async def test_a_job_completes_when_its_last_unit_is_finished(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        assert (await ledger.job(job)).state is JobState.OPEN
        await submit(ledger, job, manifest=2)
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, {"a": messages["a"]})
        view = await ledger.job(job)
        assert (view.state, view.open_work, view.done, view.total) == (JobState.PROCESSING, 1, 1, 2)
        assert await ledger.announcements() == []
        await finish(ledger, job, {"b": messages["b"]})
        view = await ledger.job(job)
        assert (view.state, view.open_work, view.done, view.generation) == (JobState.COMPLETE, 0, 2, 1)
        assert (view.manifest, view.completed_at) == (2, LATER)
        assert view.items == {"chunk": 4}
        assert view.outcomes == {"admit": 2, "chunk": 2}
        assert await ledger.announcements() == [Announcement(job, "acme", 1)]

    async def test_the_manifest_may_come_last(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await finish(ledger, job, await submit(ledger, job, met("a")))
        assert (await ledger.job(job)).state is JobState.OPEN
        await submit(ledger, job, manifest=1)
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_the_manifest_may_come_first(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, manifest=2)
        await finish(ledger, job, await submit(ledger, job, met("a")))
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, await submit(ledger, job, met("b")))
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_the_first_manifest_counts(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, manifest=2)
        await submit(ledger, job, manifest=1)
        await finish(ledger, job, await submit(ledger, job, met("a")))
        view = await ledger.job(job)
        assert (view.manifest, view.state) == (2, JobState.PROCESSING)

    async def test_nothing_submitted_is_a_failed_job(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, manifest=0)
        view = await ledger.job(job)
        assert (view.state, view.reason, view.completed_at) == (JobState.FAILED, "job.empty", NOW)
        assert await ledger.announcements() == []

    async def test_only_failed_documents_are_a_failed_job(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        refused = met("a", state=DocumentState.FAILED, code="document.type")
        await finish(ledger, job, await submit(ledger, job, refused, met("b"), manifest=2), code="document.broken")
        view = await ledger.job(job)
        assert (view.state, view.reason, view.total, view.failed) == (JobState.FAILED, "job.empty", 2, 2)
        assert await ledger.announcements() == []
        assert await ledger.documents(job) == [
            DocumentRow("a", DocumentState.FAILED, b"sealed a", "admit", "document.type"),
            DocumentRow("b", DocumentState.FAILED, b"sealed b", "chunk", "document.broken"),
        ]

    async def test_one_done_document_is_enough(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"), manifest=2)
        await finish(ledger, job, {"a": messages["a"]}, code="document.broken")
        await finish(ledger, job, {"b": messages["b"]})
        view = await ledger.job(job)
        assert (view.state, view.done, view.failed) == (JobState.COMPLETE, 1, 1)

    async def test_an_archive_is_a_source_and_its_members_are_the_documents(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        archive = met("zip", state=DocumentState.EXPANDED)
        messages = await submit(ledger, job, archive, met("x", member=True), met("y", member=True), manifest=2)
        await finish(ledger, job, messages)
        view = await ledger.job(job)
        assert (view.state, view.total, view.done) == (JobState.PROCESSING, 2, 2)
        await finish(ledger, job, await submit(ledger, job, met("a")))
        assert (await ledger.job(job)).state is JobState.COMPLETE
        states = {row.id: row.state for row in await ledger.documents(job)}
        assert states == {"a": "done", "x": "done", "y": "done", "zip": "expanded"}

    async def test_a_message_may_be_finished_before_it_is_opened(self, ledger: Ledger) -> None:
        """One unit open and one finished ahead of its opening are not an end."""
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=1)
        ahead = uuid4()
        await ledger.record("embed", [Outcome(ahead, job, "a")], now=NOW)
        view = await ledger.job(job)
        assert (view.state, view.open_work) == (JobState.PROCESSING, 1)
        chunked = Outcome(messages["a"], job, "a", opens=(Unit(ahead, "embed", "a"), Unit(ahead, "graph", "a")))
        await ledger.record("chunk", [chunked], now=NOW)
        assert (await ledger.job(job)).open_work == 1  # the other reader's
        await ledger.record("graph", [Outcome(ahead, job, "a")], now=NOW)
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_all_of_a_document_may_be_known_before_the_document(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        fine, broken = uuid4(), uuid4()
        outcomes = [Outcome(fine, job, "a"), Outcome(broken, job, "b", code="document.broken")]
        await ledger.record("chunk", outcomes, now=NOW)
        assert await ledger.documents(job) == []
        assert (await ledger.job(job)).total == 0
        admitted = Outcome(
            uuid4(),
            job,
            None,
            opens=(Unit(fine, "chunk", "a"), Unit(broken, "chunk", "b")),
            documents=(met("a"), met("b")),
            manifest=2,
        )
        await ledger.record("admit", [admitted], now=NOW)
        view = await ledger.job(job)
        assert (view.state, view.total, view.done, view.failed) == (JobState.COMPLETE, 2, 1, 1)
        assert [(row.state, row.stage) for row in await ledger.documents(job)] == [("done", None), ("failed", "chunk")]

    async def test_an_announcement_stays_until_it_is_taken(self, ledger: Ledger) -> None:
        jobs = [await complete(ledger) for _ in range(2)]
        announcements = await ledger.announcements()
        assert {one.job for one in announcements} == set(jobs)
        for _ in range(2):
            await ledger.announced(announcements[0])
        assert await ledger.announcements() == announcements[1:]


class TestOutcomes:
    async def test_an_outcome_counts_once(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        outcome = Outcome(uuid4(), job, None, opens=(Unit(uuid4(), "chunk", "a"),), documents=(met("a"),), items=5)
        await ledger.record("admit", [outcome, outcome], now=NOW)
        once = await ledger.job(job)
        await ledger.record("admit", [replace(outcome, items=9, code="document.broken")], now=LATER)
        assert await ledger.job(job) == once
        assert (once.open_work, once.total, once.items, once.outcomes) == (1, 1, {"admit": 5}, {"admit": 1})

    async def test_what_is_finished_is_known_by_stage(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        await finish(ledger, job, {"a": messages["a"]})
        assert await ledger.finished("chunk", [*messages.values(), uuid4()]) == {messages["a"]}
        assert await ledger.finished("embed", list(messages.values())) == set()
        assert await ledger.finished("chunk", []) == set()

    async def test_a_document_met_twice_counts_once(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        message = uuid4()
        for path in (b"first", b"second"):
            again = Outcome(
                uuid4(),
                job,
                None,
                opens=(Unit(message, "chunk", "a"),),
                documents=(met("a", sealed_path=path), met("a", sealed_path=b"third")),
            )
            await ledger.record("admit", [again], now=NOW)
        refused = met("a", state=DocumentState.FAILED, code="source.digest")
        await submit(ledger, job, refused, manifest=2)
        view = await ledger.job(job)
        assert (view.total, view.failed, view.open_work) == (1, 0, 1)
        await finish(ledger, job, {"a": message})
        assert await ledger.documents(job) == [DocumentRow("a", DocumentState.DONE, b"first", None, None)]
        assert (await ledger.job(job)).state is JobState.PROCESSING  # one document does not make two

    async def test_a_failed_document_stays_failed(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"))
        parts = [uuid4(), uuid4(), uuid4()]
        made = Outcome(messages["a"], job, "a", opens=tuple(Unit(part, "embed", "a") for part in parts))
        await ledger.record("chunk", [made], now=NOW)
        for part, code in zip(parts, [None, "engine.weights", "delivery.unexpected"], strict=True):
            kind = code if code != "delivery.unexpected" else "message.too-large"
            await ledger.record("embed", [Outcome(part, job, "a", code=kind)], now=NOW)
        (row,) = await ledger.documents(job)
        assert (row.state, row.stage, row.code) == (DocumentState.FAILED, "embed", "engine.weights")
        view = await ledger.job(job)
        assert (view.failed, view.done, view.open_work) == (1, 0, 0)

    async def test_an_unknown_jobs_outcome_is_kept_and_moves_nothing(self, ledger: Ledger) -> None:
        nobody, message = uuid4(), uuid4()
        known = await opened(ledger)
        lost = Outcome(
            message,
            nobody,
            "a",
            opens=(Unit(uuid4(), "chunk", "a"),),
            documents=(met("a"),),
            manifest=1,
            code="customer.unknown",
        )
        await ledger.record("admit", [lost, Outcome(uuid4(), known, None, items=1)], now=NOW)
        assert await ledger.finished("admit", [message]) == {message}
        with pytest.raises(Permanent):
            await ledger.job(nobody)
        assert await ledger.documents(nobody) == []
        assert (await ledger.job(known)).items == {"admit": 1}

    async def test_one_poll_may_hold_many_jobs(self, ledger: Ledger) -> None:
        jobs = [await opened(ledger) for _ in range(3)]
        outcomes = [
            Outcome(uuid4(), job, None, opens=(Unit(uuid4(), "chunk", "a"),), documents=(met("a"),), manifest=number)
            for number, job in enumerate(jobs, start=1)
        ]
        await ledger.record("admit", outcomes, now=NOW)
        views = [await ledger.job(job) for job in jobs]
        assert [(view.manifest, view.total, view.open_work) for view in views] == [(1, 1, 1), (2, 1, 1), (3, 1, 1)]

    async def test_nothing_to_record_is_harmless(self, ledger: Ledger) -> None:
        await ledger.record("chunk", [], now=NOW)

    def test_a_failed_document_needs_a_code(self) -> None:
        with pytest.raises(ValueError, match="code"):
            met("a", state=DocumentState.FAILED)
        with pytest.raises(ValueError, match="code"):
            met("a", code="document.type")


class TestTheWindow:
    async def test_it_counts_the_customers_documents_with_open_work(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"), met("c"))
        await submit(ledger, await opened(ledger), met("a"))
        await submit(ledger, await opened(ledger, customer="other"), met("a"))
        assert await ledger.open_documents("acme") == 4
        await finish(ledger, job, {"a": messages["a"]})
        await finish(ledger, job, {"b": messages["b"]}, code="document.broken")
        assert await ledger.open_documents("acme") == 2
        assert await ledger.open_documents("nobody") == 0

    async def test_a_job_that_is_over_fills_no_window(self, ledger: Ledger) -> None:
        for end in ("erased", "failed"):
            job = await opened(ledger)
            await submit(ledger, job, met("a"))
            await (ledger.erased(job, now=LATER) if end == "erased" else ledger.failed(job, "job.manifest"))
        assert await ledger.open_documents("acme") == 0


class TestBaking:
    async def test_a_complete_job_is_baked_once(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 1, image())
        view = await ledger.job(job)
        assert (view.state, view.image, view.chunks) == (JobState.BAKED, "sha256:" + "0" * 64, 7)
        assert (view.merkle, view.baked_at, view.retain_until) == ({"chunk": "ab"}, LATER, NOW + timedelta(days=2))
        await ledger.baked(job, 1, image(digest="sha256:" + "1" * 64))
        assert await ledger.job(job) == view

    async def test_only_the_newest_announcements_image_counts(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 2, image())
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_a_running_a_failed_and_an_erased_job_are_not_baked(self, ledger: Ledger) -> None:
        running, failed, erased = await opened(ledger), await complete(ledger), await complete(ledger)
        await ledger.failed(failed, "image.broken")
        await ledger.erased(erased, now=LATER)
        for job in (running, failed, erased):
            before = await ledger.job(job)
            await ledger.baked(job, 1, image())
            assert await ledger.job(job) == before


class TestPackaging:
    async def test_a_baked_job_is_packaged_once(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 1, image())
        baked = await ledger.job(job)
        await ledger.packaged(job, 1, "v1.0-init")
        view = await ledger.job(job)
        assert view == replace(baked, state=JobState.PACKAGED, version="v1.0-init")
        await ledger.packaged(job, 1, "v2.0-full")
        await ledger.baked(job, 1, image(digest="sha256:" + "1" * 64))
        await ledger.failed(job, "image.broken")
        assert await ledger.job(job) == view

    async def test_only_the_newest_generation_of_a_baked_job_is_packaged(self, ledger: Ledger) -> None:
        running, waiting, baked, erased = await opened(ledger), *[await complete(ledger) for _ in range(3)]
        for job in (baked, erased):
            await ledger.baked(job, 1, image())
        await ledger.erased(erased, now=LATER)
        for job, generation in ((running, 0), (waiting, 1), (baked, 2), (erased, 1)):
            before = await ledger.job(job)
            await ledger.packaged(job, generation, "v1.0-init")
            assert await ledger.job(job) == before
        await ledger.packaged(uuid4(), 1, "v1.0-init")

    async def test_a_packaged_job_is_kept_and_erased_as_a_baked_one(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 1, image())
        await ledger.packaged(job, 1, "v1.0-init")
        until = (await ledger.job(job)).retain_until
        assert await ledger.due_for_erasure(now=until - timedelta(seconds=1)) == []
        assert await ledger.due_for_erasure(now=until) == [job]
        await ledger.erased(job, now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.version) == (JobState.ERASED, "v1.0-init"), "what it was delivered as stays known"

    async def test_a_packaged_job_that_meets_documents_again_has_no_version(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 1, image())
        await ledger.packaged(job, 1, "v1.0-init")
        await ledger.readmit(job, ["a"], event=uuid4(), now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.version) == (JobState.PROCESSING, None)


class TestUpdates:
    async def test_it_is_known_which_version_a_job_updates(self, ledger: Ledger) -> None:
        job = new_job(extends="v1.0-init")
        assert (await ledger.open_job(job)).extends == "v1.0-init"
        assert (await ledger.open_job(replace(job, extends="v1.1-update"))).extends == "v1.0-init", "the first stays"
        assert (await ledger.job(await opened(ledger))).extends is None

    async def test_an_update_that_only_removes_is_complete_and_announced(self, ledger: Ledger) -> None:
        job = await opened(ledger, extends="v1.0-init")
        await submit(ledger, job, manifest=2)
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await submit(ledger, job, met("gone", state=DocumentState.EXPANDED), met("old", state=DocumentState.EXPANDED))
        view = await ledger.job(job)
        assert (view.state, view.total, view.generation) == (JobState.COMPLETE, 0, 1)
        assert await ledger.announcements() == [Announcement(job, "acme", 1)]
        message = uuid4()
        await ledger.failed(job, "update.format")
        await ledger.record("bake", [Outcome(message, job, None, code="update.format")], now=LATER)
        assert await ledger.redrive("bake", message, job=job, now=LATER)
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_an_update_of_which_every_document_failed_fails(self, ledger: Ledger) -> None:
        job = await opened(ledger, extends="v1.0-init")
        refused = met("a", state=DocumentState.FAILED, code="document.type")
        await submit(ledger, job, met("gone", state=DocumentState.EXPANDED), refused, manifest=2)
        view = await ledger.job(job)
        assert (view.state, view.reason) == (JobState.FAILED, "job.empty")
        assert await ledger.announcements() == []

    async def test_a_full_job_without_documents_fails(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, manifest=0)
        assert (await ledger.job(job)).reason == "job.empty"


class TestFailureAndErasure:
    async def test_a_failed_job_takes_its_announcement_back(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.failed(job, "image.broken")
        view = await ledger.job(job)
        assert (view.state, view.reason) == (JobState.FAILED, "image.broken")
        assert await ledger.announcements() == []

    async def test_a_baked_job_does_not_fail(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.baked(job, 1, image())
        await ledger.failed(job, "image.broken")
        assert (await ledger.job(job)).state is JobState.BAKED

    async def test_erasure_drops_the_paths_and_keeps_what_happened(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        before = await ledger.job(job)
        for when in (LATER, LATER + timedelta(hours=1)):
            await ledger.erased(job, now=when)
        assert await ledger.job(job) == replace(before, state=JobState.ERASED, erased_at=LATER)
        assert await ledger.documents(job) == [DocumentRow("a", DocumentState.DONE, b"", None, None)]
        assert await ledger.announcements() == []
        assert await ledger.erased_jobs([job, uuid4(), await opened(ledger)]) == {job}

    @pytest.mark.parametrize("end", ["failed", "erased"])
    async def test_a_late_outcome_is_recorded_and_raises_nothing_from_the_dead(self, ledger: Ledger, end: str) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=2)
        await (ledger.erased(job, now=LATER) if end == "erased" else ledger.failed(job, "job.manifest"))
        await finish(ledger, job, messages)
        await finish(ledger, job, await submit(ledger, job, met("b")))
        view = await ledger.job(job)
        assert (view.state, view.completed_at, view.done, view.open_work) == (end, None, 2, 0)
        assert await ledger.finished("chunk", list(messages.values())) == set(messages.values())
        assert await ledger.announcements() == []
        paths = [row.sealed_path for row in await ledger.documents(job)]
        assert paths == ([b"", b""] if end == "erased" else [b"sealed a", b"sealed b"])

    async def test_every_job_falls_due_in_time(self, ledger: Ledger) -> None:
        unclosed = await opened(ledger)
        patient = await opened(ledger, retain_until=NOW + timedelta(days=7))
        baked, failed, erased = await complete(ledger), await complete(ledger), await complete(ledger)
        await ledger.baked(baked, 1, image())
        await ledger.failed(failed, "image.broken")
        await ledger.erased(erased, now=LATER)
        assert await ledger.due_for_erasure(now=NOW + timedelta(hours=23)) == []
        assert await ledger.due_for_erasure(now=NOW + timedelta(hours=24)) == sorted([unclosed, failed])
        assert (await ledger.due_for_erasure(now=NOW + timedelta(days=2)))[2:] == [baked]
        assert (await ledger.due_for_erasure(now=NOW + timedelta(days=7)))[3:] == [patient]

    async def test_a_job_at_work_outlasts_its_retention(self, ledger: Ledger) -> None:
        processing, done = await opened(ledger), await complete(ledger)
        await submit(ledger, processing, met("a"), manifest=1)
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=6)) == []
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=7)) == sorted([processing, done])


class TestInHand:
    async def test_what_another_worker_has_in_hand_is_suspect(self, ledger: Ledger) -> None:
        first, second = uuid4(), uuid4()
        messages = [uuid4(), uuid4()]
        assert await ledger.take("chunk", messages, worker=first, now=NOW) == Taken(frozenset(), {})
        assert await ledger.take("chunk", messages, worker=first, now=NOW) == Taken(frozenset(), {})
        assert await ledger.take("embed", messages, worker=second, now=NOW) == Taken(frozenset(), {})
        other = uuid4()
        taken = await ledger.take("chunk", [messages[0], other, other], worker=second, now=LATER)
        assert taken == Taken(frozenset(), {messages[0]: 0})
        assert await ledger.take("chunk", messages, worker=second, now=LATER) == Taken(frozenset(), {messages[1]: 0})
        assert await ledger.take("chunk", [], worker=second, now=LATER) == Taken(frozenset(), {})

    async def test_what_is_finished_is_said_and_not_taken(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        first, second = uuid4(), uuid4()
        await ledger.take("chunk", list(messages.values()), worker=first, now=NOW)
        await finish(ledger, job, {"a": messages["a"]})
        taken = await ledger.take("chunk", list(messages.values()), worker=second, now=NOW)
        assert taken == Taken(frozenset({messages["a"]}), {messages["b"]: 0})

    async def test_an_outcome_puts_its_message_down(self, ledger: Ledger) -> None:
        """Seen where the outcome is dropped again: nobody is suspected of what the first worker had finished."""
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"))
        await ledger.take("chunk", [messages["a"]], worker=uuid4(), now=NOW)
        await finish(ledger, job, messages, code="document.broken")
        await ledger.redrive("chunk", messages["a"], job=job, now=NOW)
        assert await ledger.take("chunk", [messages["a"]], worker=uuid4(), now=NOW) == Taken(frozenset(), {})

    async def test_what_was_put_down_is_not_suspect(self, ledger: Ledger) -> None:
        first, second, third = uuid4(), uuid4(), uuid4()
        messages = [uuid4(), uuid4()]
        await ledger.take("chunk", messages, worker=first, now=NOW)
        await ledger.put_down("chunk", messages, worker=second)
        await ledger.put_down("embed", messages, worker=first)
        await ledger.put_down("chunk", messages[:1], worker=first)
        assert await ledger.take("chunk", messages, worker=third, now=NOW) == Taken(frozenset(), {messages[1]: 0})

    async def test_a_message_with_a_strike_stays_suspect(self, ledger: Ledger) -> None:
        first, second = uuid4(), uuid4()
        message = uuid4()
        await ledger.take("chunk", [message], worker=first, now=NOW)
        assert [await ledger.strike("chunk", message), await ledger.strike("chunk", message)] == [1, 2]
        await ledger.put_down("chunk", [message], worker=first)
        assert await ledger.take("chunk", [message], worker=second, now=NOW) == Taken(frozenset(), {message: 2})
        assert await ledger.strike("chunk", message) == 3
        assert await ledger.strike("embed", message) == 1  # never taken: the database crashed in between


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "failed", "reason"),
        [
            (Limit(count=1), 1, None),
            (Limit(count=1), 2, "job.too-many-failed"),
            (Limit(count=0), 0, None),
            (Limit(count=0), 1, "job.too-many-failed"),
            (Limit(share=0.5), 2, None),
            (Limit(share=0.5), 3, "job.too-many-failed"),
            (Limit(share=0.0), 1, "job.too-many-failed"),
            (Limit(share=1.0), 3, None),
            (Limit(count=9), 4, "job.empty"),
            (Limit(count=0), 4, "job.empty"),
            (None, 3, None),
        ],
    )
    async def test_a_job_with_too_many_failed_documents_fails(
        self, ledger: Ledger, limit: Limit | None, failed: int, reason: str | None
    ) -> None:
        job = await opened(ledger, max_failed=limit)
        messages = await submit(ledger, job, *map(met, "abcd"), manifest=4)
        broken = dict([*messages.items()][:failed])
        await finish(ledger, job, broken, code="document.broken")
        await finish(ledger, job, {name: message for name, message in messages.items() if name not in broken})
        view = await ledger.job(job)
        assert (view.reason, view.failed, view.max_failed) == (reason, failed, limit)
        assert view.state is (JobState.FAILED if reason else JobState.COMPLETE)
        assert len(await ledger.announcements()) == (0 if reason else 1)
        assert (view.generation, view.completed_at) == (0 if reason else 1, LATER)

    def test_a_limit_is_a_count_or_a_share(self) -> None:
        for wrong in ({}, {"count": 1, "share": 0.5}):
            with pytest.raises(ValueError, match="limit"):
                Limit(**wrong)  # type: ignore[arg-type]


async def with_a_failure(ledger: Ledger, **changes: object) -> tuple[UUID, UUID]:
    """A complete job of two documents, `b` failed; and the message of `b`."""
    job = await opened(ledger, **changes)
    messages = await submit(ledger, job, met("a"), met("b"), manifest=2)
    await finish(ledger, job, {"a": messages["a"]})
    await finish(ledger, job, {"b": messages["b"]}, code="document.broken")
    return job, messages["b"]


class TestRedrive:
    @pytest.mark.parametrize("announced", ["waiting", "taken", "baked", "packaged", "failed", "too many"])
    async def test_a_failed_unit_is_open_again_and_the_job_completes_as_its_next_generation(
        self, ledger: Ledger, announced: str
    ) -> None:
        job, message = await with_a_failure(ledger, max_failed=Limit(count=0) if announced == "too many" else None)
        if announced == "taken":
            await ledger.announced(Announcement(job, "acme", 1))
        if announced in ("baked", "packaged"):
            await ledger.baked(job, 1, image())
        if announced == "packaged":
            await ledger.packaged(job, 1, "v1.0-init")
        if announced == "failed":
            await ledger.failed(job, "image.broken")
        before = await ledger.job(job)
        for _ in range(2):  # a crash before the message is published is mended by calling again
            assert await ledger.redrive("chunk", message, job=job, now=LATER)
            view = await ledger.job(job)
            counted = {"items": {"chunk": 2}, "outcomes": {"admit": 1, "chunk": 1}}
            resumed = {"state": JobState.PROCESSING, "reason": None, "version": None}
            assert view == replace(before, **resumed, failed=0, open_work=1, **counted)
        assert await ledger.finished("chunk", [message]) == set()
        assert await ledger.open_documents("acme") == 1
        assert [(row.state, row.code, row.stage) for row in await ledger.documents(job)][1] == ("open", None, None)
        assert await ledger.announcements() == []
        await ledger.baked(job, 1, image(digest="sha256:" + "1" * 64))  # the first generation's bake was under way
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, {"b": message})
        view = await ledger.job(job)
        generation = 1 if announced == "too many" else 2
        assert (view.state, view.generation, view.done, view.failed) == (JobState.COMPLETE, generation, 2, 0)
        assert view.items == {"chunk": 4}
        assert view.image == before.image
        assert await ledger.announcements() == [Announcement(job, "acme", generation)]
        assert not await ledger.redrive("chunk", message, job=job, now=LATER)
        assert await ledger.job(job) == view

    async def test_when_it_is_done_again_is_when_one_was_done_last(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        await ledger.redrive("chunk", message, job=job, now=LATER)
        again = LATER + timedelta(hours=1)
        await ledger.record("chunk", [Outcome(message, job, "b")], now=again)
        assert (await ledger.job(job)).last_done_at == again

    async def test_it_may_fail_again(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        before = await ledger.job(job)
        await ledger.redrive("chunk", message, job=job, now=LATER)
        await finish(ledger, job, {"b": message}, code="document.locked")
        assert await ledger.job(job) == replace(before, generation=2)
        assert (await ledger.documents(job))[1].code == "document.locked"

    async def test_a_document_fails_as_long_as_another_of_its_messages_does(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"))
        parts = [uuid4() for _ in range(3)]
        made = Outcome(messages["a"], job, "a", opens=tuple(Unit(part, "embed", "a") for part in parts))
        await ledger.record("chunk", [made], now=NOW)
        codes = ["engine.weights", "message.too-large", "engine.weights"]
        for minute, (part, code) in enumerate(zip(parts, codes, strict=True)):
            await ledger.record("embed", [Outcome(part, job, "a", code=code)], now=NOW + timedelta(minutes=minute))
        told = []
        for part in (parts[1], parts[0], parts[2]):
            await ledger.redrive("embed", part, job=job, now=LATER)
            (row,) = await ledger.documents(job)
            told.append((row.state, row.stage, row.code))
        assert told == [
            ("failed", "embed", "engine.weights"),
            ("failed", "embed", "engine.weights"),
            ("open", None, None),
        ]
        view = await ledger.job(job)
        assert (view.state, view.failed, view.open_work) == (JobState.OPEN, 0, 3)

    async def test_a_refused_document_stays_refused(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        message = uuid4()
        await submit(ledger, job, met("a", state=DocumentState.FAILED, code="document.type"))
        await ledger.record("chunk", [Outcome(message, job, "a", code="document.broken")], now=NOW)
        await ledger.redrive("chunk", message, job=job, now=NOW)
        (row,) = await ledger.documents(job)
        assert (row.state, row.stage, row.code) == ("failed", "admit", "document.type")

    async def test_what_no_stage_made_is_opened_by_it(self, ledger: Ledger) -> None:
        """A submission is never opened; redriven, the job waits for it as for any unit."""
        job = await complete(ledger)
        submission = uuid4()
        await ledger.record("admit", [Outcome(submission, job, None, code="customer.unknown")], now=NOW)
        assert await ledger.redrive("admit", submission, job=job, now=NOW)
        view = await ledger.job(job)
        assert (view.state, view.open_work) == (JobState.PROCESSING, 1)
        late = Outcome(
            submission, job, None, opens=(Unit(message := uuid4(), "chunk", "late"),), documents=(met("late"),)
        )
        await ledger.record("admit", [late], now=NOW)
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, {"late": message})
        view = await ledger.job(job)
        assert (view.state, view.generation, view.total) == (JobState.COMPLETE, 2, 2)

    async def test_a_unit_of_which_nobody_heard_is_opened(self, ledger: Ledger) -> None:
        """A ledger that was restored to an earlier moment."""
        job = await complete(ledger)
        message = uuid4()
        assert await ledger.redrive("chunk", message, job=job, now=NOW)
        assert (await ledger.job(job)).open_work == 1
        await finish(ledger, job, {"a": message})
        view = await ledger.job(job)
        assert (view.state, view.generation, view.open_work) == (JobState.COMPLETE, 2, 0)

    async def test_a_forgotten_unit_is_its_document_s_again(self, ledger: Ledger) -> None:
        """It fails once more after the redrive, and passes after a second one: then its document is not failed."""
        job = await opened(ledger)
        await submit(ledger, job, met("a"), manifest=1)
        forgotten = uuid4()
        assert await ledger.redrive("embed", forgotten, job=job, now=NOW, document="a")
        assert WorkRow(forgotten, "embed", "a", True, False, None) in await ledger.work(job)
        await ledger.record("embed", [Outcome(forgotten, job, "a", code="engine.weights")], now=NOW)
        assert [row.state for row in await ledger.documents(job)] == ["failed"]
        assert await ledger.redrive("embed", forgotten, job=job, now=LATER, document="a")
        assert [row.state for row in await ledger.documents(job)] == ["open"]
        await ledger.record("embed", [Outcome(forgotten, job, "a")], now=LATER)
        assert (await ledger.job(job)).open_work == 1

    async def test_a_failure_of_an_unknown_document_can_be_redriven(self, ledger: Ledger) -> None:
        """A ledger that was restored: neither the unit nor its document is there."""
        job, message = await opened(ledger), uuid4()
        assert await ledger.redrive("chunk", message, job=job, now=LATER, document="a")
        assert (await ledger.job(job)).open_work == 1
        await ledger.record("chunk", [Outcome(message, job, "a")], now=LATER)
        assert (await ledger.job(job)).open_work == 0

    @pytest.mark.parametrize("code", [None, "job.unknown"])
    async def test_what_was_done_before_its_job_was_known_is_to_be_done_again(
        self, ledger: Ledger, code: str | None
    ) -> None:
        """A ledger that was restored to a time before the job, and stages that read on: nothing of it was counted."""
        job, event, message, next_one = (uuid4() for _ in range(4))
        opens = () if code else (Unit(next_one, "embed", "a"),)
        await ledger.record("admit", [Outcome(event, job, None, code="customer.unknown")], now=NOW)
        await ledger.record("chunk", [Outcome(message, job, "a", opens=opens, code=code)], now=NOW)
        for _ in range(2):
            await opened(ledger, id=job)
        assert await ledger.outcomes("admit", [event]) == {event: "customer.unknown"}
        met_again = Outcome(uuid4(), job, None, (Unit(message, "chunk", "a"),), (met("a"),), manifest=1)
        await ledger.record("admit", [met_again], now=NOW)
        view = await ledger.job(job)
        assert (view.state, view.open_work) == (JobState.PROCESSING, 1)
        assert [row.state for row in await ledger.documents(job)] == ["open"]
        await opened(ledger, id=job)
        await ledger.record("chunk", [Outcome(message, job, "a")], now=NOW)
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_an_opener_that_is_recorded_late_opens_nothing_twice(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=1)
        ahead = uuid4()
        await ledger.record("embed", [Outcome(ahead, job, "a", code="engine.weights")], now=NOW)
        await ledger.redrive("embed", ahead, job=job, now=NOW)
        assert (await ledger.job(job)).open_work == 2
        await ledger.record("chunk", [Outcome(messages["a"], job, "a", opens=(Unit(ahead, "embed", "a"),))], now=NOW)
        assert (await ledger.job(job)).open_work == 1
        await ledger.record("embed", [Outcome(ahead, job, "a")], now=NOW)
        view = await ledger.job(job)
        assert (view.state, view.done) == (JobState.COMPLETE, 1)

    async def test_a_failed_announcement_makes_the_job_complete_again(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        message = uuid4()
        await ledger.announced(Announcement(job, "acme", 1))
        before = await ledger.job(job)
        await ledger.failed(job, "job.incomplete")
        await ledger.record("bake", [Outcome(message, job, None, code="job.incomplete")], now=LATER)
        for _ in range(2):
            assert await ledger.redrive("bake", message, job=job, now=LATER)
            assert await ledger.job(job) == before
            assert await ledger.finished("bake", [message]) == set()
        await ledger.baked(job, 1, image())
        await ledger.record("bake", [Outcome(message, job, None)], now=LATER)
        assert not await ledger.redrive("bake", message, job=job, now=LATER)
        assert (await ledger.job(job)).state is JobState.BAKED

    async def test_a_failed_announcement_of_a_job_with_work_left_waits_for_the_next(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        announcement = uuid4()
        await ledger.redrive("chunk", message, job=job, now=LATER)
        await ledger.failed(job, "job.incomplete")
        await ledger.record("bake", [Outcome(announcement, job, None, code="job.incomplete")], now=LATER)
        assert not await ledger.redrive("bake", announcement, job=job, now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.reason, view.open_work) == (JobState.PROCESSING, None, 1)
        await finish(ledger, job, {"b": message})
        assert await ledger.announcements() == [Announcement(job, "acme", 2)]

    async def test_a_bake_that_fails_late_harms_no_newer_generation(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        await ledger.redrive("chunk", message, job=job, now=LATER)
        await ledger.failed(job, "job.incomplete", generation=1)
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, {"b": message})
        await ledger.failed(job, "job.incomplete", generation=1)
        assert (await ledger.job(job)).state is JobState.COMPLETE
        await ledger.failed(job, "job.incomplete", generation=2)
        assert (await ledger.job(job)).state is JobState.FAILED

    async def test_of_no_job_only_the_outcome_is_dropped(self, ledger: Ledger) -> None:
        failed, done, unknown = uuid4(), uuid4(), uuid4()
        for message, code in ((failed, "envelope.tampered"), (done, None)):
            await ledger.record("chunk", [Outcome(message, NO_JOB, None, code=code)], now=NOW)
        assert [
            await ledger.redrive("chunk", message, job=NO_JOB, now=NOW) for message in (failed, failed, done, unknown)
        ] == [True, True, False, True]
        assert await ledger.finished("chunk", [failed, done, unknown]) == {done}
        assert await ledger.work(NO_JOB) == [WorkRow(done, "chunk", None, False, True, None)]

    @pytest.mark.parametrize("end", ["erased", "cancelled"])
    async def test_a_job_that_is_gone_is_not_mended(self, ledger: Ledger, end: str) -> None:
        job, message = await with_a_failure(ledger)
        await (ledger.erased if end == "erased" else ledger.cancelled)(job, now=LATER)
        before = await ledger.job(job)
        for stage in ("chunk", "bake"):
            with pytest.raises(Permanent) as caught:
                await ledger.redrive(stage, message, job=job, now=LATER)
            assert caught.value.code == "job.erased"
        with pytest.raises(Permanent) as caught:
            await ledger.readmit(job, ["a"], event=uuid4(), now=LATER)
        assert caught.value.code == "job.erased"
        assert await ledger.job(job) == before

    async def test_a_redriven_job_is_not_swept_at_once(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        baked_at = NOW + timedelta(days=6)
        await ledger.baked(job, 1, image(baked_at=baked_at, retain_until=baked_at + timedelta(days=7)))
        now = NOW + timedelta(days=12)  # opened longer ago than a job may be at work
        await ledger.redrive("chunk", message, job=job, now=now)
        assert await ledger.due_for_erasure(now=now) == []
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=13)) == [job]
        early, message = await with_a_failure(ledger)
        await ledger.failed(early, "image.broken")
        await ledger.redrive("chunk", message, job=early, now=LATER)
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=6)) == []
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=7)) == [early]


class TestReadmission:
    async def admitted_again(
        self, ledger: Ledger, job: UUID, event: UUID, document: NewDocument, message: UUID
    ) -> None:
        unit = Unit(message, "chunk", document.id)
        opens = (unit,) if document.state is DocumentState.OPEN else ()
        await ledger.record("admit", [Outcome(event, job, None, opens=opens, documents=(document,))], now=LATER)

    async def test_a_documents_units_and_failures_are_dropped_and_it_is_met_again(self, ledger: Ledger) -> None:
        job, message = await with_a_failure(ledger)
        await ledger.baked(job, 1, image())
        event = uuid4()
        for _ in range(2):
            await ledger.readmit(job, ["b", "never heard of"], event=event, now=LATER)
            view = await ledger.job(job)
            assert (view.state, view.total, view.done, view.failed, view.open_work) == ("processing", 1, 1, 0, 1)
            assert view.outcomes == {"admit": 1, "chunk": 1}
            assert [row.id for row in await ledger.documents(job)] == ["a"]
            assert await ledger.work(job, open_only=True) == [WorkRow(event, "admit", None, True, False, None)]
        assert await ledger.finished("chunk", [message]) == set()
        await self.admitted_again(ledger, job, event, met("b", sealed_path=b"anew"), message)
        view = await ledger.job(job)
        assert (view.state, view.total, view.open_work) == (JobState.PROCESSING, 2, 1)
        await finish(ledger, job, {"b": message})
        view = await ledger.job(job)
        assert (view.state, view.generation, view.done, view.failed) == (JobState.COMPLETE, 2, 2, 0)
        assert (await ledger.documents(job))[1] == DocumentRow("b", DocumentState.DONE, b"anew", None, None)
        await ledger.readmit(job, ["b"], event=event, now=LATER)  # called again by someone who crashed long ago
        assert await ledger.job(job) == view

    async def test_a_late_outcome_leaves_an_awaited_document_its_path(self, ledger: Ledger) -> None:
        """A worker was at it when it was forgotten; the event that brings it again may be lost as well."""
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=1)
        await ledger.readmit(job, ["a"], event=uuid4(), now=NOW)
        before = await ledger.awaited(job)
        assert [row.sealed_path for row in before] == [b"sealed a"]
        await ledger.record("chunk", [Outcome(messages["a"], job, "a", opens=(Unit(uuid4(), "embed", "a"),))], now=NOW)
        assert await ledger.awaited(job) == before

    async def test_documents_to_be_met_again_are_awaited_with_their_paths(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(
            ledger, job, met("a", sealed_path=b"path a"), met("m", member=True, sealed_path=b"path m"), met("s")
        )
        assert await ledger.awaited(job) == []
        event = uuid4()
        for _ in range(2):
            await ledger.readmit(job, ["m", "a", "never heard of"], event=event, now=LATER)
            assert await ledger.awaited(job) == [
                DocumentRow("a", DocumentState.OPEN, b"path a", None, None),
                DocumentRow("m", DocumentState.OPEN, b"path m", None, None, member=True),
            ]
        await self.admitted_again(ledger, job, event, met("a", sealed_path=b"path a"), uuid4())
        assert [row.id for row in await ledger.awaited(job)] == ["m"]
        await ledger.erased(job, now=LATER)
        assert [row.sealed_path for row in await ledger.awaited(job)] == [b""]
        assert await ledger.awaited(uuid4()) == []

    @pytest.mark.parametrize("first_as_member", [True, False])
    async def test_a_document_stays_what_it_was_met_as(self, ledger: Ledger, first_as_member: bool) -> None:
        """The manifest counts it as it did, whatever it is met as the second time."""
        job = await opened(ledger)
        messages = await submit(ledger, job, met("m", member=first_as_member), met("s"), manifest=3 - first_as_member)
        event = uuid4()
        await ledger.readmit(job, ["m"], event=event, now=LATER)
        await self.admitted_again(ledger, job, event, met("m", member=not first_as_member), messages["m"])
        await finish(ledger, job, messages)
        assert (await ledger.job(job)).state is JobState.PROCESSING
        await finish(ledger, job, await submit(ledger, job, met("last")))
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_a_job_waits_for_a_member_as_well(self, ledger: Ledger) -> None:
        """A member is not in the manifest; nor does the event alone make the job wait, for it may fail."""
        job = await opened(ledger)
        archive = met("zip", state=DocumentState.EXPANDED)
        messages = await submit(ledger, job, archive, met("x", member=True), met("y", member=True), manifest=1)
        await finish(ledger, job, messages)
        first, second = uuid4(), uuid4()
        await ledger.readmit(job, ["x"], event=first, now=LATER)
        await ledger.record("admit", [Outcome(first, job, None, code="source.gone")], now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.open_work, view.total) == (JobState.PROCESSING, 0, 1)
        await ledger.readmit(job, ["x"], event=second, now=LATER)
        await self.admitted_again(ledger, job, second, met("x"), messages["x"])
        await finish(ledger, job, {"x": messages["x"]})
        view = await ledger.job(job)
        assert (view.state, view.generation, view.total, view.done) == (JobState.COMPLETE, 2, 2, 2)

    async def test_an_event_that_failed_is_open_again(self, ledger: Ledger) -> None:
        job, _ = await with_a_failure(ledger)
        event = uuid4()
        await ledger.readmit(job, ["b"], event=event, now=LATER)
        await ledger.record("admit", [Outcome(event, job, None, code="source.gone")], now=LATER)
        await ledger.readmit(job, ["b"], event=event, now=LATER)
        view = await ledger.job(job)
        assert (view.open_work, view.outcomes["admit"]) == (1, 1)
        assert await ledger.finished("admit", [event]) == set()

    async def test_late_outcomes_of_forgotten_units_harm_nothing(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=1)
        event, part = uuid4(), uuid4()
        await ledger.readmit(job, ["a"], event=event, now=LATER)
        chunked = Outcome(messages["a"], job, "a", opens=(Unit(part, "embed", "a"),), items=3)
        await ledger.record("chunk", [chunked], now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.total, view.open_work) == (JobState.PROCESSING, 0, 2)
        await ledger.record("embed", [Outcome(part, job, "a")], now=LATER)
        assert (await ledger.job(job)).open_work == 1
        await self.admitted_again(ledger, job, event, met("a"), messages["a"])
        view = await ledger.job(job)
        assert (view.state, view.done, view.items) == (JobState.COMPLETE, 1, {"chunk": 3})

    async def test_a_refused_document_may_be_let_in(self, ledger: Ledger) -> None:
        """Its content was not read when it was refused, so it may have another id now."""
        job = await opened(ledger)
        await submit(ledger, job, met("a", state=DocumentState.FAILED, code="source.away"), manifest=1)
        assert (await ledger.job(job)).reason == "job.empty"
        event, message = uuid4(), uuid4()
        await ledger.readmit(job, ["a"], event=event, now=LATER)
        await self.admitted_again(ledger, job, event, met("read"), message)
        await finish(ledger, job, {"read": message})
        view = await ledger.job(job)
        assert (view.state, view.reason, view.total, view.done, view.failed) == ("complete", None, 1, 1, 0)

    async def test_an_unknown_job_has_no_documents(self, ledger: Ledger) -> None:
        with pytest.raises(Permanent) as caught:
            await ledger.readmit(uuid4(), ["a"], event=uuid4(), now=LATER)
        assert caught.value.code == "job.unknown"


class TestCancellation:
    async def test_a_cancelled_job_stays_so_and_is_erased_at_once(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.cancelled(job, now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.reason, view.erased_at) == (JobState.CANCELLED, "job.cancelled", None)
        assert await ledger.announcements() == []
        assert await ledger.erased_jobs([job]) == {job}
        assert await ledger.due_for_erasure(now=NOW) == [job]
        await ledger.failed(job, "image.broken")
        await ledger.baked(job, 1, image())
        assert await ledger.job(job) == view
        for when in (LATER, LATER + timedelta(hours=1)):
            await ledger.erased(job, now=when)
            await ledger.cancelled(job, now=when)
        assert await ledger.job(job) == replace(view, erased_at=LATER)
        assert (await ledger.documents(job))[0].sealed_path == b""
        assert await ledger.due_for_erasure(now=NOW + timedelta(days=30)) == []

    async def test_late_outcomes_move_the_counters_alone(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), manifest=1)
        await ledger.cancelled(job, now=LATER)
        await finish(ledger, job, messages)
        view = await ledger.job(job)
        assert (view.state, view.done, view.open_work, view.completed_at) == (JobState.CANCELLED, 1, 0, None)
        await ledger.erased(job, now=LATER)
        await submit(ledger, job, met("b"))
        assert {row.sealed_path for row in await ledger.documents(job)} == {b""}

    async def test_an_erased_and_an_unknown_job_are_not_cancelled(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.erased(job, now=LATER)
        before = await ledger.job(job)
        await ledger.cancelled(job, now=LATER)
        await ledger.cancelled(uuid4(), now=LATER)
        assert await ledger.job(job) == before


class TestLettersAndAnnouncements:
    async def test_a_discarded_letter_is_known(self, ledger: Ledger) -> None:
        letters = [uuid4() for _ in range(3)]
        for _ in range(2):
            await ledger.discard(letters[:2], now=NOW)
        assert await ledger.discarded(letters) == set(letters[:2])
        assert await ledger.discarded([]) == set()

    async def test_only_a_complete_job_is_announced_again(self, ledger: Ledger) -> None:
        job = await complete(ledger)
        await ledger.announced(Announcement(job, "acme", 1))
        for _ in range(2):
            assert await ledger.announce_again(job)
            assert await ledger.announcements() == [Announcement(job, "acme", 1)]
        await ledger.baked(job, 1, image())
        for other in (job, await opened(ledger), uuid4()):
            assert not await ledger.announce_again(other)


class TestReading:
    async def test_outcomes_tell_the_code(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"), met("c"))
        await finish(ledger, job, {"a": messages["a"]})
        await finish(ledger, job, {"b": messages["b"]}, code="document.broken")
        known = await ledger.outcomes("chunk", [*messages.values(), uuid4()])
        assert known == {messages["a"]: None, messages["b"]: "document.broken"}
        assert await ledger.outcomes("embed", list(messages.values())) == {}

    async def test_work_lists_the_jobs_units(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        await submit(ledger, await opened(ledger), met("a"))
        await finish(ledger, job, {"a": messages["a"]}, code="document.broken")
        ahead = uuid4()
        await ledger.record("embed", [Outcome(ahead, job, "b")], now=NOW)
        rows = await ledger.work(job)
        assert [row.stage for row in rows] == ["admit", "chunk", "chunk", "embed"]
        assert {row.message: row for row in rows[1:]} == {
            messages["a"]: WorkRow(messages["a"], "chunk", "a", True, True, "document.broken"),
            messages["b"]: WorkRow(messages["b"], "chunk", "b", True, False, None),
            ahead: WorkRow(ahead, "embed", "b", False, True, None),
        }
        assert await ledger.work(job, open_only=True) == [row for row in rows if row.message == messages["b"]]
        assert await ledger.work(uuid4()) == []

    async def test_running_counts_documents_and_units_by_stage(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"), met("c"))
        parts = tuple(Unit(uuid4(), stage, "a") for stage in ("embed", "embed", "graph"))
        await ledger.record("chunk", [Outcome(messages["a"], job, "a", opens=parts)], now=NOW)
        for end in ("cancelled", "complete"):
            over = await complete(ledger) if end == "complete" else await opened(ledger)
            await (ledger.cancelled(over, now=NOW) if end == "cancelled" else submit(ledger, over, met("late")))
        assert await ledger.running() == [
            StageProgress(job, "acme", "chunk", 2, 2),
            StageProgress(job, "acme", "embed", 1, 2),
            StageProgress(job, "acme", "graph", 1, 1),
        ]
        event = uuid4()
        await ledger.readmit(job, ["a", "b", "c"], event=event, now=NOW)
        assert await ledger.running() == [StageProgress(job, "acme", "admit", 0, 1)]


class TestDuplicates:
    """`b` has the bytes of `a`, and is met with it."""

    PAIR: Final = (met("a", content="c"), met("b", content="c", state=DocumentState.DUPLICATE, same_as="a"))

    async def states(self, ledger: Ledger, job: UUID) -> dict[str, tuple[str, str | None, str | None]]:
        return {row.id: (row.state.value, row.stage, row.code) for row in await ledger.documents(job)}

    async def test_a_duplicate_needs_no_work(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, *self.PAIR, manifest=2)
        view = await ledger.job(job)
        assert (view.total, view.duplicates, view.done, view.open_work) == (2, 1, 0, 1)
        await finish(ledger, job, messages)
        view = await ledger.job(job)
        assert (view.state, view.total, view.duplicates, view.done) == (JobState.COMPLETE, 2, 1, 1)
        assert (view.first_done, view.failed) == (1, 0)
        row = {row.id: row for row in await ledger.documents(job)}["b"]
        assert (row.state, row.content, row.same_as) == (DocumentState.DUPLICATE, "c", "a")

    async def test_a_duplicate_alone_is_no_result(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, replace(self.PAIR[1], same_as="elsewhere"), manifest=1)
        assert (await ledger.job(job)).reason == "job.empty"

    @pytest.mark.parametrize("order", ["before", "with", "after"])
    async def test_it_fails_with_its_original_whichever_is_told_first(self, ledger: Ledger, order: str) -> None:
        job = await opened(ledger)
        original, duplicate = self.PAIR
        if order == "before":
            await submit(ledger, job, duplicate)
        messages = await submit(ledger, job, *(self.PAIR if order == "with" else (original,)))
        await finish(ledger, job, messages, code="document.broken")
        if order == "after":
            await submit(ledger, job, duplicate)
        assert await self.states(ledger, job) == dict.fromkeys("ab", ("failed", "chunk", "document.broken"))
        view = await ledger.job(job)
        assert (view.total, view.failed, view.duplicates, view.open_work) == (2, 2, 0, 0)
        await submit(ledger, job, manifest=2)
        assert (await ledger.job(job)).reason == "job.empty"

    async def test_a_limit_counts_it(self, ledger: Ledger) -> None:
        job = await opened(ledger, max_failed=Limit(count=1))
        messages = await submit(ledger, job, *self.PAIR, met("z"), manifest=3)
        await finish(ledger, job, {"z": messages["z"]})
        await finish(ledger, job, {"a": messages["a"]}, code="document.broken")
        assert (await ledger.job(job)).reason == "job.too-many-failed"

    async def test_a_redrive_of_the_original_mends_both(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, *self.PAIR, manifest=2)
        await finish(ledger, job, messages, code="document.broken")
        assert await ledger.redrive("chunk", messages["a"], job=job, now=LATER)
        assert await self.states(ledger, job) == {"a": ("open", None, None), "b": ("duplicate", None, None)}
        view = await ledger.job(job)
        assert (view.failed, view.duplicates, view.open_work) == (0, 1, 1)
        await finish(ledger, job, messages)
        view = await ledger.job(job)
        assert (view.state, view.done, view.duplicates, view.failed) == (JobState.COMPLETE, 1, 1, 0)

    async def test_an_original_that_is_met_anew_keeps_its_duplicate(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, *self.PAIR, manifest=2)
        await finish(ledger, job, messages, code="document.broken")
        event = uuid4()
        await ledger.readmit(job, ["a"], event=event, now=LATER)
        assert await self.states(ledger, job) == {"b": ("duplicate", None, None)}
        view = await ledger.job(job)
        assert (view.total, view.failed, view.duplicates) == (1, 0, 1)
        assert [(row.id, row.content) for row in await ledger.awaited(job)] == [("a", "c")]
        assert await ledger.originals(job, ["c"]) == {"c": {"a"}}, "it is to come back"
        await ledger.record("admit", [Outcome(event, job, None, documents=(self.PAIR[0],))], now=LATER)
        assert (await ledger.job(job)).state is JobState.COMPLETE

    async def test_a_duplicate_that_is_met_anew_may_be_none(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        await submit(ledger, job, *self.PAIR)
        event = uuid4()
        await ledger.readmit(job, ["b"], event=event, now=LATER)
        assert (await ledger.job(job)).duplicates == 0
        await ledger.record("admit", [Outcome(event, job, None, documents=(met("b", content="d"),))], now=LATER)
        assert {row.id: row.state for row in await ledger.documents(job)}["b"] is DocumentState.DONE

    async def test_a_refused_document_that_is_let_in_after_all_may_be_a_duplicate(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        original, duplicate = self.PAIR
        refused = met("b", state=DocumentState.FAILED, code="source.missing")
        messages = await submit(ledger, job, original, refused, manifest=2)
        await finish(ledger, job, messages)
        event = uuid4()
        await ledger.readmit(job, ["b"], event=event, now=LATER)
        await ledger.record("admit", [Outcome(event, job, None, documents=(duplicate,))], now=LATER)
        view = await ledger.job(job)
        assert (view.state, view.generation, view.total) == (JobState.COMPLETE, 2, 2)
        assert (view.done, view.failed, view.duplicates) == (1, 0, 1)
        assert {row.id: row.same_as for row in await ledger.documents(job)} == {"a": None, "b": "a"}

    async def test_originals_are_what_is_worked_on(self, ledger: Ledger) -> None:
        job, other = await opened(ledger), await opened(ledger)
        messages = await submit(
            ledger,
            job,
            *self.PAIR,
            met("a2", content="c"),
            met("f", content="f"),
            met("r", state=DocumentState.FAILED, code="document.type", content="r"),
            met("n"),
        )
        assert await ledger.originals(job, ["c", "f", "r", "x"]) == {"c": {"a", "a2"}, "f": {"f"}}
        await finish(ledger, job, {"f": messages["f"]}, code="document.broken")
        assert await ledger.originals(job, ["f"]) == {}
        assert await ledger.originals(other, ["c"]) == {}
        assert await ledger.originals(uuid4(), ["c"]) == {}
        assert await ledger.originals(job, []) == {}


class TestCounts:
    PAGES: Final = {Counted.RECOGNISED: 3, Counted.DOUBTFUL: 1}

    async def test_an_outcome_s_counts_count_once(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        outcomes = [Outcome(message, job, document, counts=self.PAGES) for document, message in messages.items()]
        for _ in range(2):
            await ledger.record("ocr", outcomes, now=LATER)
        await ledger.record("chunk", [Outcome(uuid4(), job, "a", counts={Counted.HIDDEN: 2})], now=LATER)
        assert (await ledger.job(job)).counts == {"recognised": 6, "doubtful": 2, "hidden": 2}
        assert [one.counts for one in await ledger.jobs()] == [{"recognised": 6, "doubtful": 2, "hidden": 2}]
        assert await ledger.counted(job) == [
            CountedUnit("chunk", "a", {Counted.HIDDEN: 2}),
            CountedUnit("ocr", "a", self.PAGES),
            CountedUnit("ocr", "b", self.PAGES),
        ]

    async def test_work_that_is_done_again_counts_again(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"))
        for document, message in messages.items():
            await ledger.record("chunk", [Outcome(message, job, document, counts=self.PAGES)], now=LATER)
        await ledger.readmit(job, ["a"], event=uuid4(), now=LATER)
        assert (await ledger.job(job)).counts == self.PAGES
        failed = Outcome(uuid4(), job, "b", code="document.broken", counts={Counted.HIDDEN: 1})
        await ledger.record("chunk", [failed], now=LATER)
        assert await ledger.redrive("chunk", failed.message, job=job, now=LATER)
        assert (await ledger.job(job)).counts == self.PAGES

    async def test_what_baking_counts_is_the_newest_image_s(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"), met("b"), manifest=2)
        await finish(ledger, job, {"a": messages["a"]}, code="document.broken")
        await finish(ledger, job, {"b": messages["b"]})
        await ledger.baked(job, 1, image(counts={Counted.FOLDED: 4, Counted.HIDDEN: 1}))
        assert (await ledger.job(job)).counts == {"folded": 4, "hidden": 1}
        await ledger.redrive("chunk", messages["a"], job=job, now=LATER)
        await finish(ledger, job, {"a": messages["a"]})
        await ledger.baked(job, 2, image(counts={Counted.FOLDED: 5}))
        assert (await ledger.job(job)).counts == {"folded": 5}

    async def test_an_unknown_job_counts_nothing_and_a_forgotten_one_no_more(self, ledger: Ledger) -> None:
        stranger = uuid4()
        await ledger.record("chunk", [Outcome(uuid4(), stranger, "a", counts=self.PAGES)], now=NOW)
        assert (await ledger.open_job(new_job(id=stranger))).counts == {}
        await ledger.record("chunk", [Outcome(uuid4(), stranger, "a", counts=self.PAGES)], now=NOW)
        await ledger.erased(stranger, now=NOW)
        assert (await ledger.job(stranger)).counts == self.PAGES
        assert await ledger.forget(erased_before=LATER) == 1
        assert await ledger.counted(stranger) == []


class TestForgetting:
    async def test_what_was_erased_long_ago_is_forgotten(self, ledger: Ledger) -> None:
        parent, cancelled, recent, living = [await complete(ledger) for _ in range(4)]
        child = await opened(ledger, parent=parent)
        await ledger.cancelled(cancelled, now=NOW)
        for job, when in ((parent, NOW), (cancelled, NOW), (recent, LATER)):
            await ledger.erased(job, now=when)
        old, new = uuid4(), uuid4()
        for message, when in ((old, NOW), (new, LATER)):
            await ledger.discard([message], now=when)
            await ledger.record("chunk", [Outcome(message, NO_JOB, None)], now=when)
            await ledger.take("embed", [message], worker=uuid4(), now=when)
        kept = [await ledger.job(job) for job in (recent, living, child)]
        assert await ledger.forget(erased_before=LATER) == 2
        assert await ledger.forget(erased_before=LATER) == 0
        for job in (parent, cancelled):
            with pytest.raises(Permanent):
                await ledger.job(job)
            assert await ledger.documents(job) == []
            assert await ledger.work(job) == []
        assert [await ledger.job(job) for job in (recent, living, child)] == kept
        assert len(await ledger.work(living)) == 2
        assert [one.job for one in await ledger.announcements()] == [living]
        assert await ledger.discarded([old, new]) == {new}
        assert await ledger.finished("chunk", [old, new]) == {new}
        assert (await ledger.take("embed", [old, new], worker=uuid4(), now=LATER)).suspects == {new: 0}

    async def test_a_late_outcome_of_a_forgotten_job_is_forgotten_in_its_turn(self, ledger: Ledger) -> None:
        job = await opened(ledger)
        messages = await submit(ledger, job, met("a"))
        await ledger.erased(job, now=NOW)
        assert await ledger.forget(erased_before=LATER) == 1
        await finish(ledger, job, messages)
        assert await ledger.finished("chunk", [messages["a"]]) == {messages["a"]}
        await ledger.forget(erased_before=LATER + timedelta(hours=1))
        assert await ledger.finished("chunk", [messages["a"]]) == set()


@dataclass
class Flow:
    """A job's outcomes, drawn at random, and what must come of them."""

    job: UUID = field(default_factory=uuid4)
    submissions: list[Outcome] = field(default_factory=list)
    work: list[tuple[str, Outcome]] = field(default_factory=list)
    archives: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    duplicates: dict[str, str] = field(default_factory=dict)
    """Each one's original."""
    sources: int = 0

    def following(self, failed: Collection[str | None]) -> set[str]:
        """Those of them whose originals failed."""
        return {duplicate for duplicate, original in self.duplicates.items() if original in failed}

    def ended(self, recorded: set[tuple[str, UUID]]) -> bool:
        """Whether nothing is left to do, told from the whole flow, which the ledger never sees."""
        submitted = [one for one in self.submissions if ("admit", one.message) in recorded]
        introduced = {document.id for one in submitted for document in one.documents}
        return (
            any(one.manifest is not None for one in submitted)
            and introduced == self.documents
            and all((stage, outcome.message) in recorded for stage, outcome in self.work)
        )


READERS = {"admit": ["chunk"], "chunk": ["embed", "graph"], "embed": ["pack"], "graph": ["pack"], "pack": []}


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    flow = Flow()
    for number in range(draw(st.integers(0, 3))):
        documents: list[NewDocument] = []
        opens: list[Unit] = []
        for position in range(draw(st.integers(1, 3))):
            name = f"{number}.{position}"
            originals = sorted({str(outcome.document) for _, outcome in flow.work})
            kind = draw(st.sampled_from(["open", "open", "failed", "archive"] + ["duplicate"] * bool(originals)))
            flow.sources += 1
            if kind == "archive":
                flow.archives.add(name)
                documents.append(met(name, state=DocumentState.EXPANDED))
                members = [f"{name}!{member}" for member in range(draw(st.integers(0, 2)))]
                documents += [met(member, member=True) for member in members]
            elif kind == "failed":
                flow.failed.add(name)
                documents.append(met(name, state=DocumentState.FAILED, code="document.type"))
                members = []
            elif kind == "duplicate":
                flow.duplicates[name] = draw(st.sampled_from(originals))
                documents.append(met(name, state=DocumentState.DUPLICATE, same_as=flow.duplicates[name]))
                members = []
            else:
                documents.append(met(name))
                members = [name]
            for member in members:
                message = uuid4()
                opens.append(Unit(message, "chunk", member))
                process(draw, flow, "chunk", message, member)
        flow.documents |= {document.id for document in documents}
        submission = Outcome(uuid4(), flow.job, None, opens=tuple(opens), documents=tuple(documents))
        flow.submissions.append(submission)
        if draw(st.booleans()):  # the same batch submitted again, as another message
            flow.submissions.append(replace(submission, message=uuid4()))
    if flow.submissions and draw(st.booleans()):
        flow.submissions[-1] = replace(flow.submissions[-1], manifest=flow.sources)
    else:
        flow.submissions.append(Outcome(uuid4(), flow.job, None, manifest=flow.sources))
    return flow


def process(draw: st.DrawFn, flow: Flow, stage: str, message: UUID, document: str) -> None:
    """Draws the outcome of the message at the stage, and of all that comes of it."""
    if draw(st.integers(0, 7)) == 0:
        flow.failed.add(document)
        flow.work.append((stage, Outcome(message, flow.job, document, code="document.broken")))
        return
    outputs = [uuid4() for _ in range(draw(st.integers(0, 2)))] if READERS[stage] else []
    opens = tuple(Unit(output, reader, document) for output in outputs for reader in READERS[stage])
    counts = {Counted.HIDDEN: 1} if outputs else {}
    flow.work.append((stage, Outcome(message, flow.job, document, opens=opens, items=len(outputs), counts=counts)))
    for unit in opens:
        process(draw, flow, unit.stage, unit.message, document)


@st.composite
def polls(draw: st.DrawFn) -> tuple[Flow, list[tuple[str, list[Outcome]]]]:
    """A flow and the polls that record it: in any order, some outcomes twice, several to a poll."""
    flow = draw(flows())
    all_outcomes = [("admit", one) for one in flow.submissions] + flow.work
    again = draw(st.lists(st.sampled_from(all_outcomes), max_size=5))
    order = draw(st.permutations(all_outcomes + again))
    if draw(st.booleans()):  # larger polls
        order = sorted(order, key=lambda one: one[0], reverse=draw(st.booleans()))
    return flow, [(stage, [one for _, one in group]) for stage, group in groupby(order, key=lambda one: one[0])]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drawn=polls())
async def test_whatever_the_order_a_job_ends_once_and_exactly_at_the_end(
    ledger: Ledger, drawn: tuple[Flow, Sequence[tuple[str, list[Outcome]]]]
) -> None:
    flow, recorded_polls = drawn
    await ledger.open_job(new_job(id=flow.job))
    recorded: set[tuple[str, UUID]] = set()
    announced = 0
    for stage, outcomes in recorded_polls:
        await ledger.record(stage, outcomes, now=NOW)
        recorded |= {(stage, outcome.message) for outcome in outcomes}
        view = await ledger.job(flow.job)
        assert (view.state in (JobState.COMPLETE, JobState.FAILED)) == flow.ended(recorded)
        for announcement in await ledger.announcements():
            if announcement.job == flow.job:
                announced += 1
                await ledger.announced(announcement)
    view = await ledger.job(flow.job)
    files = flow.documents - flow.archives
    following = flow.following(flow.failed)
    done = files - flow.failed - flow.duplicates.keys()
    assert (view.total, view.done) == (len(files), len(done))
    assert (view.failed, view.duplicates) == (len(flow.failed | following), len(flow.duplicates.keys() - following))
    assert view.counts.get("hidden", 0) == sum(bool(outcome.counts) for _, outcome in flow.work)
    assert view.open_work == 0
    assert view.state is (JobState.COMPLETE if done else JobState.FAILED)
    assert announced == (1 if done else 0)
    assert sum(view.outcomes.values()) == len(recorded)
    assert {row.id for row in await ledger.documents(flow.job) if row.state is DocumentState.DONE} == done


@dataclass
class World:
    """The topics and workers beside a ledger, as far as it can be fooled by them: what is published, and by whom read.

    A stage publishes before its outcome is recorded, outcomes are recorded in any order, and records may be lost.
    """

    flow: Flow
    ledger: Ledger
    topics: list[tuple[str, UUID]]
    """Messages that nobody has answered since they were published, some of them twice."""
    answered: list[tuple[str, Outcome]] = field(default_factory=list)
    """Published, not recorded."""
    failing: dict[tuple[str, UUID], Outcome] = field(default_factory=dict)
    """Recorded as failed."""
    makers: dict[tuple[str, UUID], Outcome] = field(default_factory=dict)
    """What each message comes to."""
    disturbed: bool = False
    """A document was admitted anew with an outcome of its own under way. That one may open units whose messages were
    worked on and forgotten, or lost: the job waits for them, until the document is admitted anew once more."""

    async def left(self) -> bool:
        """Whether a message has no outcome yet. A batch that was submitted twice brings nothing the second time."""
        under_way = {*self.topics, *((stage, outcome.message) for stage, outcome in self.answered)}
        met_now = {row.id for row in await self.ledger.documents(self.flow.job)}
        for one in self.flow.submissions:
            if one.manifest is None and met_now.issuperset(document.id for document in one.documents):
                under_way.discard(("admit", one.message))
        for stage in {stage for stage, _ in under_way}:
            messages = {message for at, message in under_way if at == stage}
            if messages != await self.ledger.finished(stage, list(messages)):
                return True
        return False

    async def read(self, stage: str, message: UUID) -> None:
        """A worker of the stage reads the message, and skips it if it has an outcome."""
        self.topics.remove((stage, message))
        if await self.ledger.finished(stage, [message]):
            return
        outcome = self.makers[stage, message]
        self.topics += [(unit.stage, unit.message) for unit in outcome.opens]
        self.answered.append((stage, outcome))

    async def record(self, index: int) -> None:
        stage, outcome = self.answered.pop(index)
        await self.ledger.record(stage, [outcome], now=NOW)
        codes = await self.ledger.outcomes(stage, [outcome.message])
        if codes[outcome.message] is not None:  # the first outcome counts, and that may have been another worker's
            self.failing[stage, outcome.message] = outcome

    async def redrive(self, stage: str, message: UUID) -> None:
        """The cause is mended; the message is published again."""
        failed = self.failing.pop((stage, message))
        self.makers[stage, message] = replace(failed, code=None)
        if await self.ledger.redrive(stage, message, job=self.flow.job, now=NOW):
            self.topics.append((stage, message))

    async def readmit(self, document: str, *, lose: bool) -> None:
        """Records of the document may be lost; it is admitted anew as it was."""
        self.disturbed |= document in {outcome.document for _, outcome in self.answered}
        self.failing = {one: outcome for one, outcome in self.failing.items() if outcome.document != document}
        if lose:
            self.topics = [one for one in self.topics if self.makers[one].document != document]
        first = next(one for one in self.flow.submissions if document in {met.id for met in one.documents})
        event = Outcome(
            uuid4(),
            self.flow.job,
            None,
            opens=tuple(unit for unit in first.opens if unit.document == document),
            documents=tuple(one for one in first.documents if one.id == document),
        )
        self.makers["admit", event.message] = event
        await self.ledger.readmit(self.flow.job, [document], event=event.message, now=NOW)
        self.topics.append(("admit", event.message))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(flow=flows(), random=st.randoms(use_true_random=False))
async def test_a_mended_job_completes_exactly_when_nothing_is_left(ledger: Ledger, flow: Flow, random: Random) -> None:
    """Messages are read and recorded in any order, failures redriven and documents admitted anew in between, with
    outcomes of the forgotten units still under way. At worst it waits too long, and a second readmission mends it."""
    await ledger.open_job(new_job(id=flow.job))
    world = World(flow, ledger, [("admit", one.message) for one in flow.submissions])
    world.makers = {("admit", one.message): one for one in flow.submissions}
    world.makers |= {(stage, outcome.message): outcome for stage, outcome in flow.work}
    mends = random.randint(0, 4)
    while True:
        met_now = [row.id for row in await ledger.documents(flow.job)]
        failing = list(world.failing)
        choices = ["read"] * 3 * bool(world.topics) + ["record"] * 2 * bool(world.answered)
        if mends:
            choices += ["redrive"] * bool(failing) + ["readmit"] * bool(met_now)
        if not choices:
            stuck = {row.document for row in await ledger.work(flow.job, open_only=True)}
            if not stuck:
                break
            assert world.disturbed
            for document in sorted(filter(None, stuck)):
                await world.readmit(document, lose=True)
            world.disturbed = False  # nothing is under way now
            continue
        match random.choice(choices):
            case "read":
                await world.read(*random.choice(world.topics))
            case "record":
                await world.record(random.randrange(len(world.answered)))
            case "redrive":
                mends -= 1
                await world.redrive(*random.choice(failing))
            case "readmit":
                mends -= 1
                await world.readmit(random.choice(met_now), lose=random.random() < 0.5)
        view = await ledger.job(flow.job)
        assert view.open_work == len(await ledger.work(flow.job, open_only=True))
        over, left = view.state in (JobState.COMPLETE, JobState.FAILED), await world.left()
        assert not (over and left)
        assert over or left or world.disturbed
    view = await ledger.job(flow.job)
    files = flow.documents - flow.archives
    assert view.state is (JobState.COMPLETE if view.done else JobState.FAILED)
    assert (view.total, view.open_work) == (len(files), 0)
    assert {row.id for row in await ledger.documents(flow.job)} == flow.documents
    still_failing = {outcome.document for outcome in world.failing.values()}
    refused = {one.id for submission in flow.submissions for one in submission.documents if one.code is not None}
    assert view.failed == len(refused | still_failing | flow.following(still_failing))
    assert view.done == len(files) - view.failed - view.duplicates
    assert view.counts.get("hidden", 0) == len(await ledger.counted(flow.job))
    assert sum(view.outcomes.values()) == len([row for row in await ledger.work(flow.job) if row.finished])
    assert len([one for one in await ledger.announcements() if one.job == flow.job]) == (1 if view.done else 0)
