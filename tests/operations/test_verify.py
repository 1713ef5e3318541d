"""Proof that can fail: whatever is changed in a job's results is named by stage, document and chunk."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from builders.image import data_layers
from builders.oci.read import open_image
from builders.parts import KIND, decode_part, encode_part
from infra.ledger import Counted
from infra.paths import CustomerPaths
from operations.erasure import erase
from operations.replay import Request, carry_out, plan
from operations.verify import Verified, verify
from operations.verify.places import MARKED_SINCE, _image_leaves
from schemas.errors import CradleError
from schemas.messages import EmbeddingsMade
from schemas.parameters import ChunkingConfig, EmbeddingConfig, VisionConfig
from tests.consumers.scans import OWN, sketch
from tests.entrance import NOW
from tests.operations.workshop import SOURCES, Workshop

LONG: dict[str, bytes | str] = {
    **SOURCES,
    "long.txt": "\n\n".join(f"Sentence {number} is here alone." for number in range(400)),
}


@pytest.fixture
async def workshop(tmp_path: Path) -> Workshop:
    workshop = await Workshop.open(tmp_path)
    await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=0))
    return workshop


async def child_of(workshop: Workshop, job: UUID, request: Request) -> UUID:
    [found], _ = await plan(request, workshop.replay_ports)
    done = await carry_out(found, workshop.replay_ports)
    await workshop.run()
    await workshop.baked(done.job)
    return done.job


async def change_part(
    workshop: Workshop, job: UUID, path: str, number: int, change: Callable[[EmbeddingsMade], EmbeddingsMade]
) -> EmbeddingsMade:
    """Seals a document's part anew, changed. Returns it as it was."""
    sealed, document = workshop.entrance.sealed, await workshop.id_of(job, path)
    name = [name async for name in sealed.list(job, KIND, f"{document}/")][number]
    part = decode_part(await sealed.get(job, name))
    await sealed.put(job, KIND, name.split("/", 3)[3], encode_part(change(part)))
    return part


def flip(part: EmbeddingsMade, chunk: int) -> EmbeddingsMade:
    """One bit of one byte of that chunk's vector."""
    vectors = part.vectors
    place = chunk * vectors.shape[1] * 4
    data = bytearray(vectors.data)
    data[place] ^= 1
    return part.model_copy(update={"vectors": vectors.model_copy(update={"data": bytes(data)})})


def edit(part: EmbeddingsMade) -> EmbeddingsMade:
    """One letter of the text."""
    text = part.chunks.text.replace("writing", "wriTing")
    return part.model_copy(update={"chunks": part.chunks.model_copy(update={"text": text})})


def place_of(verified: Verified) -> tuple[str, str, int | None]:
    assert not verified.holds
    assert verified.difference is not None
    return verified.difference.stage, verified.difference.document, verified.difference.ordinal


# -- what holds -------------------------------------------------------------------------------------------------------


async def test_recognised_pages_and_their_marks_are_proven_too(workshop: Workshop) -> None:
    await workshop.add_parameters(vision_config=VisionConfig(engine="fake", min_confidence=1.0))
    job = await workshop.finish({**SOURCES, "scan.png": sketch(1, OWN, 2)})
    verified = await verify(job, workshop.verify_ports)
    assert verified.holds
    view = await workshop.baked(job)
    assert (view.counts[Counted.RECOGNISED], view.counts[Counted.DOUBTFUL]) == (2, 2)


async def test_parts_and_image_prove_the_ledgers_roots(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    verified = await verify(job, workshop.verify_ports)
    assert verified.holds
    assert [proof.place.name for proof in verified.proofs] == ["parts", "image"]
    merkle = (await workshop.baked(job)).merkle
    assert [proof.roots for proof in verified.proofs] == [merkle, merkle]
    assert verified.report()["holds"] is True


async def test_without_the_key_the_image_proves_them_and_without_the_image_the_parts(workshop: Workshop) -> None:
    kept, erased = await workshop.finish(reference="1"), await workshop.finish(reference="2")
    entrance = workshop.entrance
    await erase(erased, ledger=entrance.ledger, keys=entrance.keys, staging=entrance.staging, clock=lambda: NOW)
    shutil.rmtree(CustomerPaths(workshop.home, "acme").image(kept, 1))
    for job, place in ((kept, "parts"), (erased, "image")):
        verified = await verify(job, workshop.verify_ports)
        assert (verified.holds, [proof.place.name for proof in verified.proofs]) == (True, [place])
    shutil.rmtree(workshop.home)
    with pytest.raises(CradleError) as caught:
        await verify(erased, workshop.verify_ports)
    assert caught.value.code == "verify.nothing"


async def test_an_image_of_the_format_before_marks_is_still_read() -> None:
    with closing(sqlite3.connect(":memory:")) as before, closing(sqlite3.connect(":memory:")) as now:
        for connection, version, more in ((before, 2, ""), (now, MARKED_SINCE, ", marks")):
            connection.execute("CREATE TABLE documents (document, path, sha256, media_type, size, text)")
            connection.execute(
                f"CREATE TABLE chunks (chunk, document, ordinal, start, 'end', page, headings, tokens{more})"
            )
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("INSERT INTO documents VALUES (0, 'a.txt', ?, 'text/plain', 4, 'Text')", ("a" * 64,))
        before.execute("INSERT INTO chunks VALUES (0, 0, 0, 0, 4, NULL, '[]', 1)")
        now.execute("INSERT INTO chunks VALUES (0, 0, 0, 0, 4, NULL, '[]', 1, '[]')")
        vectors = np.ones((1, 2), np.float32)
        assert list(_image_leaves(before, vectors)) == list(_image_leaves(now, vectors)) != []


async def test_a_replay_agrees_with_its_parent(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    child = await child_of(workshop, job, Request("chunked", job=job, documents=("long.txt",)))
    verified = await verify(child, workshop.verify_ports, against=job)
    assert (verified.holds, verified.same_fingerprint, verified.comparison) == (True, True, None)
    assert len(verified.proofs) == 4


async def test_a_job_without_an_image_proves_nothing(workshop: Workshop) -> None:
    job = await workshop.submit()
    with pytest.raises(CradleError) as caught:
        await verify(job, workshop.verify_ports)
    assert caught.value.code == "verify.unbaked"


# -- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_image", [True, False])
async def test_one_flipped_bit_of_a_vector_is_named(workshop: Workshop, with_image: bool) -> None:
    job = await workshop.finish(LONG)
    child = await child_of(workshop, job, Request("bake-ready", job=job))
    part = await change_part(workshop, child, "long.txt", 1, lambda part: flip(part, 2))
    ordinal = part.chunks.chunks[2].ordinal
    assert ordinal > 2
    if with_image:
        verified = await verify(child, workshop.verify_ports)
    else:
        shutil.rmtree(CustomerPaths(workshop.home, "acme").image(child, 1))
        assert not (await verify(child, workshop.verify_ports)).holds
        verified = await verify(child, workshop.verify_ports, against=job)
    assert place_of(verified) == ("embed", "long.txt", ordinal)
    assert verified.proofs[0].wrong == ["embed"]


async def test_one_changed_letter_is_named(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    part = await change_part(workshop, job, "a/lease.txt", 0, edit)
    [ordinal] = [chunk.ordinal for chunk in part.chunks.chunks if "writing" in part.chunks.text_of(chunk)]
    assert place_of(await verify(job, workshop.verify_ports)) == ("chunk", "a/lease.txt", ordinal)


async def test_the_first_stage_is_named_though_a_later_one_differs_sooner(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    await change_part(workshop, job, "a/lease.txt", 0, lambda part: flip(part, 0))
    await change_part(workshop, job, "long.txt", 0, _without_headings)
    assert place_of(await verify(job, workshop.verify_ports)) == ("chunk", "long.txt", 0)


async def test_a_document_that_is_gone_is_named(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    document = await workshop.id_of(job, "b/Prüfung.md")
    await workshop.entrance.staging.delete(f"jobs/{job}/{KIND}/{document}/")
    verified = await verify(job, workshop.verify_ports)
    assert place_of(verified) == ("admit", "b/Prüfung.md", None)
    assert verified.proofs[0].wrong == ["admit", "chunk", "embed"]


async def test_a_part_that_is_gone_is_named_by_its_first_chunk(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    document = await workshop.id_of(job, "long.txt")
    names = [name async for name in workshop.entrance.sealed.list(job, KIND, f"{document}/")]
    del workshop.entrance.staging.objects[names[1]]
    first = int(names[1].rpartition("/")[2])
    assert place_of(await verify(job, workshop.verify_ports)) == ("chunk", "long.txt", first)


@pytest.mark.parametrize("with_image", [True, False])
async def test_a_part_that_does_not_open_is_named(workshop: Workshop, with_image: bool) -> None:
    job = await workshop.finish(LONG)
    document = await workshop.id_of(job, "long.txt")
    names = [name async for name in workshop.entrance.sealed.list(job, KIND, f"{document}/")]
    objects = workshop.entrance.staging.objects
    objects[names[2]] = objects[names[2]][:-1] + bytes([objects[names[2]][-1] ^ 1])
    if not with_image:
        shutil.rmtree(workshop.home)
    verified = await verify(job, workshop.verify_ports)
    assert place_of(verified) == ("chunk", "long.txt", int(names[2].rpartition("/")[2]))
    assert [problem.code for problem in verified.proofs[0].problems] == ["staging.tampered"]


async def test_one_flipped_bit_in_the_image_is_named(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    view = await workshop.baked(job)
    assert view.chunks is not None
    layout = CustomerPaths(workshop.home, "acme").image(job, 1)
    vectors = data_layers(open_image(layout))[0][1]
    vectors.path.chmod(0o644)
    with vectors.path.open("r+b") as file:
        file.seek(vectors.offset + vectors.size - 1)
        last = file.read(1)[0]
        file.seek(vectors.offset + vectors.size - 1)
        file.write(bytes([last ^ 1]))
    verified = await verify(job, workshop.verify_ports)
    stage, document, ordinal = place_of(verified)
    assert (stage, document) == ("embed", "long.txt")
    assert ordinal is not None and ordinal > 10
    assert [proof.holds for proof in verified.proofs] == [True, False]
    assert "image.broken" in [problem.code for problem in verified.proofs[1].problems]


async def test_two_jobs_that_should_agree_and_do_not(workshop: Workshop) -> None:
    job = await workshop.finish(LONG, "one")
    other = await workshop.finish({**LONG, "a/lease.txt": "The rent is due on the second."}, "two")
    verified = await verify(job, workshop.verify_ports, against=other)
    assert all(proof.holds for proof in verified.proofs)
    assert place_of(verified) == ("admit", "a/lease.txt", None)


# -- other parameters -------------------------------------------------------------------------------------------------


async def test_with_other_chunking_it_tells_how_many_chunks_changed(workshop: Workshop) -> None:
    job = await workshop.finish(LONG)
    version = await workshop.add_parameters(chunking_config=ChunkingConfig(max_tokens=32, overlap_tokens=0))
    child = await child_of(workshop, job, Request("chunk-ready", job=job, parameters=version))
    verified = await verify(child, workshop.verify_ports, against=job)
    assert (verified.holds, verified.same_fingerprint, verified.difference) == (True, False, None)
    assert verified.comparison is not None
    chunks, before, after = verified.comparison.chunks, await workshop.baked(job), await workshop.baked(child)
    assert chunks.same + chunks.changed + chunks.added == after.chunks
    assert chunks.same + chunks.changed + chunks.gone == before.chunks
    assert chunks.changed > 0 and chunks.gone > 0
    assert verified.comparison.vectors.changed == 0


async def test_with_another_embedding_the_chunks_stay_and_every_vector_changes(workshop: Workshop) -> None:
    job = await workshop.finish()
    version = await workshop.add_parameters(
        embedding_config=EmbeddingConfig(model="fake", normalize=False),
        chunking_config=ChunkingConfig(max_tokens=16, overlap_tokens=0),
    )
    child = await child_of(workshop, job, Request("chunked", job=job, parameters=version))
    comparison = (await verify(child, workshop.verify_ports, against=job)).comparison
    assert comparison is not None
    count = (await workshop.baked(job)).chunks
    assert (comparison.chunks.same, comparison.chunks.changed, comparison.chunks.added) == (count, 0, 0)
    assert comparison.vectors.same + comparison.vectors.changed == count


async def test_documents_of_one_path_stand_in_the_same_order_everywhere(workshop: Workshop) -> None:
    async with workshop.entrance.producer(broker=workshop.broker, jobs=workshop.jobs) as producer:
        job = await producer.open("acme", "twins")
        for text in (b"One of two.", b"The other one.", b"A third."):
            await producer.add("same.txt", text)
        await producer.close()
    await workshop.run()
    await workshop.baked(job)
    assert (await verify(job, workshop.verify_ports)).holds


def _without_headings(part: EmbeddingsMade) -> EmbeddingsMade:
    first, *rest = part.chunks.chunks
    chunks = (first.model_copy(update={"headings": ("another",)}), *rest)
    return part.model_copy(update={"chunks": part.chunks.model_copy(update={"chunks": chunks})})
