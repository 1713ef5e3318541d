import asyncio
import threading
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.embed import stage
from consumers.runtime.contract import Done, Failed, Output
from engines.embedding import EmbeddingEngine
from engines.embedding.fake import IDENTITY, FakeEngine
from engines.tokenizer import Tokenizer
from schemas.errors import Retryable
from schemas.ids import job_id
from schemas.messages import EmbeddingsMade
from schemas.parameters import EmbeddingConfig
from tests.consumers.test_embed_core import made
from tests.fakes import FAKE, JOB, fake_ports, outcomes, received

SMALL = FAKE.model_copy(update={"embedding_config": EmbeddingConfig(model="fake", batch_size=2)})


class Watched:
    """An `Engines` with one engine that notes its batches, and does what a test tells it to."""

    identity = IDENTITY

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[threading.Thread] = set()
        self.busy = 0
        self.most_busy = 0

    async def embedding(self, config: EmbeddingConfig) -> EmbeddingEngine:
        return self

    async def tokenizer(self, config: EmbeddingConfig) -> Tokenizer:
        raise AssertionError("`embed` counts no tokens: the chunks say how many they have")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        self.batches.append(list(texts))
        self.threads.add(threading.current_thread())
        vectors = FakeEngine().embed(texts)
        vectors[[text == "bad" for text in texts]] = np.nan
        self.busy -= 1
        return vectors


async def test_vectors_stand_in_the_order_of_their_chunks() -> None:
    message = made("ccc", "a", "bb")
    [done] = await outcomes(stage(fake_ports()), received(message))
    assert isinstance(done, Done)
    [output] = done.outputs
    result = output.message
    assert isinstance(result, EmbeddingsMade)
    assert output == Output(result, document=message.document.id)
    assert done.items == 3
    assert result.chunks == message
    assert result.vectors.shape == (3, 64)
    assert result.vectors.data == FakeEngine().embed(["ccc", "a", "bb"]).astype("<f4").tobytes()


async def test_messages_share_batches_and_are_answered_as_they_complete() -> None:
    engines = Watched()
    long = received(made("a", "xxxxxxxx"), name="long")
    short = received(made("b", "cc"), name="short")
    answered = await outcomes(stage(fake_ports(engines=engines, parameters=SMALL)), long, short)
    assert engines.batches == [["a", "b"], ["cc", "xxxxxxxx"]]
    assert {outcome.input.id for outcome in answered} == {long.id, short.id}

    engines.batches.clear()
    early = received(made("b", "c"), name="early")
    late = received(made("dd", "eee"), name="late")
    first = await anext(stage(fake_ports(engines=engines, parameters=SMALL))([late, early]))
    assert first.input == early
    assert engines.batches == [["b", "c"]], "the rest has not been computed yet"


async def test_the_engine_runs_off_the_event_loop_one_batch_at_a_time() -> None:
    engines = Watched()
    handle = stage(fake_ports(engines=engines, parameters=SMALL))
    polls = [[received(made(*"abcdef"), name=f"{poll}")] for poll in range(4)]
    await asyncio.gather(*(outcomes(handle, *poll) for poll in polls))
    assert threading.current_thread() not in engines.threads
    assert engines.most_busy == 1
    assert len(engines.batches) == 12


async def test_a_bad_vector_fails_its_message_alone() -> None:
    good = received(made("a", "b"), name="good")
    bad = received(made("c", "bad"), name="bad")
    answered = await outcomes(stage(fake_ports(engines=Watched())), bad, good)
    [failed] = [outcome for outcome in answered if isinstance(outcome, Failed)]
    assert failed.input == bad
    assert failed.error.code == "engine.vectors"
    assert [outcome.input for outcome in answered if isinstance(outcome, Done)] == [good]


async def test_jobs_of_other_parameters_are_computed_apart() -> None:
    other = job_id("acme", "another")
    prefixed = FAKE.model_copy(update={"embedding_config": EmbeddingConfig(model="fake", passage_prefix="passage: ")})
    unheard = FAKE.model_copy(update={"embedding_config": EmbeddingConfig(model="unheard-of")})
    third = job_id("acme", "a third")
    ports = fake_ports(parameters={JOB: FAKE, other: prefixed, third: unheard})
    inputs = {
        JOB: received(made("a"), name="1"),
        other: received(made("a"), job=other, name="2"),
        third: received(made("a"), job=third, name="3"),
        UUID(int=0): received(made("a"), job=UUID(int=0), name="4"),
    }
    answered = {outcome.input.job: outcome for outcome in await outcomes(stage(ports), *inputs.values())}
    for job, text in ((JOB, "a"), (other, "passage: a")):
        done = answered[job]
        assert isinstance(done, Done)
        assert done.outputs[0].message.vectors.data == FakeEngine().embed([text]).tobytes()  # type: ignore[attr-defined]
    for job, code in ((third, "engine.unknown"), (UUID(int=0), "key.unknown")):
        failed = answered[job]
        assert isinstance(failed, Failed)
        assert failed.error.code == code


async def test_an_engine_that_is_busy_costs_no_message() -> None:
    class Crowded(Watched):
        """Has no room for a second batch."""

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if self.batches:
                raise Retryable("engine.busy", name="fake", what="GPU memory")
            return super().embed(texts)

    engine = Crowded()
    handle = stage(fake_ports(parameters=SMALL, engines=engine))
    inputs = [received(made(first, second), name=first) for first, second in (("aa", "ab"), ("ba", "bb"))]
    answered = []
    with pytest.raises(Retryable) as error:
        async for outcome in handle(inputs):
            answered.append(outcome)
    assert error.value.code == "engine.busy"
    assert [type(outcome) for outcome in answered] == [Done], "what was whole before travels on"
