import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.broker import OutgoingRecord
from infra.sources import Entry
from infra.sources.files import FileSource
from producers import Sealed
from schemas import envelope
from schemas.errors import Permanent, Retryable
from schemas.ids import document_id, job_id
from schemas.messages import DocumentsSubmitted, Manifest
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.entrance import Entrance, paths_of
from tests.remembered import remember_version


async def messages(entrance: Entrance) -> list[DocumentsSubmitted]:
    return [(await entrance.submitted(record))[1] for record in entrance.broker.records]


def ids(records: list[OutgoingRecord]) -> list[str]:
    return [str(envelope.address(record.headers).id) for record in records]


async def test_a_document_is_sealed_submitted_and_counted(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        job = await producer.open("acme", "a reference")
        document = await producer.add("a folder/lease.txt", b"the rent is due")
        submitted = await producer.close()
    assert job == job_id("acme", "a reference")
    sha256 = hashlib.sha256(b"the rent is due").hexdigest()
    assert document == document_id(await entrance.jobs.key(job), "a folder/lease.txt", sha256)
    message, closing = await messages(entrance)
    (reference,) = message.documents
    assert (reference.path, reference.sha256, reference.size) == ("a folder/lease.txt", sha256, 15)
    assert (message.manifest, closing.documents) == (None, ())
    assert closing.manifest is not None
    assert closing.manifest.documents == submitted.documents == 1
    assert await entrance.sealed.get(job, reference.uri.removeprefix("staged:")) == b"the rent is due"


async def test_nothing_readable_leaves_the_producer(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        await producer.open("acme", "a reference")
        await producer.add("canary-name.txt", b"canary-text" * 1000)
        await producer.close()
    records = entrance.broker.records
    assert {(record.topic, record.key) for record in records} == {("ingest", b"acme")}
    seen = [
        *(record.value for record in records),
        *(str(record.headers).encode() for record in records),
        *entrance.staging.objects.values(),
        *map(str.encode, entrance.staging.objects),
    ]
    assert not any(b"canary" in one for one in seen)


async def test_content_may_be_bytes_a_file_or_streams(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    entrance.write("a.txt", b"same")

    async def stream() -> AsyncIterator[bytes]:
        yield b"sa"
        yield b"me"

    async with entrance.producer() as producer:
        job = await producer.open("acme", "a reference")
        added = [await producer.add("a.txt", data) for data in (b"same", tmp_path / "a.txt", stream)]
        submitted = await producer.close()
    assert len(set(added)) == 1
    assert submitted.documents == 1  # one path and content is one document, however often it is added
    assert [await entrance.sealed.get(job, name) for name in entrance.staging.objects] == [b"same"]


async def test_paths_are_nfc_and_clean(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        await producer.open("acme", "a reference")
        await producer.add("U\u0308bersicht.txt", b"text")
        with pytest.raises(Permanent) as caught:
            await producer.add("../outside.txt", b"text")
        await producer.close()
    assert caught.value.code == "source.path"
    assert paths_of(await messages(entrance)) == ["\u00dcbersicht.txt"]


async def test_a_folder_is_submitted_in_batches_and_closed_by_an_event_of_its_own(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    for number in range(70):
        entrance.write(f"{number:02}.txt", f"text {number}")
    steps: list[Sealed] = []
    async with entrance.producer(progress=steps.append) as producer:
        submitted = await producer.ingest(str(tmp_path), "acme", "a reference")
    sent = await messages(entrance)
    assert [len(message.documents) for message in sent] == [64, 6, 0]
    assert [message.manifest and message.manifest.documents for message in sent] == [None, None, 70]
    assert paths_of(sent) == [f"{number:02}.txt" for number in range(70)]
    assert (submitted.documents, submitted.unreadable) == (70, ())
    assert [step.documents for step in steps] == list(range(1, 71))
    assert steps[-1].bytes == submitted.bytes == sum(len(f"text {number}") for number in range(70))


async def test_running_again_sends_the_same_messages(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    for number in range(70):
        entrance.write(f"{number:02}.txt", f"text {number}")
    for _ in range(2):
        async with entrance.producer() as producer:
            await producer.ingest(str(tmp_path), "acme", "a reference")
    first, again = ids(entrance.broker.records[:3]), ids(entrance.broker.records[3:])
    assert first == again
    assert len(set(first)) == 3
    assert len(entrance.staging.objects) == 70


async def test_a_producer_that_died_goes_on_and_a_changed_file_is_not_skipped(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    for number in range(130):
        entrance.write(f"{number:03}.txt", f"text {number}")

    class Dying:
        async def publish(self, records: list[OutgoingRecord]) -> None:
            if len(entrance.broker.records) == 1:
                raise ConnectionResetError
            await entrance.broker.publish(records)

    with pytest.raises(ConnectionResetError):
        async with entrance.producer(broker=Dying()) as producer:
            await producer.ingest(str(tmp_path), "acme", "a reference")
    entrance.write("100.txt", "changed")
    async with entrance.producer() as producer:
        await producer.ingest(str(tmp_path), "acme", "a reference")
    died, *again = ids(entrance.broker.records)
    assert again[0] == died
    assert len({*again}) == 4
    assert "100.txt" in paths_of((await messages(entrance))[1:])


async def test_what_a_broker_that_was_away_did_not_take_goes_with_the_next_call(tmp_path: Path) -> None:
    """Left out, it would be counted by the manifest and never come: the job would stay open."""
    entrance = await Entrance(tmp_path).with_customer()
    away = True

    class Away:
        async def publish(self, records: list[OutgoingRecord]) -> None:
            if away:
                raise Retryable("dependency.away", name="Kafka")
            await entrance.broker.publish(records)

    async with entrance.producer(broker=Away()) as producer:
        await producer.open("acme", "a reference")
        for number in range(64):
            await producer.add(f"{number:02}.txt", b"text")
        for _ in range(2):
            with pytest.raises(Retryable):
                await producer.add("64.txt", b"text")
        away = False
        await producer.add("65.txt", b"text")
        away = True
        with pytest.raises(Retryable):
            await producer.close()
        away = False
        await producer.close()
    sent = await messages(entrance)
    assert [len(message.documents) for message in sent] == [64, 2, 0]
    assert [message.manifest and message.manifest.documents for message in sent] == [None, None, 66]
    assert paths_of(sent) == [f"{number:02}.txt" for number in range(66)]


async def test_an_unreadable_file_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    for name in ("a.txt", "b.txt", "c.txt"):
        entrance.write(name, name)

    class Locked(FileSource):
        async def read(self, uri: str) -> AsyncIterator[bytes]:
            if uri.endswith("b.txt"):
                raise Permanent("source.unreadable")
            async for piece in super().read(uri):
                yield piece

    async with entrance.producer(source=lambda uri: Locked()) as producer:
        submitted = await producer.ingest(str(tmp_path), "acme", "a reference")
    assert submitted.unreadable == (("b.txt", "source.unreadable"),)
    assert submitted.documents == 2
    assert paths_of(await messages(entrance)) == ["a.txt", "c.txt"]


async def test_a_dependency_that_is_away_ends_the_ingest(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    entrance.write("a.txt", "text")

    class Away(FileSource):
        async def read(self, uri: str) -> AsyncIterator[bytes]:
            raise Retryable("dependency.away", name="source")
            yield b""

    with pytest.raises(Retryable):
        async with entrance.producer(source=lambda uri: Away()) as producer:
            await producer.ingest(str(tmp_path), "acme", "a reference")
    assert entrance.broker.records == []


async def test_a_file_that_changes_between_hashing_and_sealing_is_not_stored(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()

    async def changing() -> AsyncIterator[bytes]:
        yield os.urandom(16)

    async with entrance.producer() as producer:
        await producer.open("acme", "a reference")
        with pytest.raises(Permanent) as caught:
            await producer.add("a.txt", changing)
    assert caught.value.code == "source.changed"
    assert not entrance.staging.objects


async def test_leaving_without_close_submits_and_leaves_the_job_open(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        await producer.open("acme", "a reference")
        await producer.add("a.txt", b"text")
    (message,) = await messages(entrance)
    assert (paths_of([message]), message.manifest) == (["a.txt"], None)


async def test_an_exception_submits_nothing_more(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    with pytest.raises(ZeroDivisionError):
        async with entrance.producer() as producer:
            await producer.open("acme", "a reference")
            await producer.add("a.txt", b"text")
            raise ZeroDivisionError
    assert entrance.broker.records == []


async def test_a_source_that_is_not_there_says_so(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    with pytest.raises(Permanent) as caught:
        async with entrance.producer() as producer:
            await producer.ingest(str(tmp_path / "nothing"), "acme")
    assert caught.value.code == "source.missing"


async def test_a_reference_made_for_the_caller_holds_no_path(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    entrance.write("canary.txt", "text")
    async with entrance.producer() as producer:
        submitted = await producer.ingest(str(tmp_path / "canary.txt"), "acme")
    assert submitted.reference == "ingest-20260102T030405.000000Z"


async def test_the_order_of_a_walk_decides_the_batches_not_the_order_of_reading(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    for number in range(20):
        entrance.write(f"{number:02}.txt", "x" * (20 - number))

    class Backwards(FileSource):
        async def walk(self, root: str) -> AsyncIterator[Entry]:
            for entry in reversed([entry async for entry in super().walk(root)]):
                yield entry

    async with entrance.producer(source=lambda uri: Backwards()) as producer:
        await producer.ingest(str(tmp_path), "acme", "a reference")
    assert paths_of(await messages(entrance)) == [f"{number:02}.txt" for number in reversed(range(20))]


# -- updates ----------------------------------------------------------------------------------------------------------


async def test_an_update_says_so_in_every_event_and_counts_what_it_removes(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path / "source").with_customer()
    await remember_version(entrance)
    entrance.write("new.txt", "text")
    removed = [f"old/{number}.txt" for number in range(1500)]
    async with entrance.producer() as producer:
        submitted = await producer.ingest(
            str(tmp_path / "source"), "acme", "spring", update=True, removed=[*removed, "gone/", "old/3.txt"]
        )
    assert (submitted.documents, submitted.removed, submitted.extends) == (1, 1501, "v1.0-init")
    sent = await messages(entrance)
    assert all(message.update for message in sent)
    assert [path for message in sent for path in message.removed] == [*removed, "gone/"]
    assert sent[-1].manifest == Manifest(documents=1, removed=1501)
    async with entrance.producer() as producer:  # a command that died is run again
        await producer.ingest(str(tmp_path / "source"), "acme", "spring", update=True, removed=[*removed, "gone/"])
    assert ids(entrance.broker.records[: len(sent)]) == ids(entrance.broker.records[len(sent) :])
    told = b"".join(record.value + str(record.headers).encode() for record in entrance.broker.records)
    assert b"old/" not in told


async def test_an_update_may_only_remove(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await remember_version(entrance)
    async with entrance.producer() as producer:
        submitted = await producer.ingest(None, "acme", update=True, removed=["a.txt"])
    assert (submitted.documents, submitted.removed) == (0, 1)
    removal, closing = await messages(entrance)
    assert (removal.removed, closing.manifest) == (("a.txt",), Manifest(documents=0, removed=1))


@pytest.mark.parametrize("path", ["../a.txt", "/a.txt", "", "/", "a//", "a/../b"])
async def test_only_clean_paths_are_removed_and_no_job_is_opened_for_others(tmp_path: Path, path: str) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await remember_version(entrance)
    async with entrance.producer() as producer:
        with pytest.raises(Permanent) as caught:
            await producer.ingest(None, "acme", update=True, removed=[path])
    assert caught.value.code == "source.path"
    assert await entrance.ledger.jobs() == []


async def test_a_full_job_may_pin_an_older_version_of_the_parameters(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    other = EmbeddingConfig(model="fake", normalize=False)
    await entrance.store.add_version(InstallationParameters(customer_id="acme", embedding_config=other))
    async with entrance.producer() as producer:
        job = await producer.open("acme", "spring", parameters=1)
    assert (await entrance.ledger.job(job)).parameters == 1
    async with entrance.producer() as producer:
        with pytest.raises(Permanent) as caught:
            await producer.open("acme", "spring", parameters=2)
        assert caught.value.code == "job.parameters"
        await producer.open("acme", "spring")
