"""What became of a dead letter, and how it gets back to the one stage that failed."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from consumers.runtime.dead_letters import LETTER_BYTES
from infra.broker import OutgoingRecord, StoredRecord
from infra.ledger import JobState
from operations.cancel import cancel
from operations.dead_letters import (
    Wanted,
    describe_letter,
    discard,
    fetch_record,
    find_by_id,
    find_letters,
    quarantined_bytes,
)
from operations.erasure import erase
from operations.redrive import redrive
from schemas import envelope
from schemas.errors import CradleError
from schemas.messages import DocumentReference, DocumentsSubmitted
from tests.operations.letters import Post, open_post

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        yield await open_post(stack)


async def refusal(work: Awaitable[object]) -> str:
    with pytest.raises(CradleError) as caught:
        await work
    return caught.value.code


async def ends(post: Post) -> tuple[JobState, int, int, int]:
    """State, generation, done and failed documents of the job."""
    view = await post.flow.view()
    return view.state, view.generation, view.done, view.failed


async def test_a_letter_goes_back_to_the_stage_that_failed_and_to_no_other(post: Post) -> None:
    post.poisoned = {"sink:b"}
    await post.submit("a", "b")
    assert await ends(post) == (JobState.BAKED, 1, 1, 1)
    [letter] = await post.letters()
    assert (letter.mark.stage, letter.mark.topic, letter.mark.code) == ("sink", "chunked", "document.broken")
    assert letter.state == "dead"
    post.poisoned.clear()
    post.ran.clear()
    assert [one.sent for one in await redrive([letter], post.mail)] == [True]
    assert await post.states() == ["redriven"]
    await post.run()
    assert post.ran == ["sink:b"]
    assert await post.states() == ["mended"]
    assert await ends(post) == (JobState.BAKED, 2, 2, 0)
    assert (await post.flow.view()).image == "sha256:2"


async def test_what_fails_again_is_one_letter_given_up_twice(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    await redrive(await post.letters(), post.mail)
    await post.run()
    [letter] = await post.letters()
    assert (letter.state, letter.count) == ("dead", 2)
    assert await ends(post) == (JobState.BAKED, 2, 1, 1)


async def test_a_refused_piece_is_admitted_anew(post: Post) -> None:
    post.poisoned = {"admit:b", "admit:c"}
    await post.submit("a", "b", "c")
    assert await ends(post) == (JobState.BAKED, 1, 1, 2)
    letters = await post.letters()
    assert [(one.mark.number, one.state.value) for one in letters] == [(1, "dead"), (2, "dead")]
    post.poisoned = {"admit:c"}
    await redrive(letters, post.mail)
    assert await post.states() == ["redriven", "redriven"]
    await post.run()
    assert await ends(post) == (JobState.BAKED, 2, 2, 1)
    again = await post.letters()
    assert [(one.count, one.state.value) for one in again] == [(1, "mended"), (2, "dead")]
    assert again[1].id != letters[1].id
    # either id names it
    mail = post.mail
    found = await find_by_id([letters[1].id], broker=mail.broker, ledger=mail.ledger, topology=mail.topology)
    assert found == [again[1]]
    post.poisoned.clear()
    await redrive(found, post.mail)
    await post.run()
    assert await post.states() == ["mended", "mended"]
    assert await ends(post) == (JobState.BAKED, 3, 3, 0)


async def test_what_is_not_read_to_its_end_is_closed_at_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan holds a connection to the broker."""
    post.poisoned = {"split:a", "split:b"}
    await post.submit("a", "b", "c")
    letters, broker, open_scans = await post.letters(), post.mail.broker, list[str]()
    scan = broker.scan

    async def watched(topic: str, **where: Any) -> AsyncGenerator[StoredRecord]:
        open_scans.append(topic)
        try:
            async for record in scan(topic, **where):
                yield record
        finally:
            open_scans.remove(topic)

    monkeypatch.setattr(broker, "scan", watched)
    await fetch_record(letters[0], broker)
    assert open_scans == []
    await redrive(letters[:1], post.mail)
    assert open_scans == []


async def test_redriving_twice_is_harmless(post: Post) -> None:
    post.poisoned = {"split:b", "admit:c"}
    await post.submit("a", "b", "c")
    letters = await post.letters()
    post.poisoned.clear()
    await redrive(letters, post.mail)
    await redrive(letters, post.mail)
    await redrive(await post.letters(), post.mail)
    await post.run()
    assert await ends(post) == (JobState.BAKED, 2, 3, 0)
    assert post.ran.count("split:b") == 2
    assert [one.sent for one in await redrive(letters, post.mail)] == [False, False]  # told by the ledger alone
    await post.run()
    assert await ends(post) == (JobState.BAKED, 2, 3, 0)


@pytest.mark.parametrize("poison", ["split:b", "admit:b"])
async def test_a_crash_before_the_publishing_is_mended_by_redriving_again(post: Post, poison: str) -> None:
    post.poisoned = {poison}
    await post.submit("a", "b")
    post.poisoned.clear()

    class Crash(BaseException):
        pass

    class Broker:
        scan = post.flow.log.scan

        async def publish(self, records: object) -> None:
            raise Crash

    with pytest.raises(Crash):
        await redrive(await post.letters(), replace(post.mail, broker=Broker()))  # type: ignore[arg-type]
    await post.run()
    assert (await post.flow.view()).state is JobState.PROCESSING
    assert await post.states() == ["redriven"]
    await redrive(await post.letters(), post.mail)
    await post.run()
    assert await ends(post) == (JobState.BAKED, 2, 2, 0)


async def test_a_dry_run_changes_nothing(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    letters = await post.letters()
    before = await ends(post), len(post.flow.log.of("chunk-ready"))
    assert [one.sent for one in await redrive(letters, post.mail, dry_run=True)] == [True]
    assert await discard(letters, ledger=post.mail.ledger, clock=post.now, dry_run=True) == letters
    assert (await ends(post), len(post.flow.log.of("chunk-ready"))) == before
    assert await post.states() == ["dead"]


async def test_a_failed_bake_is_redriven_into_the_same_generation(post: Post) -> None:
    post.poisoned = {"bake:1"}
    await post.submit("a")
    assert (await post.flow.view()).state is JobState.FAILED
    post.poisoned.clear()
    await redrive(await post.letters(stage="bake"), post.mail)
    await post.run()
    assert await ends(post) == (JobState.BAKED, 1, 1, 0)


async def test_an_event_of_an_unknown_customer_is_redriven_once_there_is_one(post: Post) -> None:
    post.poisoned = {"admit:late"}
    documents = b'[{"path": "a", "uri": "file:///a"}]'
    event = b'{"customer": "late", "reference": "x", "documents": %b, "manifest": {"documents": 1}}' % documents
    await post.flow.log.publish([OutgoingRecord("ingest", b"late", event, [("traceparent", TRACE.encode())])])
    await post.run()
    [letter] = await post.letters()
    assert (letter.mark.code, letter.quarantined) == ("customer.unknown", False)
    shown = await describe_letter(letter, broker=post.mail.broker, keys=post.mail.keys, topology=post.mail.topology)
    assert (shown["paths"], shown["trace"]) == (["a"], TRACE)
    post.poisoned.clear()
    assert [one.sent for one in await redrive([letter], post.mail)] == [True]
    await post.run()
    assert await post.states() == ["mended"]
    assert (await post.mail.ledger.job(letter.job)).state is JobState.BAKED
    redriven = post.flow.log.of("chunk-ready")[-1]
    assert envelope.address(redriven.headers).traceparent == TRACE


async def test_an_update_of_nothing_is_redriven_as_an_update_once_there_is_a_version(post: Post) -> None:
    post.poisoned = {"admit:late"}
    event = b'{"customer": "late", "reference": "x", "update": true, "removed": ["b"], "manifest": {"documents": 0}}'
    await post.flow.log.publish([OutgoingRecord("ingest", b"late", event, [])])
    await post.run()
    [letter] = await post.letters()
    shown = await describe_letter(letter, broker=post.mail.broker, keys=post.mail.keys, topology=post.mail.topology)
    assert shown["paths"] == ["b"]
    post.poisoned.clear()
    assert [one.sent for one in await redrive([letter], post.mail)] == [True]
    await post.run()
    assert (await post.mail.ledger.job(letter.job)).extends == "v1.0-init"


async def test_a_record_that_nobody_could_read_is_published_again_as_it_was(post: Post) -> None:
    headers = [("content-type", b"x/y"), ("\ud800 name", b"\xff\xfe")]
    await post.flow.log.publish([OutgoingRecord("chunk-ready", b"\x00key", b"\x00noise", headers)])
    await post.run()
    [letter] = await post.letters()
    assert (letter.quarantined, letter.state, letter.mark.number) == (True, "dead", 0)
    mail = post.mail
    shown = await describe_letter(letter, broker=mail.broker, keys=mail.keys, topology=mail.topology)
    assert (shown["job"], shown["paths"], shown["bytes"]) == (None, None, len(b"\x00noise"))
    assert await quarantined_bytes(letter, broker=mail.broker, keys=mail.keys, topology=mail.topology) == b"\x00noise"
    await redrive([letter], mail)
    again = post.flow.log.of("chunk-ready")[-1]
    assert (again.key, again.value, [*again.headers]) == (b"\x00key", b"\x00noise", headers)
    assert await post.states() == ["redriven"]
    await post.run()
    [letter] = await post.letters()
    assert (letter.state, letter.count) == ("dead", 2)


async def test_letters_of_an_erased_or_cancelled_job_are_gone(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    [letter] = await post.letters()
    runtime, mail = post.flow.runtime, post.mail
    await erase(post.flow.job, ledger=mail.ledger, keys=mail.keys, staging=runtime.staging, clock=post.now)
    assert await post.states() == ["gone"]
    for one in (letter, *await post.letters()):  # as it was seen before, and as it is
        [answer] = await redrive([one], mail)
        assert not answer.sent
        assert answer.refused is not None
        assert answer.refused.code in ("job.erased", "key.destroyed")
    shown = await describe_letter(letter, broker=mail.broker, keys=mail.keys, topology=mail.topology)
    assert (shown["paths"], shown["sealed"]) == (None, "key.destroyed")
    assert await discard(await post.letters(), ledger=mail.ledger, clock=post.now) == []


async def test_a_letter_is_shown_with_its_path_cause_and_next_step(post: Post) -> None:
    post.poisoned = {"split:b/lease.pdf"}
    await post.submit("b/lease.pdf")
    [letter] = await post.letters()
    mail = post.mail
    shown = await describe_letter(letter, broker=mail.broker, keys=mail.keys, topology=mail.topology)
    assert shown["paths"] == ["b/lease.pdf"]
    assert shown["error"] == "The document cannot be read as text."
    assert shown["next_step"].startswith("Open and save it again")
    assert (shown["stage"], shown["topic"], shown["attempts"]) == ("split", "chunk-ready", 1)
    assert (
        await refusal(quarantined_bytes(letter, broker=mail.broker, keys=mail.keys, topology=mail.topology))
        == "letter.readable"
    )
    assert (
        await refusal(find_by_id([uuid4()], broker=mail.broker, ledger=mail.ledger, topology=mail.topology))
        == "letter.unknown"
    )


async def test_filters(post: Post) -> None:
    post.poisoned = {"split:b", "admit:c"}
    await post.submit("a", "b", "c")
    counts = {
        name: len(await post.letters(**{name: value}))
        for name, value in {
            "stage": "split",
            "code": "document.broken",
            "job": post.flow.job,
            "customer": "acme",
        }.items()
    }
    assert counts == {"stage": 1, "code": 2, "job": 2, "customer": 2}
    assert await post.letters(customer="other") == await post.letters(job=uuid4()) == await post.letters(code="x") == []


async def test_a_discarded_letter_stays_so_until_it_fails_again(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    letters = await post.letters()
    assert await discard(letters, ledger=post.mail.ledger, clock=post.now) == letters
    assert await post.states() == ["discarded"]
    assert await discard(await post.letters(), ledger=post.mail.ledger, clock=post.now) == []
    await redrive(await post.letters(), post.mail)  # somebody thought better of it
    assert await post.states() == ["redriven"]
    await post.run()
    assert await post.states() == ["dead"]


HOSTILE: list[list[tuple[str, bytes]]] = [
    [],
    [("cradle_code", b"\xff")],
    [("\udcff", b"x"), ("ce_id", b"nothing")],
    [("cradle_message", None)],  # type: ignore[list-item]
]


async def test_foreign_records_among_the_letters_are_counted_and_fail_nothing(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    real = post.flow.log.of("chunk-ready.dlq")[0]
    changes = [{"ce_id": b"x"}, {"ce_subject": b""}, {"cradle_offset": b"-1"}, {"cradle_topic": b"chunked"}]
    forged = [[*(dict(real.headers) | change).items()] for change in changes]
    for headers in (*HOSTILE, *forged):
        await post.flow.log.publish([OutgoingRecord("chunk-ready.dlq", b"", b"\x00" * 9, headers)])
    mail = post.mail
    found = await find_letters(Wanted(), broker=mail.broker, ledger=mail.ledger, topology=mail.topology)
    assert (len(found.letters), found.foreign) == (1, len(HOSTILE) + len(forged))


@pytest.mark.parametrize(
    "change",
    [
        {"cradle_message": str(uuid4()).encode()},
        {"cradle_stage": b"sink"},
        {"cradle_stage": b"brew"},
        {"cradle_number": b"1"},
        {"ce_keyid": str(uuid4()).encode()},
    ],
)
async def test_a_forged_letter_is_not_redriven(post: Post, change: dict[str, bytes]) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    [real] = post.flow.log.of("chunk-ready.dlq")
    before = await ends(post), len(post.flow.log.of("chunk-ready"))
    headers = [*(dict(real.headers) | change).items()]
    post.flow.log.records["chunk-ready.dlq"] = [replace(real, headers=headers)]
    [answer] = await redrive(await post.letters(), post.mail)
    assert answer.refused is not None
    assert answer.refused.code == "letter.forged"
    assert (await ends(post), len(post.flow.log.of("chunk-ready"))) == before


async def test_letters_that_name_each_other_do_not_turn_in_a_circle(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    [real] = post.flow.log.of("chunk-ready.dlq")
    one, other = uuid4(), uuid4()
    for id_, message in ((one, other), (other, one), (uuid4(), one)):
        change = {"ce_id": str(id_).encode(), "cradle_message": str(message).encode()}
        headers = [*(dict(real.headers) | change).items()]
        await post.flow.log.publish([OutgoingRecord("chunk-ready.dlq", b"", real.value, headers)])
    assert len(await post.letters()) >= 2


async def test_a_message_of_the_largest_size_becomes_a_letter_and_comes_back(post: Post) -> None:
    import os

    path = os.urandom(100).hex()
    post.poisoned = {f"admit:{path}"}
    limit = post.flow.topology.topics["ingest"].max_bytes
    references = [DocumentReference(path=path, uri="file:///" + os.urandom(1900).hex()) for _ in range(1)]
    filler = [DocumentReference(path=os.urandom(2000).hex(), uri="file:///x") for _ in range(480)]
    event = DocumentsSubmitted(customer="acme", reference="r", documents=(*references, *filler))
    message = await post.flow.publish(event, "ingest")
    [record] = post.flow.log.of("ingest")
    assert 0.8 * limit < len(record.value) < limit < LETTER_BYTES
    post.poisoned = {"admit:acme"}
    await post.run()
    [letter] = await post.letters()
    assert letter.mark.message == message
    assert [one.sent for one in await redrive([letter], post.mail)] == [True]


async def test_a_letter_whose_record_is_gone_says_so(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    letters = await post.letters()
    post.flow.log.records["chunk-ready.dlq"].clear()
    [answer] = await redrive(letters, post.mail)
    assert answer.refused is not None
    assert answer.refused.code == "letter.unknown"


async def test_cancelling_stops_the_job_within_a_poll_and_erases_it(post: Post) -> None:
    runtime, mail = post.flow.runtime, post.mail
    await post.flow.publish(
        DocumentsSubmitted(customer="acme", reference="r", documents=(DocumentReference(path="a", uri="file:///a"),)),
        "ingest",
    )
    await post.flow.poll("admit")
    ports = {"ledger": mail.ledger, "keys": mail.keys, "staging": runtime.staging, "clock": post.now}
    cancelled = await cancel(post.flow.job, **ports)  # type: ignore[arg-type]
    assert cancelled.key_destroyed
    await post.run()
    view = await post.flow.view()
    assert (view.state, view.reason) == (JobState.CANCELLED, "job.cancelled")
    assert view.erased_at is not None
    assert post.ran == ["admit:a"]
    assert post.flow.log.of("chunked") == []
    assert await post.letters() == []
    again = await cancel(post.flow.job, **ports)  # type: ignore[arg-type]
    assert (again.key_destroyed, again.erased_at) == (False, view.erased_at)


async def test_what_is_in_hand_at_the_cancelling_is_published_nowhere(post: Post) -> None:
    runtime, mail = post.flow.runtime, post.mail
    inner = post.flow.handles["split"]

    async def cancelled_meanwhile(inputs: list[object]) -> AsyncIterator[object]:
        await cancel(
            post.flow.job, ledger=mail.ledger, keys=mail.keys, staging=runtime.staging, clock=post.now
        )  # the lease is over at once: this flow's keys have none
        async for outcome in inner(inputs):  # type: ignore[arg-type]
            yield outcome

    post.flow.handles["split"] = cancelled_meanwhile  # type: ignore[assignment]
    await post.submit("a")
    assert post.ran == ["admit:a", "split:a"]
    assert post.flow.log.of("chunked") == post.flow.log.of("chunk-ready.dlq") == []
    assert post.flow.log.committed["split", "chunk-ready"] == 1


async def test_only_a_job_at_work_can_be_cancelled(post: Post) -> None:
    await post.submit("a")
    runtime, mail = post.flow.runtime, post.mail
    ports = {"ledger": mail.ledger, "keys": mail.keys, "staging": runtime.staging, "clock": post.now}
    assert await refusal(cancel(post.flow.job, **ports)) == "job.over"  # type: ignore[arg-type]
    await erase(post.flow.job, **ports)  # type: ignore[arg-type]
    assert await refusal(cancel(post.flow.job, **ports)) == "job.erased"  # type: ignore[arg-type]
    assert await refusal(cancel(uuid4(), **ports)) == "job.unknown"  # type: ignore[arg-type]


async def test_100_000_letters_are_listed(post: Post) -> None:
    post.poisoned = {"split:b"}
    await post.submit("a", "b")
    [real] = post.flow.log.of("chunk-ready.dlq")
    count = 100_000

    class Many:
        async def scan(self, topic: str, **_: object) -> AsyncIterator[StoredRecord]:
            for number in range(count if topic == "chunk-ready.dlq" else 0):
                ids = {"ce_id": str(UUID(int=number)).encode(), "cradle_message": str(UUID(int=1 << 64)).encode()}
                yield replace(real, offset=number, headers=[*(dict(real.headers) | ids).items()])

    mail = post.mail
    found = await find_letters(Wanted(), broker=Many(), ledger=mail.ledger, topology=mail.topology)  # type: ignore[arg-type]
    assert len(found.letters) == count
