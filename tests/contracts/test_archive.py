"""One suite for every archive adapter: an object is written once, whole or not at all, and stays as it is."""

import asyncio
import errno
import inspect
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.archive import Archive, open_archive
from infra.archive.files import UNFINISHED
from infra.paths import file_url
from infra.s3 import PART_BYTES
from schemas.errors import CradleError, Permanent, Retryable

TAR = "versions/acme/v1.0-init.oci.age"
RECORD = "versions/acme/v1.0-init.json"


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.s3)])
async def archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Archive]:
    urls = {"memory": "memory:", "file": file_url(tmp_path / "archive")}
    url = urls.get(request.param) or request.getfixturevalue("s3_url")
    async with open_archive(url) as opened:
        yield opened


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def read(archive: Archive, name: str) -> bytes:
    return b"".join([piece async for piece in archive.read(name)])


async def names(archive: Archive, prefix: str = "versions/") -> list[str]:
    return [name async for name in archive.list(prefix)]


@pytest.mark.parametrize(
    "contents",
    [(), (b"",), (b"one",), (b"one", b"", b"two"), (b"x" * PART_BYTES,), (b"y" * (PART_BYTES - 1), b"zz", b"!" * 9)],
    ids=["nothing", "empty", "one", "three", "a part", "two parts"],
)
async def test_what_was_added_is_read(archive: Archive, contents: tuple[bytes, ...]) -> None:
    whole = b"".join(contents)
    assert await archive.add(TAR, pieces(*contents)) == len(whole)
    assert await read(archive, TAR) == whole


@pytest.mark.parametrize("size", [10, PART_BYTES + 1])
async def test_what_is_there_is_never_replaced(archive: Archive, size: int) -> None:
    await archive.add(TAR, pieces(b"the first"))
    with pytest.raises(Permanent) as error:
        await archive.add(TAR, pieces(b"x" * size))
    assert error.value.code == "archive.exists"
    assert await read(archive, TAR) == b"the first"


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1000])
async def test_of_many_at_once_exactly_one_wins(archive: Archive, size: int) -> None:
    """Each has sent all but its end before any of them ends: only the completing request can decide."""
    contents = [bytes([number]) * size for number in range(4)]
    ready = asyncio.Barrier(len(contents))

    async def together(content: bytes) -> AsyncIterator[bytes]:
        yield content
        await ready.wait()

    adding = (archive.add(TAR, together(content)) for content in contents)
    answers = await asyncio.gather(*adding, return_exceptions=True)
    [winner] = [number for number, answer in enumerate(answers) if answer == size]
    lost = [answer for answer in answers if isinstance(answer, CradleError)]
    assert [error.code for error in lost] == ["archive.exists"] * 3
    assert await read(archive, TAR) == contents[winner]


@pytest.mark.parametrize("size", [10, PART_BYTES + 1])
async def test_what_is_cut_off_leaves_nothing_and_may_be_added_again(archive: Archive, size: int) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise RuntimeError("the sender died")

    with pytest.raises(RuntimeError):
        await archive.add(TAR, cut_off())
    assert await names(archive) == []
    await archive.add(TAR, pieces(b"whole"))
    assert await read(archive, TAR) == b"whole"


async def test_what_is_cancelled_leaves_nothing(archive: Archive) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 10
        begun.set()
        await asyncio.Event().wait()

    adding = asyncio.create_task(archive.add(TAR, endless()))
    await asyncio.wait_for(begun.wait(), 30)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert await names(archive) == []


async def test_what_is_not_there_is_missing(archive: Archive) -> None:
    await archive.add(TAR, pieces(b"x"))
    for name in (RECORD, "versions/other/v1.0-init.oci.age", "versions/acme/v1.1-update.oci.age"):
        with pytest.raises(Permanent) as error:
            await read(archive, name)
        assert error.value.code == "archive.missing"


async def test_names_are_listed_by_prefix_in_the_order_of_their_bytes(archive: Archive) -> None:
    added = [
        f"versions/{name}"
        for name in (
            "acme-2/v1.0-init.json",
            "acme/v1.0-init.2.oci.age",
            "acme/v1.0-init.json",
            "acme/v1.0-init.oci.age",
            "acme/v1.1-update.json",
            "acme/v2.0-full.json",
            "acme0/v1.0-init.json",
        )
    ]
    assert await names(archive) == []
    for name in reversed(added):
        await archive.add(name, pieces(name.encode()))
    assert await names(archive) == added
    assert await names(archive, "versions/acme/") == added[1:6]
    assert await names(archive, "versions/acme/v1.0") == added[1:4]
    assert await names(archive, "versions/nobody/") == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "versions",
        "versions/acme",
        "/versions/acme/v1.0-init.json",
        "versions/../acme/v1.0-init.json",
        "versions/acme/../other/v1.0-init.json",
        "versions//v1.0-init.json",
        "versions/./v1.0-init.json",
        "versions/Acme/v1.0-init.json",
        "versions/-acme/v1.0-init.json",
        "versions/acme\n/v1.0-init.json",
        "versions/acme/v1.0-init.json\n",
        "versions/acme/v1.0-init.json\0",
        "versions/acme/v1.0.json",
        "versions/acme/v01.0-init.json",
        "versions/acme/v1.0-full.json",
        "versions/acme/v1.1-init.json",
        "versions/acme/v1.0-init.tar",
        "versions/acme/v1.0-init.0.oci.age",
        "versions/acme/v1.0-init.2.json",
        f"versions/{UNFINISHED}/v1.0-init.json",
        "versions/" + "a" * 64 + "/v1.0-init.json",
        "versions/ümlaut/v1.0-init.json",
        "staging/jobs/a",
    ],
)
async def test_a_malformed_name_is_refused(archive: Archive, name: str) -> None:
    for call in (archive.add(name, pieces(b"x")), read(archive, name)):
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "archive.name"


@pytest.mark.parametrize("prefix", ["", "/", "staging/", "versions/../", "versions/acme/../", "versions//"])
async def test_a_malformed_prefix_is_refused(archive: Archive, prefix: str) -> None:
    with pytest.raises(Permanent) as error:
        await names(archive, prefix)
    assert error.value.code == "archive.name"


async def test_it_answers_and_says_what_protects_it(archive: Archive) -> None:
    await archive.ping()
    assert isinstance(await archive.protection(), str)


async def test_there_is_no_other_way_to_change_it(archive: Archive) -> None:
    """Whoever adds a method here says in this suite that it changes nothing."""
    public = {name for name, _ in inspect.getmembers(type(archive), inspect.isfunction) if not name.startswith("_")}
    assert public == {"add", "read", "list", "ping", "protection"}


# -- files ------------------------------------------------------------------------------------------------------------


async def test_files_are_read_only_and_their_folders_closed(tmp_path: Path) -> None:
    async with open_archive(file_url(tmp_path / "a")) as archive:
        for name in (TAR, RECORD, "versions/other/v1.0-init.json"):
            await archive.add(name, pieces(b"x"))
        with pytest.raises(Permanent):
            await archive.add(TAR, pieces(b"y"))
    versions = tmp_path / "a" / "versions"
    assert {path.stat().st_mode & 0o777 for path in versions.rglob("*") if path.is_file()} == {0o400}
    folders = {path.relative_to(versions).as_posix(): path.stat().st_mode & 0o777 for path in versions.glob("**/")}
    assert folders == {".": 0o500, "acme": 0o500, "other": 0o500, UNFINISHED: 0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
async def test_who_is_not_root_cannot_remove_or_change_a_version(tmp_path: Path) -> None:
    async with open_archive(file_url(tmp_path / "a")) as archive:
        await archive.add(TAR, pieces(b"x"))
    root = tmp_path / "a"
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    process = multiprocessing.get_context("fork").Process(target=_try_as_owner, args=(root,))
    process.start()
    process.join(30)
    assert process.exitcode == 0, "the owner, without changing modes, could change the archive"
    assert (root / TAR).read_bytes() == b"x"


def _try_as_owner(root: Path) -> None:
    """Exits with the number of ways that were open."""
    os.chdir(root)  # the folders above are another's
    file = Path(TAR)
    os.setgid(65534)
    os.setuid(65534)
    assert file.read_bytes() == b"x"  # it reads its own archive: what follows fails for the modes alone
    ways = (
        file.unlink,
        lambda: file.write_bytes(b"y"),
        lambda: file.rename(file.with_name("elsewhere")),
        lambda: file.with_name("new").touch(),
        lambda: file.parent.rename(file.parent.with_name("elsewhere")),
    )
    os._exit(sum(map(_is_open, ways)))


def _is_open(way: Callable[[], object]) -> bool:
    try:
        way()
    except PermissionError:
        return False
    return True


async def test_what_a_killed_writer_left_goes_with_the_next_and_what_is_written_now_stays(tmp_path: Path) -> None:
    async with open_archive(file_url(tmp_path / "a")) as archive:
        await archive.add(TAR, pieces(b"x"))
        left = tmp_path / "a" / "versions" / UNFINISHED / "0123"
        left.write_bytes(b"half")
        halfway, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"slowly "
            halfway.set()
            await go_on.wait()
            yield b"written"

        slow = asyncio.create_task(archive.add("versions/acme/v2.0-full.oci.age", slowly()))
        await asyncio.wait_for(halfway.wait(), 30)
        assert not left.exists()
        await archive.add(RECORD, pieces(b"y"))
        go_on.set()
        await slow
        assert await read(archive, "versions/acme/v2.0-full.oci.age") == b"slowly written"
        assert await names(archive) == [RECORD, TAR, "versions/acme/v2.0-full.oci.age"]


async def test_a_stranger_in_the_folder_is_listed(tmp_path: Path) -> None:
    async with open_archive(file_url(tmp_path / "a")) as archive:
        await archive.add(TAR, pieces(b"x"))
        (tmp_path / "a" / "versions" / "acme").chmod(0o700)
        (tmp_path / "a" / "versions" / "acme" / "notes.txt").write_text("who was here")
        assert await names(archive) == ["versions/acme/notes.txt", TAR]


async def test_a_folder_that_went_away_is_an_archive_that_is_away(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    async with open_archive(file_url(root)) as archive:
        root.rename(tmp_path / "unmounted")
        for call in (archive.add(TAR, pieces(b"x")), read(archive, TAR), archive.ping()):
            with pytest.raises(Retryable) as error:
                await call
            assert error.value.sentence == "The archive does not answer."
    assert not root.exists(), "nothing is written where the disk was mounted"


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with open_archive(file_url(tmp_path / "a")) as archive:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(Retryable) as error:
                await archive.add(TAR, pieces(b"x"))
        assert error.value.code == "dependency.full"
        assert [path for path in (tmp_path / "a").rglob("*") if path.is_file()] == []
        await archive.add(TAR, pieces(b"x"))


# -- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def locked_url(s3_url: str) -> str:
    """As `s3_url`, of a bucket with object lock and no default retention."""
    bucket = s3_url.removeprefix("s3://").partition("/")[0] + "-locked"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    client.close()
    return f"s3://{bucket}/archive?{s3_url.partition('?')[2]}"


def plain_client_is_refused(url: str, name: str) -> bool:
    """Whether a client with our credentials, but not our code, can neither delete nor replace it."""
    bucket, _, prefix = url.removeprefix("s3://").partition("?")[0].partition("/")
    target = {"Bucket": bucket, "Key": f"{prefix}/{name}"}
    client = boto3.client("s3")
    ways = (lambda: client.put_object(**target, Body=b"other"), lambda: client.delete_object(**target))
    with closing(client):
        return all(_is_denied(way) for way in ways)


def _is_denied(way: Callable[[], object]) -> bool:
    try:
        way()
    except ClientError as error:
        return str(error.response["Error"]["Code"]) == "AccessDenied"
    return False


@pytest.mark.s3
@pytest.mark.parametrize("size", [10, PART_BYTES + 1])
@pytest.mark.parametrize("options", ["lock_days=1", "lock_days=1&lock_mode=governance"])
async def test_the_store_itself_refuses_to_delete_what_is_locked(locked_url: str, options: str, size: int) -> None:
    async with open_archive(f"{locked_url}&{options}") as archive:
        assert await archive.protection() == "object lock, governance, 1 days"
        await archive.add(TAR, pieces(b"x" * size))
        assert plain_client_is_refused(locked_url, TAR)
        assert await read(archive, TAR) == b"x" * size


@pytest.mark.s3
async def test_the_buckets_own_retention_locks_as_well(locked_url: str) -> None:
    client = boto3.client("s3")
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 7}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    bucket = locked_url.removeprefix("s3://").partition("/")[0]
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    client.close()
    async with open_archive(locked_url) as archive:
        assert await archive.protection() == "object lock, governance, 7 days"
        await archive.add(TAR, pieces(b"x"))
        assert plain_client_is_refused(locked_url, TAR)


@pytest.mark.s3
async def test_a_bucket_that_does_not_lock_says_so(s3_url: str, locked_url: str) -> None:
    """The second could lock, but nobody says for how long."""
    for url in (s3_url, locked_url):
        async with open_archive(url) as archive:
            assert await archive.protection() == ""
            await archive.add(TAR, pieces(b"x"))
        assert not plain_client_is_refused(url, TAR)


@pytest.mark.s3
async def test_a_bucket_that_is_not_there_is_the_operators_to_mend(s3_url: str) -> None:
    async with open_archive(f"s3://no-such-bucket/p?{s3_url.partition('?')[2]}") as archive:
        calls = (archive.add(TAR, pieces(b"x")), read(archive, TAR), archive.ping(), archive.protection())
        for call in calls:
            with pytest.raises(Retryable) as error:
                await call
            assert error.value.code == "dependency.refused"


async def test_an_s3_server_that_does_not_answer_is_an_archive_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    async with open_archive("s3://bucket/p?endpoint=http://127.0.0.1:9&region=us-east-1") as archive:
        for call in (archive.add(TAR, pieces(b"x")), read(archive, TAR), archive.ping()):
            with pytest.raises(Retryable) as error:
                await call
            assert str(error.value) == "The archive does not answer."


@pytest.mark.parametrize(
    "url",
    [
        "file:relative",
        "file://host/path",
        "s3:///nowhere",
        "s3://bucket?endpiont=x",
        "s3://bucket?lock_days=0",
        "s3://bucket?lock_days=many",
        "s3://bucket?lock_mode=governance",
        "s3://bucket?lock_days=1&lock_mode=gently",
    ],
)
async def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(CradleError) as error:
        async with open_archive(url):
            pass
    assert error.value.code == "settings.invalid"
