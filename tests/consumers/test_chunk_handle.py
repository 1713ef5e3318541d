import hashlib
import time
from typing import Any

import pytest

from consumers.chunk import stage
from consumers.runtime.contract import Done, Failed, Output
from engines.extraction import probe
from engines.tokenizer.fake import FakeTokenizer
from infra.ledger import Counted
from schemas.errors import Permanent
from schemas.messages import ChunksMade, DocumentAdmitted, DocumentRecognised, RecognisedPage
from schemas.pages import decode_pages, encode_pages
from tests.fakes import FAKE, JOB, DictStore, document, fake_ports, outcomes, received

MARKDOWN = b"# Handbuch\n\n" + b"Ein Satz mit genau sechs W\xc3\xb6rtern. " * 30 + b"\n\n## Zweiter Teil\n\nEnde.\n"


def admitted(store: DictStore, name: str, data: bytes) -> DocumentAdmitted:
    """The document as `admit` would have left it."""
    staged = f"jobs/{JOB}/raw/{hashlib.sha256(data).hexdigest()}"
    store.objects[staged] = data
    return DocumentAdmitted(document=document(name, probe(data, name).media_type, size=len(data)), object=staged)


async def test_a_document_becomes_chunks_that_know_their_place() -> None:
    store = DictStore()
    given = received(admitted(store, "handbuch.md", MARKDOWN))
    [done] = await outcomes(stage(fake_ports(staging=store)), given)
    assert isinstance(done, Done)
    [output] = done.outputs
    message = output.message
    assert isinstance(message, ChunksMade)
    assert output == Output(message, document=message.document.id)
    assert done.items == len(message.chunks) > 3
    assert message.title == "Handbuch"
    assert message.language == "de"
    assert message.text_of(message.chunks[0]).startswith("Handbuch\n\nEin Satz")
    assert message.chunks[-1].headings[0] == "Handbuch"
    for chunk in message.chunks:
        assert chunk.tokens == FakeTokenizer().count(message.text_of(chunk)) <= FAKE.chunking_config.max_tokens


async def test_a_long_document_becomes_several_messages() -> None:
    store = DictStore()
    [done] = await outcomes(stage(fake_ports(staging=store)), received(admitted(store, "a.txt", MARKDOWN * 200)))
    assert isinstance(done, Done)
    assert len(done.outputs) > 5
    assert done.items == sum(len(output.message.chunks) for output in done.outputs)  # type: ignore[attr-defined]


async def test_one_bad_document_fails_alone() -> None:
    store = DictStore()
    good = received(admitted(store, "good.md", MARKDOWN), name="good")
    broken = received(admitted(store, "broken.pdf", b"%PDF-1.4 and then nothing"), name="broken")
    empty = received(admitted(store, "empty.txt", b" \n"), name="empty")
    gone = received(DocumentAdmitted(document=document("gone.txt"), object=f"jobs/{JOB}/raw/0"), name="gone")
    answered = await outcomes(stage(fake_ports(staging=store)), broken, good, empty, gone)
    codes = {outcome.input.id: outcome.error.code for outcome in answered if isinstance(outcome, Failed)}
    assert codes == {broken.id: "document.broken", empty.id: "document.no-text", gone.id: "staging.missing"}
    assert [outcome.input for outcome in answered if isinstance(outcome, Done)] == [good]


async def test_the_model_s_own_limit_holds_below_the_parameters() -> None:
    store = DictStore()
    chunking = FAKE.chunking_config.model_copy(update={"max_tokens": 8192, "overlap_tokens": 4096})
    ports = fake_ports(staging=store, parameters=FAKE.model_copy(update={"chunking_config": chunking}))
    [done] = await outcomes(stage(ports), received(admitted(store, "a.txt", b"wort " * 20_000)))
    assert isinstance(done, Done)
    limit = FakeTokenizer.max_tokens
    assert max(chunk.tokens for output in done.outputs for chunk in output.message.chunks) == limit  # type: ignore[attr-defined]


async def test_a_megabyte_of_nothing_in_between_costs_nothing() -> None:
    store = DictStore()
    data = b"Davor." + b" \n" * 1_000_000 + b"Danach."
    began = time.monotonic()
    [done] = await outcomes(stage(fake_ports(staging=store)), received(admitted(store, "a.txt", data)))
    assert time.monotonic() - began < 20
    assert isinstance(done, Done)
    [output] = done.outputs
    assert isinstance(output.message, ChunksMade)
    assert output.message.text == "Davor.\n\nDanach."


# -- a document that was recognised -----------------------------------------------------------------------------------


class NoParsers:
    """For a document whose pages are there already, none is asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def page(number: int, text: str, **fields: Any) -> RecognisedPage:
    return RecognisedPage.model_validate({"number": number, "text": text, **fields})


PAGES = (
    page(
        1, "Vertrag\n\n" + "Ein Satz mit genau sechs W\u00f6rtern. " * 12, headings=[{"level": 1, "start": 0, "end": 7}]
    ),
    page(2, "", confidence=0.0),
    page(3, "Unleserlich geschrieben.", confidence=0.3, marks=[{"kind": "doubtful", "start": 0, "end": 24}]),
    page(4, "Sichtbar. Unsichtbar.", marks=[{"kind": "hidden", "start": 10, "end": 21}]),
)


def recognised(**fields: Any) -> DocumentRecognised:
    return DocumentRecognised(document=document("scan.pdf", "application/pdf"), **{"pages": PAGES, **fields})


async def test_recognised_pages_become_chunks_and_no_parser_is_asked() -> None:
    given = received(recognised(title=" Ein\u00a0Vertrag ", date="2026-01-31"))
    [done] = await outcomes(stage(fake_ports(parsers=NoParsers())), given)
    assert isinstance(done, Done)
    [output] = done.outputs
    message = output.message
    assert isinstance(message, ChunksMade)
    assert (message.date, message.language, message.document) == (
        "2026-01-31",
        "de",
        document("scan.pdf", "application/pdf"),
    )
    assert [(one.number, one.confidence) for one in message.pages] == [(1, None), (2, 0.0), (3, 0.3), (4, None)]
    assert message.chunks[0].headings == ("Vertrag",)
    assert "Unleserlich" in message.text


async def test_chunks_tell_of_pages_read_with_little_confidence_and_of_hidden_text_and_only_the_latter_is_counted() -> (
    None
):
    small = FAKE.model_copy(update={"chunking_config": FAKE.chunking_config.model_copy(update={"max_tokens": 16})})
    ports = fake_ports(parsers=NoParsers(), parameters=small)
    heading = {"level": 1, "start": 0, "end": 3}  # each page a section: no chunk holds text of two
    pages = [page(**{**dict(one), "headings": [heading]}) for one in PAGES if one.text]
    [done] = await outcomes(stage(ports), received(recognised(pages=pages)))
    assert isinstance(done, Done)
    chunks = [(one.page, one.marks) for output in done.outputs for one in output.message.chunks]  # type: ignore[attr-defined]
    assert {marks for number, marks in chunks if number == 1} == {()}
    assert {marks for number, marks in chunks if number == 3} == {("doubtful",)}
    assert ("hidden",) in {marks for number, marks in chunks if number == 4}
    assert done.counts == {Counted.HIDDEN: sum("hidden" in marks for _, marks in chunks)}
    assert done.counts[Counted.HIDDEN] >= 1


async def test_pages_are_fetched_from_staging_where_the_record_could_not_hold_them() -> None:
    store = DictStore()
    name = f"jobs/{JOB}/pages/one"
    store.objects[name] = encode_pages(PAGES)
    inputs = [
        received(recognised(), name="inline"),
        received(recognised(pages=(), object=name), name="staged"),
        received(recognised(pages=(), object=f"jobs/{JOB}/pages/none"), name="gone"),
    ]
    by_name = {outcome.input.id: outcome for outcome in await outcomes(stage(fake_ports(staging=store)), *inputs)}
    inline, staged, gone = (by_name[one.id] for one in inputs)
    assert isinstance(inline, Done) and isinstance(staged, Done) and isinstance(gone, Failed)
    assert inline.outputs == staged.outputs
    assert gone.error.code == "staging.missing"


@pytest.mark.parametrize("damaged", [b"", b"no pages", encode_pages(PAGES)[:-3], encode_pages(())[::-1]])
async def test_a_damaged_object_is_no_pages(damaged: bytes) -> None:
    with pytest.raises(Permanent) as error:
        decode_pages(damaged)
    assert error.value.code == "staging.tampered"


async def test_a_sentence_goes_on_over_the_end_of_a_page() -> None:
    pages = (page(1, "Der Satz geht", runs_on=True), page(2, "hier weiter."), page(3, "Neu."))
    [done] = await outcomes(stage(fake_ports()), received(recognised(pages=pages)))
    assert isinstance(done, Done)
    assert done.outputs[0].message.text == "Der Satz geht hier weiter.\n\nNeu."  # type: ignore[attr-defined]


async def test_a_recognised_document_without_text_is_refused_here_too() -> None:
    [failed] = await outcomes(stage(fake_ports()), received(recognised(pages=(page(1, "  "),))))
    assert isinstance(failed, Failed)
    assert failed.error.code == "document.no-text"
