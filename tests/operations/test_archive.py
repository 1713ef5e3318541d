"""`archive verify` finds whatever is not as it was archived, and nothing else."""

from pathlib import Path

import pytest

from infra.archive.memory import MemoryArchive
from operations.archive import Problem, inspect_archive
from operations.versions import remember
from schemas.errors import Permanent
from tests.operations.test_versions import FOLDER
from tests.remembered import ciphertext, make_record


@pytest.fixture
async def archive(tmp_path: Path) -> MemoryArchive:
    """Three versions of acme, of which the second has no copy, and one of another customer."""
    archive = MemoryArchive()
    await remember(archive, make_record("v1.0-init"), ciphertext(tmp_path, b"first"))
    await remember(archive, make_record("v1.1-update", extends="v1.0-init"), None)
    await remember(archive, make_record("v2.0-full"), ciphertext(tmp_path, b"third"))
    await remember(archive, make_record(customer="other"), ciphertext(tmp_path, b"another's"))
    return archive


async def test_a_whole_archive_has_no_problem(archive: MemoryArchive) -> None:
    everything = await inspect_archive(archive)
    assert (everything.versions, everything.copies, everything.size) == (4, 3, 19)
    assert (everything.problems, everything.left_over) == ([], [])
    ours = await inspect_archive(archive, "acme", packaged=[("acme", "v2.0-full")])
    assert (ours.versions, ours.copies, ours.size, ours.problems) == (3, 2, 10, [])
    assert (await inspect_archive(archive, "nobody")).versions == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v1.0-init.oci.age", b"firsT"),
        ("v1.0-init.oci.age", b"first "),
        ("v2.0-full.oci.age", b""),
        ("v1.1-update.json", b"{}"),
        ("v2.0-full.json", make_record("v1.0-init").model_dump_json().encode()),
    ],
)
async def test_what_is_not_what_was_archived_is_damaged(archive: MemoryArchive, name: str, content: bytes) -> None:
    archive.objects[FOLDER + name] = content
    assert Problem(FOLDER + name, "damaged") in (await inspect_archive(archive, "acme")).problems
    assert (await inspect_archive(archive, "other")).problems == []


@pytest.mark.parametrize("name", ["v1.0-init.oci.age", "v1.0-init.json", "v1.1-update.json", "v2.0-full.oci.age"])
async def test_what_later_versions_or_records_speak_of_is_missed(archive: MemoryArchive, name: str) -> None:
    if name == "v1.1-update.json":
        await remember(archive, make_record("v1.2-update", extends="v1.1-update"), None)
    del archive.objects[FOLDER + name]
    assert (await inspect_archive(archive)).problems == [Problem(FOLDER + name, "missing")]


async def test_the_newest_version_is_missed_where_the_ledger_knows_of_it(archive: MemoryArchive) -> None:
    del archive.objects[f"{FOLDER}v2.0-full.json"]
    assert (await inspect_archive(archive)).problems == []
    inspection = await inspect_archive(archive, packaged=[("acme", "v2.0-full"), ("acme", "v1.0-init")])
    assert inspection.problems == [Problem(f"{FOLDER}v2.0-full.json", "missing")]


@pytest.mark.parametrize("name", ["acme/notes.txt", "acme/v2.0-init.json", "notes", "acme/v1.0-init.oci.age.bak"])
async def test_what_nobody_put_there_through_the_port_is_stray(archive: MemoryArchive, name: str) -> None:
    archive.objects[f"versions/{name}"] = b"who was here"
    assert (await inspect_archive(archive)).problems == [Problem(f"versions/{name}", "stray")]


async def test_what_a_crash_left_is_told_and_no_problem(archive: MemoryArchive) -> None:
    archive.objects[f"{FOLDER}v2.0-full.2.oci.age"] = b"cut off"
    archive.objects[f"{FOLDER}v3.0-full.oci.age"] = b"cut off"
    inspection = await inspect_archive(archive)
    assert inspection.problems == []
    assert inspection.left_over == [f"{FOLDER}v2.0-full.2.oci.age", f"{FOLDER}v3.0-full.oci.age"]


async def test_a_customer_that_is_none_is_refused(archive: MemoryArchive) -> None:
    with pytest.raises(Permanent) as error:
        await inspect_archive(archive, "../acme")
    assert error.value.code == "customer.id"
