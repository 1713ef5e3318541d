"""Versions are remembered once each, whatever crashes between a ciphertext and its record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from infra.archive import Archive
from infra.archive.memory import MemoryArchive
from operations.versions import (
    below,
    find_record,
    newest,
    next_version,
    read_tar,
    records,
    remember,
    size_of,
    tar_name,
)
from schemas.errors import Permanent
from schemas.versions import VersionRecord, read_version
from tests.remembered import ciphertext, make_record

FOLDER = "versions/acme/"


async def content(archive: Archive, record: VersionRecord) -> bytes:
    return b"".join([piece async for piece in read_tar(archive, record)])


@dataclass
class Crashing(MemoryArchive):
    """Dies at the names given, once each, before it stores anything."""

    dies_at: set[str]
    objects: dict[str, bytes] = field(default_factory=dict)

    async def add(self, name: str, data: AsyncIterator[bytes]) -> int:  # type: ignore[override]
        if name in self.dies_at:
            self.dies_at.remove(name)
            raise SystemExit("killed")
        return await super().add(name, data)


async def test_a_customer_begins_with_no_version() -> None:
    archive = MemoryArchive()
    assert await records(archive, "acme") == []
    assert await newest(archive, "acme") is None
    assert str(next_version([], update=False)) == "v1.0-init"
    with pytest.raises(ValueError, match="nothing to update"):
        next_version([], update=True)


async def test_versions_are_counted_by_number_and_not_by_letter() -> None:
    archive = MemoryArchive()
    names = ["v1.0-init", *(f"v1.{minor}-update" for minor in range(1, 12)), "v2.0-full"]
    for name in reversed(names):
        await remember(archive, make_record(name), None)
    await remember(archive, make_record(customer="acme-2"), None)
    found = await records(archive, "acme")
    assert [record.version for record in found] == names
    last = await newest(archive, "acme")
    assert last == found[-1]
    assert str(next_version(found, update=True)) == "v2.1-update"
    assert str(next_version(found, update=False)) == "v3.0-full"
    assert str(next_version(found[:-1], update=True)) == "v1.12-update"


async def test_what_is_remembered_is_read_and_says_what_lies_below(tmp_path: Path) -> None:
    archive = MemoryArchive()
    given = make_record()
    record = await remember(archive, given, ciphertext(tmp_path, b"sealed"))
    assert archive.objects.keys() == {f"{FOLDER}v1.0-init.oci.age", f"{FOLDER}v1.0-init.json"}
    assert await find_record(archive, "acme", read_version("v1.0")) == record
    assert await content(archive, record) == b"sealed"
    assert size_of(record) == len(b"sealed")
    assert size_of(given) == 100
    assert below(record) == below(given)
    assert below(record).config["os"] == "linux"


async def test_a_version_without_a_recipient_has_no_copy() -> None:
    archive = MemoryArchive()
    record = await remember(archive, make_record(), None)
    assert archive.objects.keys() == {f"{FOLDER}v1.0-init.json"}
    with pytest.raises(Permanent) as error:
        tar_name(record)
    assert error.value.code == "version.unarchived"
    with pytest.raises(Permanent) as error:
        await find_record(archive, "acme", read_version("v2.0"))
    assert error.value.code == "version.unknown"


async def test_a_crash_between_copy_and_record_blocks_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Encrypting again gives other bytes: the record names the copy that is the version's."""
    archive = Crashing({f"{FOLDER}v1.0-init.json"})
    record = make_record()
    with pytest.raises(SystemExit):
        await remember(archive, record, ciphertext(tmp_path, b"first try"))
    assert await records(archive, "acme") == []
    done = await remember(archive, record, ciphertext(tmp_path, b"second try"))
    assert tar_name(done) == f"{FOLDER}v1.0-init.2.oci.age"
    assert await content(archive, done) == b"second try"
    assert archive.objects[f"{FOLDER}v1.0-init.oci.age"] == b"first try"
    assert await records(archive, "acme") == [done]


async def test_another_job_is_not_blocked_by_what_a_crash_left(tmp_path: Path) -> None:
    archive = Crashing({f"{FOLDER}v1.0-init.json"})
    with pytest.raises(SystemExit):
        await remember(archive, make_record(), ciphertext(tmp_path, b"another job's"))
    done = await remember(archive, make_record(), ciphertext(tmp_path, b"ours"))
    assert await content(archive, done) == b"ours"


async def test_the_very_same_bytes_are_not_added_twice(tmp_path: Path) -> None:
    archive = Crashing({f"{FOLDER}v1.0-init.json"})
    record, tar = make_record(), ciphertext(tmp_path, b"sealed")
    with pytest.raises(SystemExit):
        await remember(archive, record, tar)
    assert tar_name(await remember(archive, record, tar)) == f"{FOLDER}v1.0-init.oci.age"


async def test_a_job_is_one_version_however_often_it_is_remembered(tmp_path: Path) -> None:
    archive = MemoryArchive()
    job = uuid4()
    first = await remember(archive, make_record(job=job), ciphertext(tmp_path, b"first"))
    before = dict(archive.objects)
    again = await remember(archive, make_record(job=job, documents=99), ciphertext(tmp_path, b"second"))
    assert again == first
    assert archive.objects == before


async def test_a_version_is_one_job(tmp_path: Path) -> None:
    archive = MemoryArchive()
    await remember(archive, make_record(), ciphertext(tmp_path, b"first"))
    before = dict(archive.objects)
    for other in (make_record(), make_record(job=uuid4(), generation=2)):
        with pytest.raises(Permanent) as error:
            await remember(archive, other, ciphertext(tmp_path, b"second"))
        assert error.value.code == "version.taken"
    assert archive.objects == before


async def test_of_two_packages_at_once_the_first_record_stands(tmp_path: Path) -> None:
    """The other's record arrives while ours is being written."""
    job = uuid4()

    class Overtaken(MemoryArchive):
        async def add(self, name: str, data: AsyncIterator[bytes]) -> int:  # type: ignore[override]
            if name.endswith(".json") and name not in self.objects:
                theirs = make_record(job=theirs_job).model_dump_json()
                self.objects[name] = theirs.encode()
            return await super().add(name, data)

    theirs_job = job
    archive = Overtaken()
    assert (await remember(archive, make_record(job=job, documents=9), ciphertext(tmp_path, b"x"))).documents == 3
    theirs_job = uuid4()
    with pytest.raises(Permanent) as error:
        await remember(Overtaken(), make_record(job=job), ciphertext(tmp_path, b"x"))
    assert error.value.code == "version.taken"


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", make_record("v2.0-full").model_dump_json().encode()])
async def test_a_record_that_is_none_is_damaged(damage: bytes) -> None:
    archive = MemoryArchive()
    archive.objects[f"{FOLDER}v1.0-init.json"] = damage
    with pytest.raises(Permanent) as error:
        await records(archive, "acme")
    assert error.value.code == "archive.damaged"


async def test_a_copy_that_changed_is_damaged(tmp_path: Path) -> None:
    archive = MemoryArchive()
    record = await remember(archive, make_record(), ciphertext(tmp_path, b"sealed"))
    archive.objects[tar_name(record)] = b"changed"
    with pytest.raises(Permanent) as error:
        await content(archive, record)
    assert error.value.code == "archive.damaged"


async def test_a_stranger_beside_the_records_is_not_read() -> None:
    archive = MemoryArchive()
    await remember(archive, make_record(), None)
    archive.objects[f"{FOLDER}notes.json"] = b"who was here"
    assert len(await records(archive, "acme")) == 1


@pytest.mark.parametrize("customer", ["..", "../acme", "", "A", "a/b"])
async def test_a_customer_that_is_none_is_refused(customer: str) -> None:
    for call in (records(MemoryArchive(), customer), newest(MemoryArchive(), customer)):
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "customer.id"
