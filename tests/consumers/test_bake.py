import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.oci.read import open_image
from builders.parts import encode_part
from consumers.bake import stage
from consumers.runtime.contract import Done, Failed, Outcome
from infra.ledger import Counted, DocumentState
from infra.paths import CustomerPaths
from operations.search import open_library
from schemas.errors import Permanent, Retryable
from schemas.ids import document_id
from schemas.messages import EmbeddingsMade, JobCompleted
from tests.builders.corpus import Book, book, copy, library
from tests.consumers.baking import CUSTOMER, NOW, Bench, ErasedBench, outcomes, parts_of


async def bench_with(home: Path, books: Sequence[Book], sizes: Sequence[int] = (2,), overlap: int = 0) -> Bench:
    bench = Bench(home)
    for one in books:
        bench.admit(one.document)
        await bench.stage_parts(parts_of(one, sizes, overlap))
    return bench


async def bake(bench: Bench, generation: int = 1) -> Outcome:
    [outcome] = await outcomes(stage(bench.ports), JobCompleted(customer=CUSTOMER, generation=generation), job=bench.id)
    return outcome


async def baked_digest(bench: Bench) -> str:
    outcome = await bake(bench)
    assert isinstance(outcome, Done), outcome
    return bench.images[-1][1].digest


async def refused(bench: Bench) -> Permanent:
    outcome = await bake(bench)
    assert isinstance(outcome, Failed)
    assert not [path for path in bench.home.rglob("*") if path.is_file()]
    return outcome.error


async def test_a_job_becomes_its_image(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    outcome = await bake(bench)
    assert isinstance(outcome, Done)
    assert (outcome.items, outcome.outputs) == (7, ())
    [(generation, record)] = bench.images
    layout = CustomerPaths(tmp_path, CUSTOMER).image(bench.id, 1)
    image = open_image(layout)
    image.verify()
    assert (generation, record.digest, record.chunks) == (1, image.digest, 7)
    assert record.merkle["embed"] == image.manifest["annotations"]["cradle.merkle.embed"]
    assert (record.baked_at, record.retain_until) == (NOW, NOW + timedelta(hours=48))
    with open_library(layout) as data:
        assert data.about["fingerprint"] == "f" * 64
        assert data.about["parameters"]["embedding_config"] == {
            "model": "fake", "revision": None, "normalize": True, "query_prefix": "", "passage_prefix": "",
            "deterministic": True,
        }  # fmt: skip
        assert data.search("Urlaub", limit=1)[0].text == library()[0].texts[1]
    assert [path.name for path in layout.parent.iterdir()] == [layout.name]


@given(
    order=st.permutations(library()),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    overlap=st.integers(0, 9),
)
def test_neither_order_nor_parts_nor_ids_show(
    tmp_path_factory: pytest.TempPathFactory, order: list[Book], sizes: list[int], overlap: int
) -> None:
    """Another job has another key, so its documents have other ids and the ledger gives them in another order."""

    async def digest(books: Sequence[Book], sizes: Sequence[int], overlap: int, key: bytes) -> str:
        books = [_with_id(one, key) for one in books]
        return await baked_digest(await bench_with(tmp_path_factory.mktemp("home"), books, sizes, overlap))

    async def both() -> tuple[str, str]:
        return await digest(order, sizes, overlap, repr(order).encode()), await digest(library(), [100], 0, b"")

    one, other = asyncio.run(both())
    assert one == other


def _with_id(one: Book, key: bytes) -> Book:
    id_ = document_id(key, one.document.path, one.document.sha256)
    return Book(one.document.model_copy(update={"id": id_}), one.text, one.chunks, one.vectors)


async def test_two_documents_of_one_path_stand_by_their_hash(tmp_path: Path) -> None:
    twins = [book("same.txt", text) for text in ("one", "two", "three")]
    one = await baked_digest(await bench_with(tmp_path / "a", twins))
    other = await baked_digest(await bench_with(tmp_path / "b", [_with_id(twin, b"key") for twin in twins[::-1]]))
    assert one == other


TWICE = (copy("b.txt", "Dasselbe zweimal"), copy("a.txt", "Dasselbe zweimal"), copy("c.txt", "Dasselbe zweimal"))


@pytest.mark.parametrize("worked_on", [{0}, {1}, {2}, {0, 2}, {0, 1, 2}])
async def test_which_of_the_same_bytes_was_worked_on_does_not_show(tmp_path: Path, worked_on: set[int]) -> None:
    """Two of them may have been, after a race at the entrance."""
    bench = await bench_with(tmp_path, library())
    for number, one in enumerate(TWICE):
        if number in worked_on:
            bench.admit(one.document)
            await bench.stage_parts(parts_of(one))
        else:
            bench.admit(one.document, DocumentState.DUPLICATE, same_as=TWICE[min(worked_on)].document.id)
    digest = await baked_digest(bench)
    with open_library(CustomerPaths(tmp_path, CUSTOMER).image(bench.id, 1)) as data:
        [found] = data.search('"Dasselbe zweimal"')
        assert (found.document, found.also) == ("a.txt", ("b.txt", "c.txt"))
        assert (data.about["documents"], data.about["duplicates"], data.about["chunks"]) == (6, 2, 8)
    other = await bench_with(tmp_path / "other", [*library(), TWICE[1]])
    for one in (TWICE[0], TWICE[2]):
        other.admit(one.document, DocumentState.DUPLICATE, same_as=TWICE[1].document.id)
    assert await baked_digest(other) == digest


async def test_a_duplicate_of_none_is_not_baked(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    bench.admit(TWICE[0].document, DocumentState.DUPLICATE, same_as="f" * 32)
    assert (await refused(bench)).code == "job.incomplete"


@pytest.mark.parametrize("fold", [False, True])
async def test_near_repetitions_are_folded_where_the_parameters_say_so(tmp_path: Path, fold: bool) -> None:
    text = "Alle Angaben ohne Gewähr, denn Irrtum bleibt stets vorbehalten."
    bench = await bench_with(tmp_path, [book("a.txt", text), book("b.txt", f"Anderes\n{text.upper()}")])
    bench.fold = fold
    await baked_digest(bench)
    assert bench.images[-1][1].counts == ({Counted.FOLDED: 1} if fold else {})
    with open_library(CustomerPaths(tmp_path, CUSTOMER).image(bench.id, 1)) as data:
        assert len(data.search("Gewähr")) == (1 if fold else 2)
        assert data.about["folded"] == int(fold)


async def test_only_finished_documents_are_baked(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library()[:2])
    failed = library()[2]
    bench.admit(failed.document, DocumentState.FAILED)
    await bench.stage_parts(parts_of(failed))
    assert await baked_digest(bench) == await baked_digest(await bench_with(tmp_path / "other", library()[:2]))


async def test_baking_again_gives_the_same_image(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    assert await baked_digest(bench) == await baked_digest(bench)
    await bake(bench, generation=2)
    assert {record.digest for _, record in bench.images} == {bench.images[0][1].digest}
    assert len(list(CustomerPaths(tmp_path, CUSTOMER).images.iterdir())) == 2


async def test_another_day_gives_the_same_image(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    other = await bench_with(tmp_path / "other", library())
    other.now += timedelta(days=400)
    assert await baked_digest(other) == await baked_digest(bench)
    assert other.images[0][1].baked_at != bench.images[0][1].baked_at


async def test_two_bakes_at_once_agree(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    assert len(set(await asyncio.gather(*(baked_digest(bench) for _ in range(3))))) == 1
    assert len(list(CustomerPaths(tmp_path, CUSTOMER).images.iterdir())) == 1


def _without(parts: list[EmbeddingsMade], index: int) -> list[EmbeddingsMade]:
    return [part for i, part in enumerate(parts) if i != index]


LINES = book("lines.txt", "one\ntwo\nthree\nfour")


def _changed(part: EmbeddingsMade, **update: object) -> EmbeddingsMade:
    return part.model_copy(update={"chunks": part.chunks.model_copy(update=update)})


ONE_EACH = parts_of(LINES, [1])
NOT_WHOLE = {
    "no part at all": [],
    "the first is missing": _without(ONE_EACH, 0),
    "one between is missing": _without(ONE_EACH, 1),
    "the last is missing": _without(ONE_EACH, 3),
    "a gap in the text": [ONE_EACH[0], _changed(ONE_EACH[1], text_start=5), *ONE_EACH[2:]],
    "stretches that disagree": [
        ONE_EACH[0],
        _changed(ONE_EACH[1], text_start=2, text="XX" + ONE_EACH[1].chunks.text),
        *ONE_EACH[2:],
    ],
    "a chunk outside its text": [*ONE_EACH[:3], _changed(ONE_EACH[3], text="")],
    "another document's part": [*ONE_EACH[:3], _changed(ONE_EACH[3], document=library()[0].document)],
}


@pytest.mark.parametrize("parts", NOT_WHOLE.values(), ids=NOT_WHOLE.keys())
async def test_what_is_not_whole_is_not_baked(tmp_path: Path, parts: list[EmbeddingsMade]) -> None:
    bench = await bench_with(tmp_path, library())
    bench.admit(LINES.document)
    for i, part in enumerate(parts):
        name = f"{LINES.document.id}/{i:08d}"
        await bench.staging.put(bench.id, "parts", name, encode_part(part))
    assert (await refused(bench)).code == "job.incomplete"
    assert bench.failures == ["job.incomplete"]
    assert bench.images == []


async def test_a_part_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path, library())
    name = next(iter(bench.objects.objects))
    bench.objects.objects[name] = bench.objects.objects[name][:-1] + b"\0"
    assert (await refused(bench)).code == "staging.tampered"


async def test_an_erased_job_is_not_called_failed(tmp_path: Path) -> None:
    bench = ErasedBench(tmp_path)
    assert (await refused(bench)).code == "key.destroyed"
    assert bench.failures == []


async def test_a_base_that_is_away_is_waited_for(tmp_path: Path) -> None:
    bench = await bench_with(tmp_path / "home", library())
    bench.base_image = str(tmp_path / "no-base")
    with pytest.raises(Retryable) as caught:
        await bake(bench)
    assert caught.value.code == "dependency.away"
    assert bench.failures == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), apsw.FullError("full")], ids=["file", "database"])
async def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def full(*_: object) -> None:
        raise error

    bench = await bench_with(tmp_path, library())
    monkeypatch.setattr("builders.image.DataLayerWriter.add", full)
    with pytest.raises(Retryable) as caught:
        await bake(bench)
    assert caught.value.code == "dependency.away"
    assert bench.failures == []


@pytest.mark.parametrize("parts_before", [0, 3])
async def test_a_cancelled_bake_ends_and_leaves_nothing(tmp_path: Path, parts_before: int) -> None:
    bench = await bench_with(tmp_path, library(), sizes=[1])
    hanging = asyncio.Event()
    real_read, begun = bench.objects.read, []

    async def read(name: str) -> AsyncIterator[bytes]:
        begun.append(name)
        if len(begun) > parts_before:
            hanging.set()
            await asyncio.Event().wait()
        async for piece in real_read(name):
            yield piece

    bench.objects.read = read  # type: ignore[method-assign]
    task = asyncio.ensure_future(bake(bench))
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(CustomerPaths(tmp_path, CUSTOMER).images.glob("*"))
