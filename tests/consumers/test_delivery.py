"""Nothing lost, nothing doubled, whichever step a crash ends; and what becomes of a record that cannot pass."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest
import zstandard
from structlog.testing import capture_logs

from consumers.runtime import Done, Failed, Held, Options, Outcome, Output, Received, Refused, Runtime
from consumers.runtime.announcing import announce_completed, keep_announcing, keep_sweeping
from infra import ledger
from infra.broker import OutgoingRecord
from infra.keys import QUARANTINE
from infra.ledger import JobState, NewDocument, NewJob
from schemas import envelope, sealing
from schemas.errors import Permanent, Retryable
from schemas.ids import job_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest, Message
from tests.consumers.flow import (
    NOW,
    STAGES,
    Crash,
    CrashAt,
    Flow,
    open_flow,
    with_broker,
    with_ledger,
)

DOCUMENTS = ("a.txt", "b.txt", "c.txt")
CHUNKS = 3


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    async with AsyncExitStack() as stack:
        flow = await open_flow(stack, chunks=CHUNKS)
        flow.job = job_id("acme", "r")
        await flow.open_job()
        yield flow


def submission(*paths: str, manifest: int | None = None) -> DocumentsSubmitted:
    return DocumentsSubmitted(
        customer="acme",
        reference="r",
        documents=tuple(DocumentReference(path=path, uri=f"file:///{path}") for path in paths),
        manifest=Manifest(documents=manifest) if manifest is not None else None,
    )


async def assert_complete_once(flow: Flow) -> None:
    view = await flow.view()
    assert view.state is JobState.COMPLETE
    assert (view.total, view.done, view.failed, view.open_work) == (len(DOCUMENTS), len(DOCUMENTS), 0, 0)
    assert view.items["split"] == len(DOCUMENTS) * CHUNKS
    assert view.outcomes == {"admit": 1, "split": len(DOCUMENTS), "sink": len(DOCUMENTS) * CHUNKS, "bake": 1}
    assert len(set(flow.log.ids("chunked"))) == len(DOCUMENTS) * CHUNKS
    assert len(set(flow.log.ids("bake-ready"))) == 1


async def test_a_calm_run(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.run_to_the_end()
    await assert_complete_once(flow)
    assert len(flow.log.ids("chunked")) == len(DOCUMENTS) * CHUNKS


@pytest.mark.parametrize("stage", STAGES[:3])
@pytest.mark.parametrize("step", ["before publish", "after publish", "before record", "after record", "before commit"])
async def test_a_crash_at_any_step_costs_only_time(
    flow: Flow, stage: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    for earlier in STAGES[: STAGES.index(stage)]:
        await flow.poll(earlier)
    after = step.startswith("after")
    crashing, runtime = flow, flow.runtime
    if step.endswith("publish"):
        runtime = with_broker(runtime, CrashAt(runtime.broker, "publish", after=after))
    elif step.endswith("record"):
        runtime = with_ledger(runtime, CrashAt(runtime.ports.ledger, "record", after=after))
    else:
        crashing = replace(flow)
        monkeypatch.setattr(crashing, "commit", CrashAt(flow, "commit", after=False).commit)
    with pytest.raises(Crash):
        await crashing.poll(stage, with_ports=runtime)
    await flow.run_to_the_end()
    await assert_complete_once(flow)


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_while_announcing_bakes_once(flow: Flow, after: bool) -> None:
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    for stage in STAGES[:3]:
        await flow.poll(stage)
    with pytest.raises(Crash):
        await announce_completed(with_broker(flow.runtime, CrashAt(flow.runtime.broker, "publish", after=after)))
    await flow.run_to_the_end()
    await assert_complete_once(flow)
    assert len(flow.log.of("bake-ready")) == (2 if after else 1)


async def test_a_job_that_cannot_be_announced_keeps_no_other_back(flow: Flow) -> None:
    keyless = uuid4()
    await flow.runtime.ports.ledger.open_job(
        NewJob(id=keyless, customer="acme", reference="k", parameters=1, fingerprint="f", opened_at=NOW)
    )
    met = ledger.Outcome(uuid4(), keyless, None, documents=(NewDocument("d" * 32, b"sealed"),), manifest=1)
    await flow.runtime.ports.ledger.record("admit", [met], now=NOW - timedelta(hours=1))
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    for stage in STAGES[:3]:
        await flow.poll(stage)
    assert [one.job for one in await flow.runtime.ports.ledger.announcements()] == [keyless, flow.job]
    told: set[UUID] = set()
    with capture_logs() as logs:
        assert await announce_completed(flow.runtime, told=told) == 1
        assert await announce_completed(flow.runtime, told=told) == 0
    assert len(flow.log.of("bake-ready")) == 1
    assert [one.job for one in await flow.runtime.ports.ledger.announcements()] == [keyless]
    assert [one["job"] for one in logs if one["log_level"] == "error"] == [str(keyless)], "once, not at each look"


@pytest.mark.parametrize("loop", [keep_announcing, keep_sweeping])
async def test_a_mistake_ends_neither_announcing_nor_sweeping(
    flow: Flow, loop: Callable[[Runtime], Awaitable[None]]
) -> None:
    calls = 0
    again = asyncio.Event()

    async def broken(**_: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            again.set()
        raise ValueError

    failing = SimpleNamespace(announcements=broken, due_for_erasure=broken)
    runtime = replace(with_ledger(flow.runtime, failing), options=Options(sweep_seconds=0))
    task = asyncio.ensure_future(loop(runtime))
    async with asyncio.timeout(5):
        await again.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_every_record_twice_and_in_reverse(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    for stage, topic in (("admit", "ingest"), ("split", "chunk-ready"), ("sink", "chunked")):
        again = [OutgoingRecord(topic, b"", r.value, r.headers) for r in reversed(flow.log.of(topic))]
        await flow.log.publish(again)
        await flow.poll(stage)
        await flow.log.publish(again)
    await flow.run_to_the_end()
    await assert_complete_once(flow)


async def test_a_document_that_fails_leaves_the_others(flow: Flow) -> None:
    async def refuse_b(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            if one.message.document.path == "b.txt":
                yield Failed(one, Permanent("document.no-text"))
            else:
                yield Done(one, items=1)

    flow.handles["split"] = refuse_b
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.run_to_the_end()
    view = await flow.view()
    assert (view.state, view.done, view.failed) == (JobState.COMPLETE, 2, 1)
    [letter] = flow.log.of("chunk-ready.dlq")
    headers = dict(letter.headers)
    assert headers["cradle_code"] == b"document.no-text"
    assert headers["cradle_stage"] == b"split"
    assert headers["cradle_topic"] == b"chunk-ready"
    key = await flow.runtime.ports.jobs.key(flow.job)
    opened = envelope.open_sealed(letter.headers, letter.value, key=key)
    assert opened.document.path == "b.txt"  # type: ignore[attr-defined]


async def test_all_documents_failed(flow: Flow) -> None:
    async def refuse(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Failed(one, Permanent("document.no-text"))

    flow.handles["split"] = refuse
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.run_to_the_end()
    view = await flow.view()
    assert (view.state, view.reason, view.failed) == (JobState.FAILED, "job.empty", 3)
    assert flow.log.of("bake-ready") == []


async def test_none_at_all(flow: Flow) -> None:
    await flow.publish(submission(manifest=0), "ingest")
    await flow.run_to_the_end()
    view = await flow.view()
    assert (view.state, view.reason) == (JobState.FAILED, "job.empty")


async def test_the_manifest_last(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.run_to_the_end()
    assert (await flow.view()).state is JobState.OPEN
    await flow.publish(submission(manifest=3), "ingest")
    await flow.run_to_the_end()
    assert (await flow.view()).state is JobState.COMPLETE


async def test_the_manifest_first(flow: Flow) -> None:
    await flow.publish(submission(manifest=3), "ingest")
    await flow.run_to_the_end()
    assert (await flow.view()).state is JobState.PROCESSING
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.run_to_the_end()
    assert (await flow.view()).state is JobState.COMPLETE


async def test_a_piece_that_is_refused_is_a_dead_letter_of_its_own(flow: Flow) -> None:
    async def refuse_one(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Done(one, refused=(Refused(submission("b.txt"), Permanent("source.missing")),))

    flow.handles["admit"] = refuse_one
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.poll("admit")
    [letter] = flow.log.of("ingest.dlq")
    assert dict(letter.headers)["cradle_code"] == b"source.missing"


async def test_held_messages_are_read_again_and_others_pass(flow: Flow) -> None:
    async def hold_b(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Held(one, 0.5) if one.message.document.path == "b.txt" else Done(one, items=1)

    flow.handles["split"] = hold_b
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.poll("admit")
    delivered = await flow.poll("split")
    assert [held.seconds for held in delivered.held] == [0.5]
    assert flow.log.committed["split", "chunk-ready"] == 1
    assert (await flow.view()).outcomes["split"] == 2


async def test_a_dependency_that_is_away_keeps_what_was_finished(flow: Flow) -> None:
    async def away_after_one(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        yield Done(inputs[0], items=1)
        raise Retryable("dependency.away", name="S3")

    flow.handles["split"] = away_after_one
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.poll("admit")
    delivered = await flow.poll("split")
    assert delivered.away is not None
    assert flow.log.committed["split", "chunk-ready"] == 1
    assert flow.log.of("chunk-ready.dlq") == []


@pytest.mark.parametrize(
    ("headers", "value", "code"),
    [
        ([], b"\x00\xff", "envelope.malformed"),
        ([("ce_specversion", b"\xff")], b"", "envelope.malformed"),
        ([("content-type", b"application/json")], b"{}", "envelope.invalid"),
        ([("content-type", b"application/json")], b"[" * 100_000, "envelope.malformed"),
    ],
)
async def test_a_record_that_cannot_be_opened_is_quarantined_once(
    flow: Flow, headers: list[tuple[str, bytes]], value: bytes, code: str
) -> None:
    await flow.log.publish([OutgoingRecord("ingest", b"k", value, headers)])
    await flow.poll("admit")
    flow.log.committed.clear()
    await flow.poll("admit")
    [letter] = flow.log.of("ingest.dlq")
    told = dict(letter.headers)
    assert told["cradle_code"].decode() == code
    key = await flow.runtime.keys.fetch(QUARANTINE)
    packed = sealing.unseal(key, letter.value, associated=UUID(told["ce_id"].decode()).bytes)
    assert msgpack.unpackb(zstandard.decompress(packed)) == [b"k", [[n, c] for n, c in headers], value]


async def test_a_forged_record_cannot_take_a_real_messages_place(flow: Flow) -> None:
    """Its headers name a real message; it does not open, and the real one is still worked on."""
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    [real] = flow.log.records["ingest"]
    flow.log.records["ingest"] = []
    forged = real.value[:-1] + bytes([real.value[-1] ^ 1])
    await flow.log.publish([OutgoingRecord("ingest", b"", value, real.headers) for value in (forged, real.value)])
    await flow.run_to_the_end()
    await assert_complete_once_besides_forgery(flow)


async def assert_complete_once_besides_forgery(flow: Flow) -> None:
    assert (await flow.view()).state is JobState.COMPLETE
    [letter] = flow.log.of("ingest.dlq")
    assert dict(letter.headers)["cradle_code"] == b"envelope.tampered"


async def test_a_record_of_another_topics_type_is_refused(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS), "ingest")
    [record] = flow.log.of("ingest")
    await flow.log.publish([OutgoingRecord("chunk-ready", b"", record.value, record.headers)])
    await flow.poll("split")
    [letter] = flow.log.of("chunk-ready.dlq")
    assert dict(letter.headers)["cradle_code"] == b"envelope.type"


async def test_records_of_an_erased_job_are_skipped(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.poll("admit")
    await flow.runtime.keys.destroy(flow.job)
    await flow.poll("split")
    assert flow.log.committed["split", "chunk-ready"] == 3
    assert flow.log.of("chunked") == flow.log.of("chunk-ready.dlq") == []


async def test_a_job_erased_while_its_stage_works_leaves_nothing_behind(flow: Flow) -> None:
    """Neither outputs nor dead letters: what the quarantine key seals would outlive the job."""

    async def erase_meanwhile(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        await flow.runtime.keys.destroy(flow.job)
        yield Done(inputs[0], (Output(inputs[0].message, document=inputs[0].document, topic="chunked"),))
        for one in inputs[1:]:
            yield Failed(one, Permanent("key.destroyed"))

    flow.handles["split"] = erase_meanwhile
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.poll("admit")
    await flow.poll("split")
    assert flow.log.committed["split", "chunk-ready"] == 3
    assert flow.log.of("chunked") == flow.log.of("chunk-ready.dlq") == []


async def test_a_clear_event_of_an_unknown_customer_is_sealed_under_the_quarantine_key(flow: Flow) -> None:
    async def unknown(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Failed(one, Permanent("customer.unknown", customer="nobody"))

    flow.handles["admit"] = unknown
    event = submission("secret-name.txt").model_copy(update={"customer": "nobody"})
    record = OutgoingRecord("ingest", b"", event.model_dump_json().encode(), [("content-type", b"application/json")])
    await flow.log.publish([record])
    await flow.poll("admit")
    [letter] = flow.log.of("ingest.dlq")
    headers = dict(letter.headers)
    assert headers["ce_keyid"] == QUARANTINE.encode()
    assert b"secret-name" not in letter.value
    key = await flow.runtime.keys.fetch(QUARANTINE)
    assert envelope.open_sealed(letter.headers, letter.value, key=key) == event


async def test_an_output_that_is_too_large_fails_its_input(flow: Flow) -> None:
    async def swell(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            large = one.message.model_copy(update={"object": os.urandom(1_200_000).hex()})
            yield Done(one, (Output(large, document=one.document, topic="chunk-ready"),))

    flow.handles["split"] = swell
    await flow.publish(submission("a.txt"), "ingest")
    await flow.poll("admit")
    await flow.poll("split")
    [letter] = flow.log.of("chunk-ready.dlq")
    assert dict(letter.headers)["cradle_code"] == b"message.too-large"


async def test_an_output_beyond_its_topics_limit_fails_its_input(flow: Flow) -> None:
    """The broker would refuse it each time, and the stage never get past it."""
    chunked = flow.topology.topics["chunked"].model_copy(update={"max_bytes": 64})
    limited = replace(flow.topology, topics={**flow.topology.topics, "chunked": chunked})
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.poll("admit")
    await flow.poll("split", with_ports=replace(flow.runtime, topology=limited))
    assert flow.log.of("chunked") == []
    assert [dict(r.headers)["cradle_code"] for r in flow.log.of("chunk-ready.dlq")] == [b"message.too-large"] * 3


async def test_a_dead_letter_that_cannot_be_sealed_loses_nothing(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_large(*_: Any) -> OutgoingRecord:
        raise Permanent("message.too-large", size=2, limit=1)

    async def refuse(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Failed(one, Permanent("document.no-text"))

    flow.handles["split"] = refuse
    await flow.publish(submission("a.txt", manifest=1), "ingest")
    await flow.poll("admit")
    with monkeypatch.context() as patch:
        patch.setattr("consumers.runtime.dead_letters.seal_letter", too_large)
        with pytest.raises(Permanent):
            await flow.poll("split")
    await flow.run_to_the_end()
    assert (await flow.view()).failed == 1
    assert len(flow.log.of("chunk-ready.dlq")) == 1


async def test_a_completion_that_becomes_a_dead_letter_fails_its_job(flow: Flow) -> None:
    async def broken(inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            raise ValueError
            yield Done(one)

    flow.handles["bake"] = broken
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.run_to_the_end()
    view = await flow.view()
    assert (view.state, view.reason) == (JobState.FAILED, "delivery.unexpected")
    assert len(flow.log.of("bake-ready.dlq")) == 1


@pytest.mark.parametrize(("key", "kept"), [(b"acme-gmbh", True), (b"contracts/lease.pdf", False), (b"Lease", False)])
async def test_a_strangers_key_is_not_repeated(flow: Flow, key: bytes, kept: bool) -> None:
    await flow.log.publish([OutgoingRecord("ingest", key, b"no message", [])])
    await flow.poll("admit")
    [letter] = flow.log.of("ingest.dlq")
    assert letter.key == (key if kept else b"")


async def test_groups_are_published_and_recorded_as_they_come(flow: Flow) -> None:
    """With groups of one, a crash after the second record leaves two finished."""
    flow.runtime = replace(flow.runtime, options=Options(flush_outcomes=1))
    await flow.publish(submission(*DOCUMENTS, manifest=3), "ingest")
    await flow.poll("admit")
    delivered = await flow.poll("split")
    assert len(delivered.finished) == 3
    assert (await flow.view()).outcomes["split"] == 3


async def test_ids_are_the_same_after_a_second_delivery(flow: Flow) -> None:
    await flow.publish(submission(*DOCUMENTS), "ingest")
    await flow.poll("admit")
    with pytest.raises(Crash):
        await flow.poll(
            "split", with_ports=with_ledger(flow.runtime, CrashAt(flow.runtime.ports.ledger, "record", after=False))
        )
    first = flow.log.ids("chunked")
    await flow.poll("split")
    assert flow.log.ids("chunked") == first + first
