"""Replay over every real stage in memory: what a new job inherits, what is refused, and that the parent stays."""

import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from infra.broker import OutgoingRecord
from infra.ledger import JobState, Outcome
from operations.erasure import erase
from operations.replay import OffsetSpan, Plan, Replayed, Request, carry_out, plan
from schemas.errors import CradleError, Permanent, Retryable
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest
from schemas.parameters import ChunkingConfig, EmbeddingConfig, VisionConfig
from tests.consumers.scans import OWN, sketch
from tests.entrance import NOW
from tests.operations.workshop import SOURCES, Workshop

TOPICS = ("ingest", "chunk-ready", "chunked", "embedded", "bake-ready")


@pytest.fixture
async def workshop(tmp_path: Path) -> Workshop:
    return await Workshop.open(tmp_path)


async def planned(workshop: Workshop, request: Request) -> Plan:
    [found], refused = await plan(request, workshop.replay_ports)
    assert refused == []
    return found


async def replayed(workshop: Workshop, request: Request) -> Replayed:
    """Carried out and run to its end."""
    done = await carry_out(await planned(workshop, request), workshop.replay_ports)
    await workshop.run()
    return done


async def refused(workshop: Workshop, request: Request) -> CradleError:
    with pytest.raises(CradleError) as caught:
        await plan(request, workshop.replay_ports)
    return caught.value


def archive(**members: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.txt", content)
    return file.getvalue()


WITH_ARCHIVE: dict[str, bytes | str] = {
    **SOURCES,
    "d.zip": archive(one="The first member.", two="The second member."),
    "e.bin": b"\0\1\2\3" * 9,
}


# -- the same result --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
async def test_the_same_fingerprint_gives_the_same_image_from_every_topic(workshop: Workshop, topic: str) -> None:
    job = await workshop.finish(WITH_ARCHIVE)
    parent, committed = await workshop.baked(job), workshop.committed(topic)
    done = await carry_out(await planned(workshop, Request(topic, job=job)), workshop.replay_ports)
    assert workshop.committed(topic) == committed
    await workshop.run()
    child = await workshop.baked(done.job)
    assert (child.image, child.merkle) == (parent.image, parent.merkle)
    assert (child.parent, child.fingerprint, child.parameters) == (job, parent.fingerprint, parent.parameters)
    assert await workshop.states(done.job) == await workshop.states(job)
    assert (child.total, child.done, child.failed) == (parent.total, parent.done, parent.failed)
    assert await workshop.view(job) == parent


@pytest.mark.parametrize("topic", TOPICS[:-1])
async def test_one_document_of_many_is_replayed_and_the_rest_inherited(workshop: Workshop, topic: str) -> None:
    job = await workshop.finish(WITH_ARCHIVE)
    parent = await workshop.baked(job)
    request = Request(topic, job=job, documents=("a/lease.txt",))
    found = await planned(workshop, request)
    assert [one.path for one in found.replayed] == ["a/lease.txt"]
    assert len(found.messages) == 1
    done = await replayed(workshop, request)
    child = await workshop.baked(done.job)
    assert (child.image, child.merkle) == (parent.image, parent.merkle)
    assert await workshop.states(done.job) == await workshop.states(job)
    if topic == "chunk-ready":
        assert (child.outcomes["chunk"], child.outcomes["embed"]) == (1, 1)


async def test_nothing_is_sealed_under_the_parents_key(workshop: Workshop) -> None:
    job = await workshop.finish()
    done = await replayed(workshop, Request("chunk-ready", job=job, documents=("a/lease.txt",)))
    await erase(
        job,
        ledger=workshop.entrance.ledger,
        keys=workshop.entrance.keys,
        staging=workshop.entrance.staging,
        clock=lambda: NOW,
    )
    again = await replayed(workshop, Request("chunk-ready", job=done.job, documents=("a/lease.txt",)))
    assert (await workshop.baked(again.job)).image == (await workshop.baked(done.job)).image
    rows = await workshop.entrance.ledger.documents(done.job)
    assert not {row.id for row in rows} & {row.id for row in await workshop.entrance.ledger.documents(job)}


async def test_an_archive_is_replayed_whole_from_its_submission(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_ARCHIVE)
    request = Request("ingest", job=job, documents=("d.zip!/two.txt",))
    found = await planned(workshop, request)
    assert sorted(one.path for one in found.replayed) == ["d.zip", "d.zip!/one.txt", "d.zip!/two.txt"]
    child = await workshop.baked((await replayed(workshop, request)).job)
    assert child.image == (await workshop.baked(job)).image


async def test_from_chunk_ready_a_member_is_a_document_like_any(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_ARCHIVE)
    identity = await workshop.id_of(job, "d.zip!/two.txt")
    found = await planned(workshop, Request("chunk-ready", job=job, documents=(identity,)))
    assert [one.path for one in found.replayed] == ["d.zip!/two.txt"]


async def test_a_foreign_clients_documents_are_read_from_their_source_again(workshop: Workshop) -> None:
    uris = {path: workshop.entrance.write(path, text) for path, text in SOURCES.items()}
    event = DocumentsSubmitted(
        customer="acme",
        reference="from outside",
        documents=tuple(DocumentReference(path=path, uri=uri) for path, uri in uris.items()),
        manifest=Manifest(documents=len(uris)),
    )
    await workshop.broker.publish([OutgoingRecord("ingest", b"acme", event.model_dump_json().encode(), ())])
    await workshop.run()
    parent = await workshop.baked(event.job)
    done = await replayed(workshop, Request("ingest", customer="acme"))
    assert (await workshop.baked(done.job)).image == parent.image


# -- failed documents -------------------------------------------------------------------------------------------------


async def test_what_failed_is_replayed_where_it_matches_and_stays_failed_where_not(workshop: Workshop) -> None:
    workshop.broken["embed"] = "engine.weights"
    job = await workshop.finish(WITH_ARCHIVE)
    assert (await workshop.view(job)).state is JobState.FAILED
    del workshop.broken["embed"]
    done = await replayed(workshop, Request("chunked", job=job))
    states = await workshop.states(done.job)
    assert states == dict.fromkeys((*SOURCES, "d.zip!/one.txt", "d.zip!/two.txt"), "done") | {
        "d.zip": "expanded",
        "e.bin": "document.type",
    }
    rows = {row.code: row.stage for row in await workshop.entrance.ledger.documents(done.job)}
    assert rows["document.type"] == "admit"
    await workshop.baked(done.job)


async def test_a_document_that_failed_at_two_stages_has_not_all_of_it_behind_the_first(workshop: Workshop) -> None:
    """The ledger names the failure that came first, which may be that of the later stage."""
    job = await workshop.finish()
    identity, ledger = await workshop.id_of(job, "a/lease.txt"), workshop.entrance.ledger
    for stage, code in (("pack", "staging.name"), ("embed", "message.too-large")):
        await ledger.record(stage, [Outcome(uuid4(), job, identity, code=code)], now=NOW)
    one = Request("embedded", job=job, documents=(identity,))
    assert (await refused(workshop, one)).code == "replay.nothing"
    found = await planned(workshop, Request("embedded", job=job))
    assert [document.path for document in found.failed] == ["a/lease.txt"]
    assert [document.path for document in (await planned(workshop, replace(one, topic="chunked"))).replayed]


async def test_a_document_that_failed_after_the_topic_has_not_all_of_it_there(workshop: Workshop) -> None:
    job = await workshop.submit()
    workshop.broken["chunk"] = "document.broken"
    await workshop.run()
    del workshop.broken["chunk"]
    error = await refused(workshop, Request("chunked", job=job))
    assert error.code == "replay.nothing"
    assert len((await planned(workshop, Request("chunk-ready", job=job))).replayed) == len(SOURCES)


# -- crashes and repetition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["ingest", "chunk-ready", "embedded"])
@pytest.mark.parametrize("calls", range(1, 4))
async def test_a_replay_that_died_goes_on_when_it_is_asked_for_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, topic: str, calls: int
) -> None:
    job = await workshop.finish()
    request = Request(topic, job=job, documents=("a/lease.txt", "c/plan.csv"))
    found, ledger = await planned(workshop, request), workshop.entrance.ledger
    record, left = ledger.record, [calls]

    async def away(*args: object, **kwargs: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise Retryable("dependency.away", name="The ledger")
        await record(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "record", away)
        with pytest.raises(Retryable):
            await carry_out(found, workshop.replay_ports)
    await workshop.run()
    first = [view for view in await ledger.jobs() if view.parent]
    assert [view.state for view in first] == [JobState.OPEN]
    done = await replayed(workshop, request)
    child = await workshop.baked(done.job)
    assert child.id == first[0].id
    assert child.image == (await workshop.baked(job)).image
    assert len(await ledger.jobs()) == 2


async def test_asked_twice_it_is_one_replay_until_that_is_over(workshop: Workshop) -> None:
    job = await workshop.finish()
    request = Request("chunk-ready", job=job)
    first = await carry_out(await planned(workshop, request), workshop.replay_ports)
    published = len(workshop.broker.records("chunk-ready"))
    assert (await carry_out(await planned(workshop, request), workshop.replay_ports)).job == first.job
    assert len(workshop.broker.records("chunk-ready")) == published
    await workshop.run()
    await workshop.baked(first.job)
    second = await replayed(workshop, request)
    assert second.job != first.job
    assert (await workshop.baked(second.job)).image == (await workshop.baked(first.job)).image


async def test_a_replay_that_fails_leaves_the_parent_as_it_was(workshop: Workshop) -> None:
    job = await workshop.finish()
    parent = await workshop.baked(job)
    images = sorted(path.name for path in (workshop.home / "images" / "acme").iterdir())
    workshop.broken["chunk"] = "document.broken"
    done = await replayed(workshop, Request("chunk-ready", job=job))
    assert (await workshop.view(done.job)).state is JobState.FAILED
    assert await workshop.view(job) == parent
    assert sorted(path.name for path in (workshop.home / "images" / "acme").iterdir()) == images


async def test_what_goes_while_it_is_replayed_fails_the_new_job(workshop: Workshop) -> None:
    job = await workshop.finish()
    found = await planned(workshop, Request("chunked", job=job))
    workshop.forget_records("chunked", job)
    with pytest.raises(CradleError) as caught:
        await carry_out(found, workshop.replay_ports)
    assert caught.value.code == "replay.gone"
    [child] = [view for view in await workshop.entrance.ledger.jobs() if view.parent]
    assert (child.state, child.reason) == (JobState.FAILED, "replay.gone")
    assert (await refused(workshop, Request("bake-ready", job=child.id))).code == "replay.unfinished"
    await workshop.baked(job)


async def test_a_tampered_part_is_not_inherited(workshop: Workshop) -> None:
    job = await workshop.finish()
    found = await planned(workshop, Request("bake-ready", job=job))
    name = next(name for name in workshop.entrance.staging.objects if f"{job}/parts/" in name)
    sealed = workshop.entrance.staging.objects[name]
    workshop.entrance.staging.objects[name] = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(Permanent) as caught:
        await carry_out(found, workshop.replay_ports)
    assert caught.value.code == "staging.tampered"


# -- parameters and stages --------------------------------------------------------------------------------------------


async def test_new_chunking_from_chunk_ready_is_a_new_result(workshop: Workshop) -> None:
    job = await workshop.finish()
    version = await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=4))
    done = await replayed(workshop, Request("chunk-ready", job=job, parameters=version))
    parent, child = await workshop.baked(job), await workshop.baked(done.job)
    assert child.parameters == version
    assert child.merkle["admit"] == parent.merkle["admit"]
    assert child.merkle["chunk"] != parent.merkle["chunk"]


async def test_without_parameters_it_pins_the_parents(workshop: Workshop) -> None:
    job = await workshop.finish()
    await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=4))
    done = await replayed(workshop, Request("chunk-ready", job=job))
    assert (await workshop.baked(done.job)).parameters == (await workshop.view(job)).parameters


@pytest.mark.parametrize(
    ("sections", "works"),
    [
        ({"chunking_config": ChunkingConfig(max_tokens=64)}, "chunk-ready"),
        ({"embedding_config": EmbeddingConfig(model="fake", normalize=False)}, "chunked"),
        ({"embedding_config": EmbeddingConfig(model="fake", query_prefix="query: ")}, "bake-ready"),
    ],
)
async def test_parameters_that_matter_before_the_topic_are_refused_with_the_one_that_works(
    workshop: Workshop, sections: dict[str, object], works: str
) -> None:
    job = await workshop.finish()
    version = await workshop.add_parameters(**sections)
    late = TOPICS.index(works) + 1
    for topic in TOPICS[late:]:
        error = await refused(workshop, Request(topic, job=job, parameters=version))
        assert error.code == "replay.parameters"
        assert repr(works) in error.next_step
    for topic in TOPICS[:late]:
        assert (await planned(workshop, Request(topic, job=job, parameters=version))).parameters == version


async def test_a_batch_size_changes_no_result_and_may_change_anywhere(workshop: Workshop) -> None:
    job = await workshop.finish()
    version = await workshop.add_parameters(embedding_config=EmbeddingConfig(model="fake", batch_size=7))
    done = await replayed(workshop, Request("bake-ready", job=job, parameters=version))
    assert (await workshop.baked(done.job)).image == (await workshop.baked(job)).image


async def test_a_mixture_of_two_fingerprints_is_refused(workshop: Workshop) -> None:
    job = await workshop.finish()
    version = await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=64))
    request = Request("chunk-ready", job=job, documents=("a/lease.txt",), parameters=version)
    error = await refused(workshop, request)
    assert error.code == "replay.mixed"
    assert "2 documents" in error.sentence


async def test_unknown_parameters_are_refused(workshop: Workshop) -> None:
    job = await workshop.finish()
    assert (await refused(workshop, Request("chunk-ready", job=job, parameters=9))).code == "parameters.unknown"


async def test_a_stage_that_changed_since_is_refused_with_the_topic_that_works(workshop: Workshop) -> None:
    job = await workshop.finish()
    stages = dict(workshop.topology.stages)
    stages["embed"] = stages["embed"].model_copy(update={"version": 3})
    workshop.topology = replace(workshop.topology, stages=stages)
    error = await refused(workshop, Request("embedded", job=job))
    assert (error.code, "embed" in error.sentence, "'chunked'" in error.next_step) == ("replay.stages", True, True)
    assert (await refused(workshop, Request("chunked", job=job, documents=("a/lease.txt",)))).code == "replay.mixed"
    done = await replayed(workshop, Request("chunked", job=job))
    assert (await workshop.baked(done.job)).fingerprint != (await workshop.view(job)).fingerprint


async def test_another_engine_touches_the_stages_that_ask_it(workshop: Workshop) -> None:
    job = await workshop.finish()
    workshop.engine = " of another release"
    error = await refused(workshop, Request("chunked", job=job))
    assert (error.code, "'ingest'" in error.next_step) == ("replay.stages", True)  # admit's version has risen, too
    assert len((await planned(workshop, Request("ingest", job=job))).replayed) == len(SOURCES)


# -- scans ------------------------------------------------------------------------------------------------------------

SCAN, OTHER_SCAN = sketch(1, OWN, 2), sketch(3)
WITH_SCANS: dict[str, bytes | str] = {**SOURCES, "s/scan.png": SCAN, "s/other.png": OTHER_SCAN}


@pytest.mark.parametrize("topic", [*TOPICS, "ocr-ready", "ocr-done"])
async def test_scans_and_texts_come_out_the_same_from_every_topic(workshop: Workshop, topic: str) -> None:
    job = await workshop.finish(WITH_SCANS)
    parent = await workshop.baked(job)
    assert parent.outcomes["ocr"] == 2
    found = await planned(workshop, Request(topic, job=job))
    expected = {"ocr-ready": 2, "bake-ready": 0}.get(topic, len(WITH_SCANS))
    assert (len(found.replayed), len(found.inherited)) == (expected, len(WITH_SCANS) - expected)
    child = await workshop.baked((await replayed(workshop, Request(topic, job=job))).job)
    assert (child.image, child.merkle, child.fingerprint) == (parent.image, parent.merkle, parent.fingerprint)


async def test_scans_are_read_again_with_other_parameters_and_texts_are_inherited(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_SCANS)
    version = await workshop.add_parameters(vision_config=VisionConfig(engine="fake", dpi=180))
    for topic in ("chunk-ready", "ocr-done"):
        error = await refused(workshop, Request(topic, job=job, parameters=version))
        assert (error.code, "'ocr-ready'" in error.next_step) == ("replay.parameters", True)
    request = Request("ocr-ready", job=job, parameters=version)
    found = await planned(workshop, request)
    assert sorted(one.path for one in found.replayed) == ["s/other.png", "s/scan.png"]
    child = await workshop.baked((await replayed(workshop, request)).job)
    from_the_start = await replayed(workshop, Request("ingest", job=job, parameters=version))
    again = await workshop.baked(from_the_start.job)
    assert (child.image, child.merkle) == (again.image, again.merkle)
    assert child.merkle["chunk"] != (await workshop.baked(job)).merkle["chunk"]
    assert (child.outcomes["ocr"], again.outcomes["ocr"]) == (2, 2)
    assert child.outcomes["chunk"] == 2


async def test_one_scan_read_otherwise_than_another_would_be_mixed(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_SCANS)
    version = await workshop.add_parameters(vision_config=VisionConfig(engine="fake", dpi=180))
    one = Request("ocr-ready", job=job, documents=("s/scan.png",), parameters=version)
    error = await refused(workshop, one)
    assert (error.code, "1 documents" in error.sentence, "'ocr-ready'" in error.next_step) == (
        "replay.mixed",
        True,
        True,
    )
    child = await replayed(workshop, Request("ocr-ready", job=job, documents=("s/scan.png",)))
    again = Request("ocr-ready", job=child.job, parameters=version)
    error = await refused(workshop, again)
    assert (error.code, "'ingest'" in error.next_step) == ("replay.mixed", True), (
        "nothing tells how the others were made"
    )


async def test_other_chunks_of_texts_and_scans_alike(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_SCANS)
    version = await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=0))
    done = [
        await replayed(workshop, Request(topic, job=job, parameters=version)) for topic in ("chunk-ready", "ocr-done")
    ]
    for one in done:
        view = await workshop.baked(one.job)
        assert (len(one.plan.replayed), "ocr" in view.outcomes) == (len(WITH_SCANS), False)
    assert len({(await workshop.baked(one.job)).image for one in done}) == 1


async def test_offsets_are_those_of_the_topic_that_was_named(workshop: Workshop) -> None:
    job = await workshop.finish(WITH_SCANS)
    for topic, others in (("ocr-done", set(SOURCES)), ("chunk-ready", {"s/scan.png", "s/other.png"})):
        paths: set[str] = set()
        for partition in range(workshop.topology.topics[topic].partitions):
            try:
                found = await planned(workshop, Request(topic, job=job, offsets=OffsetSpan(partition, 0)))
            except CradleError as error:
                assert error.code == "replay.nothing"
            else:
                paths |= {one.path for one in found.replayed}
        assert paths == WITH_SCANS.keys() - others


async def test_pages_that_went_by_staging_go_along(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ocr.core.MAX_INLINE_BYTES", 0)
    job = await workshop.finish(WITH_SCANS)
    done = await replayed(workshop, Request("ocr-done", job=job))
    assert (await workshop.baked(done.job)).image == (await workshop.baked(job)).image
    staged = [name async for name in workshop.entrance.sealed.list(done.job, "pages")]
    assert len(staged) == 2


async def test_a_scan_that_no_engine_was_chosen_for_is_read_once_there_is_one(workshop: Workshop) -> None:
    await workshop.add_parameters(vision_config=VisionConfig(engine="none"))
    job = await workshop.finish(WITH_SCANS)
    states = await workshop.states(job)
    assert (states["s/scan.png"], states["a/lease.txt"]) == ("document.needs-ocr", "done")
    version = await workshop.add_parameters()
    done = await replayed(workshop, Request("ocr-ready", job=job, parameters=version))
    assert set((await workshop.states(done.job)).values()) == {"done"}


# -- what matches -----------------------------------------------------------------------------------------------------


async def test_every_job_of_a_customer_is_a_replay_of_its_own_and_replays_are_left_out(workshop: Workshop) -> None:
    jobs = {await workshop.finish({f"{name}.txt": f"Text {name}."}, name) for name in ("one", "two")}
    request = Request("chunk-ready", customer="acme")
    plans, refusals = await plan(request, workshop.replay_ports)
    assert ({one.parent.id for one in plans}, refusals) == (jobs, [])
    made = {(await carry_out(one, workshop.replay_ports)).job for one in plans}
    await workshop.run()
    assert len(made) == 2
    plans, _ = await plan(request, workshop.replay_ports)
    assert {one.parent.id for one in plans} == jobs
    assert (await refused(workshop, Request("chunk-ready", customer="nobody"))).code == "replay.nothing"


async def test_a_job_that_matches_and_cannot_be_replayed_does_not_keep_the_others(workshop: Workshop) -> None:
    good = await workshop.finish(reference="good")
    bad = await workshop.finish(reference="bad")
    await workshop.entrance.ledger.cancelled(bad, now=NOW)
    plans, refusals = await plan(Request("chunk-ready", customer="acme"), workshop.replay_ports)
    assert [one.parent.id for one in plans] == [good]
    assert [(one.job, one.error.code) for one in refusals] == [(bad, "job.cancelled")]


async def test_by_offset_a_document_is_replayed_whole(workshop: Workshop) -> None:
    text = "\n\n".join(f"Sentence number {number} stands alone here." for number in range(900))
    await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=0))
    job = await workshop.finish({**SOURCES, "long.txt": text})
    identity = await workshop.id_of(job, "long.txt")
    records = [r for r in workshop.records_of(job, "chunked") if dict(r.headers)["ce_document"] == identity.encode()]
    assert len(records) > 2
    span = OffsetSpan(records[1].partition, records[1].offset, records[1].offset)
    request = Request("chunked", offsets=span)
    found = await planned(workshop, request)
    assert [one.path for one in found.replayed] == ["long.txt"]
    assert len(found.messages) == len(records)
    done = await replayed(workshop, request)
    assert (await workshop.baked(done.job)).image == (await workshop.baked(job)).image


async def test_times_bound_the_records(workshop: Workshop) -> None:
    job = await workshop.finish()
    stamps = [record.timestamp_ms for record in workshop.records_of(job, "embedded")]
    first, last = (datetime.fromtimestamp(stamp / 1000, UTC) for stamp in (min(stamps), max(stamps)))
    after = last + timedelta(milliseconds=1)
    assert (await refused(workshop, Request("embedded", until=first))).code == "replay.nothing"
    assert (await refused(workshop, Request("embedded", since=after))).code == "replay.nothing"
    assert (await refused(workshop, Request("bake-ready", job=job, until=first))).code == "replay.nothing"
    assert len((await planned(workshop, Request("embedded", since=first, until=after))).replayed) == len(SOURCES)


# -- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_topic_that_lost_records_is_refused_for_the_documents_that_need_them(workshop: Workshop) -> None:
    job = await workshop.finish()
    for topic in TOPICS[:-1]:
        workshop.forget_records(topic, job)
        error = await refused(workshop, Request(topic, job=job))
        assert (error.code, "3 of the job's documents" in error.sentence) == ("replay.gone", True)
    assert len((await planned(workshop, Request("bake-ready", job=job))).inherited) == len(SOURCES)


async def test_an_unfinished_job_is_refused(workshop: Workshop) -> None:
    job = await workshop.submit()
    error = await refused(workshop, Request("ingest", job=job))
    assert (error.code, str(job) in error.next_step) == ("replay.unfinished", True)


async def test_an_erased_or_cancelled_job_is_refused(workshop: Workshop) -> None:
    erased, cancelled = await workshop.finish(reference="1"), await workshop.finish(reference="2")
    ledger, keys, staging = workshop.entrance.ledger, workshop.entrance.keys, workshop.entrance.staging
    await erase(erased, ledger=ledger, keys=keys, staging=staging, clock=lambda: NOW)
    await ledger.cancelled(cancelled, now=NOW)
    for topic in TOPICS:
        assert (await refused(workshop, Request(topic, job=erased))).code == "job.erased"
        assert (await refused(workshop, Request(topic, job=cancelled))).code == "job.cancelled"


async def test_a_request_says_what_and_from_where(workshop: Workshop) -> None:
    nobody = UUID(int=1)
    assert (await refused(workshop, Request("chunk-ready"))).code == "replay.choice"
    assert (await refused(workshop, Request("graphed", job=nobody))).code == "replay.topic"
    assert (await refused(workshop, Request("nowhere", job=nobody))).code == "replay.topic"
    assert (await refused(workshop, Request("chunk-ready", job=nobody))).code == "job.unknown"
    job = await workshop.finish()
    assert (await refused(workshop, Request("chunked", job=job, documents=("no such.txt",)))).code == "replay.nothing"
    assert (
        await refused(workshop, Request("bake-ready", job=job, documents=("a/lease.txt",)))
    ).code == "replay.nothing"


@pytest.mark.parametrize("text", ["", "1", "1:", ":2", "1:5-4", "a:1", "1:2-", "1:2-3-4", "-1:2"])
def test_offsets_that_say_nothing(text: str) -> None:
    with pytest.raises(CradleError) as caught:
        OffsetSpan.read(text)
    assert caught.value.code == "replay.choice"


def test_offsets_that_do() -> None:
    assert (OffsetSpan.read("3:17"), OffsetSpan.read("0:4-9")) == (OffsetSpan(3, 17), OffsetSpan(0, 4, 9))
