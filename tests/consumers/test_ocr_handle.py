import asyncio
import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.ocr import core, stage
from consumers.runtime.contract import Done, Failed, Output, Ports, Received, Underway
from engines.extraction import PageImage
from engines.extraction.reading import Piece
from engines.library import EngineLibrary
from engines.vision import PageText, VisionEngine
from infra.ledger import Counted
from schemas import envelope
from schemas.errors import Permanent, Retryable
from schemas.ids import job_id
from schemas.messages import DocumentAdmitted, DocumentRecognised, Message
from schemas.pages import decode_pages
from schemas.parameters import InstallationParameters, VisionConfig
from tests.consumers.scans import BLANK, Drawing, Scan, Watched, picture, raw, text_of
from tests.fakes import FAKE, JOB, NOW, DictStore, document, fake_ports, outcomes, received

PNG = "image/png"


def reading(**fields: Any) -> InstallationParameters:
    return FAKE.model_copy(update={"vision_config": VisionConfig(**{"engine": "fake", "dpi": 144, **fields})})


class Library(EngineLibrary):
    """With one vision engine."""

    def __init__(self, engine: VisionEngine) -> None:
        super().__init__()
        self.engine = engine

    async def vision(self, config: VisionConfig) -> VisionEngine:
        return self.engine


class Bench:
    """The stage over scans that a test made."""

    def __init__(self, *scans: Scan, parameters: Any = None, engine: Watched | None = None) -> None:
        self.store = DictStore()
        self.parsers = Drawing(*scans)
        self.engine = engine or Watched()
        self.ports: Ports = fake_ports(
            staging=self.store,
            parsers=self.parsers,
            parameters=parameters or reading(),
            engines=Library(self.engine),
        )
        self.inputs = [self.admitted(number) for number in range(len(scans))]

    def admitted(self, number: int, job: Any = JOB) -> Received[Message]:
        """The document as `admit` would have left it."""
        name = f"jobs/{job}/raw/{number}"
        self.store.objects[name] = raw(number)
        message = DocumentAdmitted(document=document(f"scan {number}.png", PNG), object=name)
        return received(message, job=job, name=str(number))

    async def run(self, *inputs: Received[Message]) -> dict[Received[Message], Any]:
        return {one.input: one for one in await outcomes(stage(self.ports), *(inputs or self.inputs))}

    def batches(self) -> list[list[int]]:
        """The numbers of the pages that shared each."""
        return [[image.number for image in batch] for batch in self.engine.batches]


def message(done: Done) -> DocumentRecognised:
    [output] = done.outputs
    assert isinstance(output.message, DocumentRecognised)
    assert output == Output(output.message, document=output.message.document.id)
    return output.message


def pages(done: Done) -> list[tuple[int, str]]:
    return [(page.number, page.text) for page in message(done).pages]


# -- one document -----------------------------------------------------------------------------------------------------


async def test_a_mixed_document_comes_back_whole_and_only_its_pictures_were_recognised() -> None:
    own = [Piece("one", page=1), Piece("three", page=3)]
    bench = Bench(Scan([picture(2), picture(4)], own, title="Ein Vertrag"))
    [done] = (await bench.run()).values()
    assert pages(done) == [(1, "one"), (2, text_of(picture(2))), (3, "three"), (4, text_of(picture(4)))]
    assert (message(done).title, message(done).document) == ("Ein Vertrag", document("scan 0.png", PNG))
    assert (done.items, done.counts) == (4, {Counted.RECOGNISED: 2, Counted.DOUBTFUL: 0})
    assert bench.batches() == [[2, 4]]
    assert bench.parsers.asked == {(JOB, PNG, 144)}


async def test_doubtful_pages_are_marked_and_counted_and_none_is_dropped() -> None:
    bench = Bench(Scan([picture(1), picture(2, BLANK), picture(3)]), parameters=reading(min_confidence=0.95))
    [done] = (await bench.run()).values()
    assert [len(page.marks) for page in message(done).pages] == [1, 0, 1]
    assert done.counts == {Counted.RECOGNISED: 3, Counted.DOUBTFUL: 2}


async def test_pages_that_a_record_cannot_hold_go_by_staging(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Scan([picture(1), picture(2)], [Piece("w" * 1000, page=3)])
    [whole] = (await Bench(scan).run()).values()
    monkeypatch.setattr(core, "MAX_INLINE_BYTES", 1000)
    bench = Bench(scan)
    [done] = (await bench.run()).values()
    made = message(done)
    assert (made.pages, made.object) == ((), f"jobs/{JOB}/pages/{made.document.id}")
    assert decode_pages(bench.store.objects[made.object or ""]) == message(whole).pages


async def test_a_record_holds_what_does_not_go_by_staging() -> None:
    """The worst of its size: text that hardly shrinks, just below the limit."""
    chance = random.Random(1)
    size = core.MAX_INLINE_BYTES // 30 - 1
    own = [Piece("".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(size // 3)), page=n) for n in range(1, 31)]
    [done] = (await Bench(Scan([], own)).run()).values()
    assert message(done).object is None
    to = envelope.Address(JOB, DocumentRecognised.TYPE, "/test", JOB, NOW, str(JOB), "d")
    _, value = envelope.close(message(done), to, key=bytes(32), nonce=bytes(12))
    assert len(value) > core.MAX_INLINE_BYTES / 2


# -- several documents ------------------------------------------------------------------------------------------------


async def test_documents_share_engine_batches() -> None:
    scans = [Scan([picture(10)]), Scan([picture(20), picture(21), picture(22)]), Scan([picture(30)])]
    bench = Bench(*scans, parameters=reading(batch_size=2))
    answered = await bench.run()
    assert bench.batches() == [[10, 20], [21, 22], [30]]
    for scan, one in zip(scans, bench.inputs, strict=True):
        assert pages(answered[one]) == [(image.number, text_of(image)) for image in scan.pictures]


async def test_each_document_is_answered_with_the_batch_that_its_last_page_was_in() -> None:
    bench = Bench(
        Scan([picture(10), picture(11)]), Scan([picture(20)]), Scan([picture(30)]), parameters=reading(batch_size=2)
    )
    seen = []
    async for outcome in stage(bench.ports)(bench.inputs):
        if not isinstance(outcome, Underway):
            seen.append((outcome.input.id, len(bench.engine.batches)))
    assert seen == [(bench.inputs[0].id, 1), (bench.inputs[1].id, 2), (bench.inputs[2].id, 2)]


async def test_a_spoiled_document_fails_alone_and_its_neighbours_keep_their_pages() -> None:
    broken = Permanent("document.costly", limit="pixels")
    bench = Bench(
        Scan([picture(1)]), Scan([picture(1, 9)], error=broken), Scan([picture(1, BLANK)]), Scan([picture(1, 3)])
    )
    gone = received(DocumentAdmitted(document=document("gone"), object=f"jobs/{JOB}/raw/gone"), name="gone")
    answered = await bench.run(gone, *bench.inputs)
    codes = [one.error.code if isinstance(one, Failed) else "" for one in (answered[i] for i in (*bench.inputs, gone))]
    assert codes == ["", "document.costly", "document.no-text", "", "staging.missing"]
    assert pages(answered[bench.inputs[3]]) == [(1, text_of(picture(1, 3)))]


async def test_a_document_of_too_many_pictures_is_refused_before_more_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core, "MAX_PICTURES", 3)
    pictures = [picture(number) for number in range(1, 9)]
    bench = Bench(Scan(pictures[:3]), Scan(pictures))
    fitting, long = bench.inputs
    answered = await bench.run()
    assert isinstance(answered[fitting], Done)
    assert answered[long].error.code == "document.costly"
    assert len(bench.parsers.drawn) == 3 + 4


async def test_jobs_of_other_parameters_are_read_apart() -> None:
    other, third, unknown = (job_id("acme", name) for name in ("other", "third", "unknown"))
    parameters = {JOB: reading(), other: reading(dpi=300), third: reading(engine="none")}
    bench = Bench(Scan([picture(1)]), parameters=parameters)
    inputs = {job: bench.admitted(0, job) for job in (JOB, other, third, unknown)}
    answered = {one.input.job: one for one in (await bench.run(*inputs.values())).values()}
    assert bench.batches() == [[1], [1]]
    assert bench.parsers.asked == {(JOB, PNG, 144), (other, PNG, 300)}
    assert [answered[job].error.code for job in (third, unknown)] == ["document.needs-ocr", "key.unknown"]


async def test_an_engine_that_cannot_be_had_fails_its_documents_before_any_is_drawn() -> None:
    bench = Bench(Scan([picture(1)]), Scan([picture(2)]), parameters=reading(engine="unheard-of"))
    ports = fake_ports(staging=bench.store, parsers=bench.parsers, parameters=reading(engine="unheard-of"))
    answered = await outcomes(stage(ports), *bench.inputs)
    assert [one.error.code for one in answered if isinstance(one, Failed)] == ["engine.unknown"] * 2
    assert bench.parsers.drawn == []


# -- memory and time --------------------------------------------------------------------------------------------------


class Gated(Watched):
    """An engine that works on a batch until it is told to stop, and then notes how many pages were drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        self.entered.set()
        assert self.go_on.wait(20)
        return super().recognise(pages)


async def test_the_next_batch_is_drawn_while_the_engine_works_and_no_more_than_that() -> None:
    engine = Gated()
    scan = Scan([picture(number) for number in range(1, 41)])
    bench = Bench(scan, parameters=reading(batch_size=4), engine=engine)
    running = asyncio.ensure_future(bench.run())
    async with asyncio.timeout(20):
        while not engine.entered.is_set() or len(bench.parsers.drawn) < 9:
            await asyncio.sleep(0.001)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(bench.parsers.drawn) == 9, "two batches, and the page that found no room"
        engine.go_on.set()
        [done] = (await running).values()
    assert len(pages(done)) == 40
    assert bench.parsers.open == 0


async def test_a_long_document_shows_progress_batch_by_batch() -> None:
    bench = Bench(Scan([picture(number) for number in range(1, 11)]), parameters=reading(batch_size=2))
    answers = [type(one) async for one in stage(bench.ports)(bench.inputs)]
    assert answers == [Underway] * 5 + [Done]


async def test_an_engine_that_is_busy_costs_no_document_and_leaves_no_parser_open() -> None:
    class Crowded(Watched):
        """Has no room for a second batch."""

        def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
            if self.batches:
                raise Retryable("engine.busy", name="fake", what="GPU memory")
            return super().recognise(pages)

    scans = [Scan([picture(1), picture(2)]), Scan([picture(number) for number in range(1, 10)])]
    bench = Bench(*scans, parameters=reading(batch_size=2), engine=Crowded())
    answered = []
    with pytest.raises(Retryable) as error:
        async for outcome in stage(bench.ports)(bench.inputs):
            answered.append(type(outcome))
    assert error.value.code == "engine.busy"
    assert answered == [Underway, Done], "what was whole before travels on"
    assert bench.parsers.open == 0


async def test_closing_the_stage_ends_the_drawing() -> None:
    bench = Bench(Scan([picture(number) for number in range(1, 10)]), parameters=reading(batch_size=2))
    answers = stage(bench.ports)(bench.inputs)
    assert isinstance(await anext(answers), Underway)
    assert bench.parsers.open == 1
    await answers.aclose()  # type: ignore[attr-defined]
    assert bench.parsers.open == 0


async def test_the_engine_runs_off_the_event_loop_one_batch_at_a_time() -> None:
    class Threads(Watched):
        def __init__(self) -> None:
            super().__init__()
            self.busy = self.most_busy = 0
            self.threads: set[threading.Thread] = set()

        def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
            self.threads.add(threading.current_thread())
            made = super().recognise(pages)
            self.busy -= 1
            return made

    engine = Threads()
    bench = Bench(*(Scan([picture(n)]) for n in range(1, 9)), parameters=reading(batch_size=1), engine=engine)
    handle = stage(bench.ports)
    await asyncio.gather(*(outcomes(handle, one) for one in bench.inputs))
    assert threading.current_thread() not in engine.threads
    assert (engine.most_busy, len(engine.batches)) == (1, 8)
