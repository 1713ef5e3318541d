"""Several lanes at one time, each in order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from consumers.runtime import Done, Outcome, Received
from consumers.runtime.lanes import lane_of, side_by_side
from schemas.errors import Retryable
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest, Message
from schemas.topology import Key
from tests.consumers.flow import Flow, document_message, open_flow


class Gate:
    """A slow stage that a test holds in its hand: what is worked on stays so until it is let go."""

    def __init__(self) -> None:
        self.under_way: dict[str, asyncio.Event] = {}
        self.order: list[str] = []
        self.most = 0

    async def handle(self, inputs: Sequence[Received[Any]]) -> AsyncIterator[Outcome]:
        for one in inputs:
            name = one.message.object
            self.under_way[name] = asyncio.Event()
            self.most = max(self.most, len(self.under_way))
            await self.under_way[name].wait()
            del self.under_way[name]
            self.order.append(name)
            yield Done(one)

    async def let_go(self, delivery: "asyncio.Task[Any]") -> int:
        """Lets all that is under way go on, again and again; returns in how many rounds the delivery was over."""
        rounds = 0
        while not delivery.done():
            for _ in range(200):  # until nothing more can begin
                await asyncio.sleep(0)
            rounds += bool(self.under_way)
            for event in self.under_way.values():
                event.set()
        return rounds


@pytest.mark.parametrize(("at_once", "rounds"), [(1, 64), (16, 4)])
async def test_a_slow_stage_with_many_keys_works_on_many_at_one_time(at_once: int, rounds: int) -> None:
    """64 documents of one partition that take one unit of time each: 64 units one by one, 4 in lanes of 16."""
    async with AsyncExitStack() as stack:
        flow = await slow_flow(stack, at_once)
        gate = Gate()
        flow.handles["split"] = gate.handle
        for number in range(64):
            message = document_message(f"{number}.txt")
            await flow.publish(message, "chunk-ready", document=message.document.id)
        delivery = asyncio.create_task(flow.poll("split"))
        assert await gate.let_go(delivery) == rounds
        assert gate.most == at_once
        assert flow.log.committed["split", "chunk-ready"] == 64


async def test_one_document_keeps_its_order_and_offsets_are_committed_in_order() -> None:
    async with AsyncExitStack() as stack:
        flow = await slow_flow(stack, 8)
        gate = Gate()
        flow.handles["split"] = gate.handle
        sent = defaultdict(list)
        for number in range(12):
            message = document_message(f"{number % 3}.txt").model_copy(update={"object": f"{number}"})
            sent[number % 3].append(str(number))
            await flow.publish(message, "chunk-ready", document=message.document.id)
        delivery = asyncio.create_task(flow.poll("split"))
        await gate.let_go(delivery)
        assert gate.most == 3
        for number, names in sent.items():
            assert [name for name in gate.order if int(name) % 3 == number] == names


async def slow_flow(stack: AsyncExitStack, at_once: int) -> Flow:
    flow = await open_flow(stack)
    stages = dict(flow.topology.stages)
    stages["split"] = stages["split"].model_copy(update={"at_once": at_once})
    flow.runtime = replace(flow.runtime, topology=replace(flow.topology, stages=stages))
    await flow.open_job()
    return flow


async def test_a_dependency_that_is_away_ends_all_lanes_but_keeps_what_was_made() -> None:
    others = asyncio.Event()
    ended: list[str] = []

    async def run(name: str) -> AsyncGenerator[str, None]:
        try:
            yield f"{name}1"
            if name == "b":
                raise Retryable("dependency.away", name="S3")
            await others.wait()
        finally:
            ended.append(name)

    made: list[str] = []
    with pytest.raises(Retryable):
        async for one in side_by_side(["a", "b", "c", "d"], run, at_once=3):
            made.append(one)
    assert {"a1", "b1"} <= set(made) <= {"a1", "b1", "c1"}
    assert set(ended) >= {"a", "b"}
    assert "d" not in ended


def test_a_lane_is_what_the_topic_is_keyed_by_as_the_message_tells_it() -> None:
    job = uuid4()
    event = DocumentsSubmitted(
        customer="acme", reference="r", documents=(DocumentReference(path="a", uri="file:///a"),)
    )
    submitted: Received[Message] = Received(uuid4(), job, event)
    document: Received[Message] = Received(uuid4(), job, document_message("a.txt"), "d" * 32)
    assert lane_of(submitted, Key.CUSTOMER) == "acme"
    assert lane_of(document, Key.DOCUMENT) == "d" * 32
    assert lane_of(document, Key.JOB) == str(job)


def test_a_manifest_alone_waits_behind_no_document_of_its_customer() -> None:
    closing = DocumentsSubmitted(customer="acme", reference="r", manifest=Manifest(documents=9))
    assert lane_of(Received(uuid4(), uuid4(), closing), Key.CUSTOMER) != "acme"
