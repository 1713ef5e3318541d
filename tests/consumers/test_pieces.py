"""An input done piece by piece: whatever ends the process in between, each document is let in once."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.runtime import Done, Handle, Held, Outcome, Output, Piece, Received, Refused
from consumers.runtime.contract import piece_id
from infra.ledger import Counted, JobState, Ledger, NewDocument
from schemas.errors import Permanent
from schemas.ids import job_id
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest, Message
from tests.consumers.flow import STAGES, Crash, CrashAt, Flow, document_message, open_flow, with_broker, with_ledger

DOCUMENTS = [f"{number}.txt" for number in range(5)]
COUNTS = {Counted.RECOGNISED: 2}


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    async with AsyncExitStack() as stack:
        flow = await open_flow(stack, chunks=1)
        flow.job = job_id("acme", "r")
        await flow.open_job()
        yield flow


def event(manifest: int | None = None) -> DocumentsSubmitted:
    return DocumentsSubmitted(
        customer="acme",
        reference="r",
        documents=tuple(DocumentReference(path=path, uri=f"file:///{path}") for path in DOCUMENTS),
        manifest=None if manifest is None else Manifest(documents=manifest),
    )


def piecewise(ledger: Ledger, *, room: Callable[[], bool] = lambda: True) -> Handle:
    """Lets in one document after the other, each a piece, while there is room; the last with the manifest."""

    async def admit(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            submitted = cast(DocumentsSubmitted, one.message)
            *ahead, last = range(len(submitted.documents))
            ids = {piece_id("admit", one, number): number for number in ahead}
            done = {ids[piece] for piece in await ledger.finished("admit", [*ids])}
            for number in (*(number for number in ahead if number not in done), last):
                if not room():
                    yield Held(one, 0.0)
                    break
                message = document_message(submitted.documents[number].path)
                outputs = (Output(message, document=message.document.id),)
                documents = (NewDocument(message.document.id, b"sealed"),)
                if number is last:
                    manifest = submitted.manifest.documents if submitted.manifest else None
                    yield Done(one, outputs, documents=documents, manifest=manifest, items=1, counts=COUNTS)
                else:
                    yield Piece(one, number, outputs, documents=documents, items=1, counts=COUNTS)

    return admit


async def assert_complete_once(flow: Flow) -> None:
    view = await flow.view()
    assert (view.state, view.total, view.done, view.open_work) == (JobState.COMPLETE, 5, 5, 0)
    assert (view.items["admit"], view.items["split"], view.counts) == (5, 5, {"recognised": 10})
    assert len(set(flow.log.ids("chunk-ready"))) == 5
    assert len(set(flow.log.ids("bake-ready"))) == 1


async def test_pieces_travel_on_while_their_input_is_held(flow: Flow) -> None:
    places = 2

    def room() -> bool:
        nonlocal places
        places -= 1
        return places >= 0

    flow.handles["admit"] = piecewise(flow.runtime.ports.ledger, room=room)
    await flow.publish(event(manifest=5), "ingest")
    delivered = await flow.poll("admit")
    assert (len(delivered.held), len(delivered.finished)) == (1, 0)
    assert flow.log.committed.get(("admit", "ingest"), 0) == 0
    for stage in STAGES[1:]:
        await flow.poll(stage)
    view = await flow.view()
    assert (view.state, view.total, view.done, view.open_work) == (JobState.OPEN, 2, 2, 0)
    places = 100
    await flow.run_to_the_end()
    assert len(flow.log.ids("chunk-ready")) == 5  # none was let in a second time
    await assert_complete_once(flow)


@pytest.mark.parametrize("manifest_first", [False, True])
async def test_a_job_is_not_complete_before_the_last_piece(flow: Flow, manifest_first: bool) -> None:
    """Not even where the manifest came in an event of its own, and all that was let in is done."""
    if manifest_first:
        await flow.publish(DocumentsSubmitted(customer="acme", reference="r", manifest=Manifest(documents=5)), "ingest")
        flow.handles["admit"] = only_manifest
        await flow.poll("admit")
    await flow.publish(event(manifest=None if manifest_first else 5), "ingest")
    counted = iter(range(4))
    flow.handles["admit"] = piecewise(flow.runtime.ports.ledger, room=lambda: next(counted, None) is not None)
    await flow.poll("admit")
    for stage in STAGES[1:]:
        await flow.poll(stage)
    view = await flow.view()
    assert (view.total, view.done, view.open_work) == (4, 4, 0)
    assert view.state is (JobState.PROCESSING if manifest_first else JobState.OPEN)
    flow.handles["admit"] = piecewise(flow.runtime.ports.ledger)
    await flow.run_to_the_end()
    await assert_complete_once(flow)


async def only_manifest(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        manifest = cast(DocumentsSubmitted, one.message).manifest
        yield Done(one, manifest=manifest.documents if manifest else None)


@pytest.mark.parametrize("step", ["before publish", "after publish", "before record", "after record"])
async def test_a_crash_among_pieces_costs_only_time(flow: Flow, step: str) -> None:
    flow.runtime = replace(flow.runtime, options=replace(flow.runtime.options, flush_outcomes=2))
    flow.handles["admit"] = piecewise(flow.runtime.ports.ledger)
    await flow.publish(event(manifest=5), "ingest")
    when, method = step.split()
    port: Any = flow.runtime.broker if method == "publish" else flow.runtime.ports.ledger
    crashing = CrashAt(port, method, after=when == "after")
    runtime = (with_broker if method == "publish" else with_ledger)(flow.runtime, crashing)
    with pytest.raises(Crash):
        await flow.poll("admit", with_ports=runtime)
    await flow.run_to_the_end()
    await assert_complete_once(flow)


async def test_refusals_of_two_pieces_are_two_dead_letters(flow: Flow) -> None:
    async def refuse(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            refused = (Refused(event(), Permanent("source.missing")),)
            yield Piece(one, 0, refused=refused)
            yield Piece(one, 1, refused=refused)
            yield Done(one, refused=refused)

    flow.handles["admit"] = refuse
    await flow.publish(event(), "ingest")
    await flow.poll("admit")
    assert len(set(flow.log.ids("ingest.dlq"))) == 3
    assert flow.log.committed["admit", "ingest"] == 1


async def test_an_input_whose_stage_forgets_it_after_a_piece_is_a_dead_letter(flow: Flow) -> None:
    async def forget(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            yield Piece(one, 0)

    flow.handles["admit"] = forget
    await flow.publish(event(), "ingest")
    await flow.poll("admit")
    [letter] = flow.log.of("ingest.dlq")
    assert dict(letter.headers)["cradle_code"] == b"delivery.unexpected"
