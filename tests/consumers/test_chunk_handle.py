import hashlib
import time

from consumers.chunk import stage
from consumers.runtime.contract import Done, Failed, Output
from engines.extraction import probe
from engines.tokenizer.fake import FakeTokenizer
from schemas.messages import ChunksMade, DocumentAdmitted
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
