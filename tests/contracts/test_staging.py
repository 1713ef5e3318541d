"""One suite for every staging adapter: objects are whole or absent, listed in order, deleted by prefix."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.paths import file_url
from infra.s3 import PART_BYTES
from infra.staging import Staging, open_staging
from schemas.errors import CradleError, Permanent, Retryable

JOB = "jobs/3c8a0c52-5f0e-5d0a-9a5e-6a2b1f6d7e11"


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.s3)])
async def staging(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Staging]:
    urls = {"memory": "memory:", "file": file_url(tmp_path / "staging")}
    url = urls.get(request.param) or request.getfixturevalue("s3_url")
    async with open_staging(url) as opened:
        yield opened


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def read(staging: Staging, name: str) -> bytes:
    return b"".join([piece async for piece in staging.read(name)])


@pytest.mark.parametrize(
    "contents",
    [(), (b"",), (b"one",), (b"one", b"", b"two"), (b"x" * PART_BYTES,), (b"y" * (PART_BYTES - 1), b"zz", b"!" * 9)],
    ids=["nothing", "empty", "one", "three", "a part", "two parts"],
)
async def test_what_was_written_is_read(staging: Staging, contents: tuple[bytes, ...]) -> None:
    whole = b"".join(contents)
    assert await staging.write(f"{JOB}/raw/a", pieces(*contents)) == len(whole)
    assert await read(staging, f"{JOB}/raw/a") == whole
    assert await staging.exists(f"{JOB}/raw/a")


async def test_writing_again_replaces(staging: Staging) -> None:
    await staging.write(f"{JOB}/raw/a", pieces(b"a longer first"))
    await staging.write(f"{JOB}/raw/a", pieces(b"second"))
    assert await read(staging, f"{JOB}/raw/a") == b"second"


@pytest.mark.parametrize("size", [10, PART_BYTES + 1])
async def test_a_write_that_is_cut_off_leaves_what_was_there(staging: Staging, size: int) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise RuntimeError("the sender died")

    with pytest.raises(RuntimeError):
        await staging.write(f"{JOB}/raw/new", cut_off())
    await staging.write(f"{JOB}/raw/old", pieces(b"before"))
    with pytest.raises(RuntimeError):
        await staging.write(f"{JOB}/raw/old", cut_off())
    assert not await staging.exists(f"{JOB}/raw/new")
    assert await read(staging, f"{JOB}/raw/old") == b"before"
    assert [name async for name in staging.list("jobs/")] == [f"{JOB}/raw/old"]


@pytest.mark.parametrize("size", [10, PART_BYTES + 1])
async def test_a_write_that_is_cancelled_leaves_nothing(staging: Staging, size: int) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * size
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(staging.write(f"{JOB}/raw/a", endless()))
    await asyncio.wait_for(begun.wait(), 30)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert [name async for name in staging.list("")] == []


async def test_what_is_not_there_is_missing(staging: Staging) -> None:
    await staging.write(f"{JOB}/raw/a", pieces(b"a"))
    for name in (f"{JOB}/raw/b", f"{JOB}/raw", "jobs/other/raw/a"):
        assert not await staging.exists(name)
        with pytest.raises(Permanent) as error:
            await read(staging, name)
        assert error.value.code == "staging.missing"


async def test_names_are_listed_by_prefix_in_the_order_of_their_bytes(staging: Staging) -> None:
    names = [f"{JOB}/parts/{name}" for name in ("a-b", "a.b", "a/b", "a0", "a_b", "b/c/d", "b/c0")] + ["jobs2/x/y/z"]
    for name in reversed(names):
        await staging.write(name, pieces(name.encode()))
    assert [name async for name in staging.list("")] == names
    assert [name async for name in staging.list(f"{JOB}/parts/a")] == names[:5]
    assert [name async for name in staging.list(f"{JOB}/parts/b/c")] == names[5:7]
    assert [name async for name in staging.list(f"{JOB}/nothing")] == []


async def test_delete_takes_every_object_of_the_prefix_and_no_other(staging: Staging) -> None:
    for name in (f"{JOB}/raw/a", f"{JOB}/raw/b/c", f"{JOB}/parts/a", f"{JOB}0/raw/a"):
        await staging.write(name, pieces(b"x"))
    assert await staging.delete(f"{JOB}/raw/") == 2
    assert await staging.delete(f"{JOB}/") == 1
    assert await staging.delete(f"{JOB}/") == 0
    assert [name async for name in staging.list("")] == [f"{JOB}0/raw/a"]
    await staging.write(f"{JOB}/raw/a", pieces(b"again"))
    assert await read(staging, f"{JOB}/raw/a") == b"again"


async def test_more_objects_than_a_page_holds_are_listed_and_deleted(staging: Staging) -> None:
    names = [f"{JOB}/parts/{number:04}" for number in range(1100)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(staging.write(name, pieces(b"x")) for name in names[start : start + 50]))
    assert [name async for name in staging.list(f"{JOB}/parts/")] == names
    assert await staging.delete(f"{JOB}/") == len(names)
    assert [name async for name in staging.list("")] == []


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "A", "a b", "a\n", "é", "a\0", "a" * 901, "a/" + "b" * 201],
)
async def test_a_malformed_name_is_refused(staging: Staging, name: str) -> None:
    calls = [staging.write(name, pieces(b"x")), read(staging, name), staging.exists(name)]
    for call in calls:
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "staging.name"


@pytest.mark.parametrize("prefix", ["", "/", "..", "jobs/../", "jobs//", "*"])
async def test_a_malformed_prefix_is_refused(staging: Staging, prefix: str) -> None:
    with pytest.raises(Permanent) as error:
        await staging.delete(prefix)
    assert error.value.code == "staging.name"


async def test_many_writers_of_one_name_leave_one_whole_object(staging: Staging) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    await asyncio.gather(*(staging.write(f"{JOB}/raw/a", pieces(content)) for content in contents))
    assert await read(staging, f"{JOB}/raw/a") in contents


async def test_it_answers(staging: Staging) -> None:
    await staging.ping()


# -- what only some adapters can show ---------------------------------------------------------------------------------


async def test_files_and_folders_are_closed_to_others(tmp_path: Path) -> None:
    async with open_staging(file_url(tmp_path / "s")) as staging:
        await staging.write(f"{JOB}/raw/a", pieces(b"x"))
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "s").rglob("*") if path.is_dir()}
    assert modes == {0o700}
    assert (tmp_path / "s" / JOB / "raw" / "a").stat().st_mode & 0o777 == 0o600


async def test_delete_takes_what_a_crash_left_unfinished(tmp_path: Path) -> None:
    async with open_staging(file_url(tmp_path / "s")) as staging:
        await staging.write(f"{JOB}/raw/a", pieces(b"x"))
        left = tmp_path / "s" / JOB / "raw" / ".b.0123.unfinished"
        left.write_bytes(b"half")
        assert [name async for name in staging.list("")] == [f"{JOB}/raw/a"]
        assert await staging.delete(f"{JOB}/raw/c") == 0
        assert left.exists()
        assert await staging.delete(f"{JOB}/") == 1
    assert list((tmp_path / "s").rglob("*")) == []


async def test_a_folder_that_went_away_is_a_store_that_is_away(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    async with open_staging(file_url(root)) as staging:
        root.rename(tmp_path / "unmounted")
        calls = [
            staging.write("a/b", pieces(b"x")),
            read(staging, "a/b"),
            staging.delete("a/"),
            staging.ping(),
        ]
        for call in calls:
            with pytest.raises(Retryable):
                await call
    assert not root.exists(), "nothing is written where the disk was mounted"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_waited_for_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    async with open_staging(file_url(tmp_path / "s")) as staging:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(Retryable) as error:
                await staging.write("a/b", pieces(b"x"))
        assert (error.value.code, error.value.sentence) == ("dependency.full", "The object store is full.")
        assert [path for path in (tmp_path / "s").rglob("*") if path.is_file()] == []


async def test_a_file_url_keeps_its_odd_letters(tmp_path: Path) -> None:
    folder = tmp_path / "a b%c ü?#"
    async with open_staging(file_url(folder)) as staging:
        await staging.write("a/b", pieces(b"x"))
    assert (folder / "a" / "b").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["file:relative", "file://host/path", "s3:///nowhere", "s3://bucket?endpiont=x"])
async def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(CradleError) as error:
        async with open_staging(url):
            pass
    assert error.value.code == "settings.invalid"


@pytest.mark.s3
async def test_delete_aborts_uploads_that_a_crash_left(s3_url: str) -> None:
    import aioboto3

    async with open_staging(s3_url) as staging, aioboto3.Session().client("s3") as client:
        bucket = s3_url.removeprefix("s3://").partition("/")[0]
        await client.create_multipart_upload(Bucket=bucket, Key=f"staging/{JOB}/raw/a")
        await client.create_multipart_upload(Bucket=bucket, Key="staging/other")
        await staging.delete(f"{JOB}/")
        left = await client.list_multipart_uploads(Bucket=bucket)
    assert [upload["Key"] for upload in left["Uploads"]] == ["staging/other"]


async def test_an_s3_server_that_does_not_answer_is_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    async with open_staging("s3://bucket/p?endpoint=http://127.0.0.1:9&region=us-east-1") as staging:
        calls = [staging.write("a/b", pieces(b"x")), read(staging, "a/b")]
        for call in calls:
            with pytest.raises(Retryable) as error:
                await call
            assert (error.value.code, str(error.value)) == ("dependency.away", "The object store does not answer.")


@pytest.mark.s3
async def test_a_bucket_that_is_not_there_is_the_operators_to_mend(s3_url: str) -> None:
    endpoint = s3_url.partition("?")[2]
    async with open_staging(f"s3://no-such-bucket/p?{endpoint}") as staging:
        for call in (staging.write("a/b", pieces(b"x")), read(staging, "a/b"), staging.ping()):
            with pytest.raises(Retryable) as error:
                await call
            assert error.value.code == "dependency.refused"
