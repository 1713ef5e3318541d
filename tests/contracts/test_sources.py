"""One suite for every source: the walk finds every document once and in order, and nothing leads outside."""

import os
import stat
import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from infra.paths import file_path, file_url
from infra.sources import Source, open_source
from infra.sources.memory import MemorySource
from schemas.errors import CradleError, Permanent, Retryable


@dataclass(frozen=True)
class Filled:
    """A source that holds some objects under `root`."""

    source: Source
    root: str


class Fill(Protocol):
    def __call__(self, objects: Mapping[str, bytes]) -> AbstractAsyncContextManager[Filled]: ...


@asynccontextmanager
async def _memory(objects: Mapping[str, bytes], _: Path) -> AsyncIterator[Filled]:
    root = "memory:/root"
    yield Filled(MemorySource({f"{root}/{path}": content for path, content in objects.items()}), root)


@asynccontextmanager
async def _files(objects: Mapping[str, bytes], folder: Path) -> AsyncIterator[Filled]:
    for path, content in objects.items():
        file = folder / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    async with open_source("file:") as source:
        yield Filled(source, file_url(folder / "root"))


@asynccontextmanager
async def _s3(objects: Mapping[str, bytes], bucket: str) -> AsyncIterator[Filled]:
    import aioboto3

    async with aioboto3.Session().client("s3") as client:
        for path, content in objects.items():
            await client.put_object(Bucket=bucket, Key=f"root/{path}", Body=content)
    async with open_source("s3:") as source:
        yield Filled(source, f"s3://{bucket}/root")


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.s3)])
def fill(request: pytest.FixtureRequest, tmp_path: Path) -> Fill:
    if request.param == "s3":
        bucket = request.getfixturevalue("s3_url").removeprefix("s3://").partition("/")[0]
        return lambda objects: _s3(objects, bucket)
    return lambda objects: {"memory": _memory, "file": _files}[request.param](objects, tmp_path)


async def read(source: Source, uri: str) -> bytes:
    return b"".join([piece async for piece in source.read(uri)])


async def code_of_walk(source: Source, root: str) -> str:
    with pytest.raises(Permanent) as error:
        _ = [entry async for entry in source.walk(root)]
    return error.value.code


async def test_the_walk_finds_every_object_in_the_order_of_its_path(fill: Fill) -> None:
    paths = ["a-b", "a.txt", "a/b", "a0", "b c%d.pdf", "deep/er/still.md", "ä.txt", "日本.txt"]
    async with fill({path: path.encode() for path in reversed(paths)}) as it:
        found = [entry async for entry in it.source.walk(it.root)]
        assert [entry.path for entry in found] == paths
        assert [entry.size for entry in found] == [len(path.encode()) for path in paths]
        assert [await read(it.source, entry.uri) for entry in found] == [path.encode() for path in paths]
        assert all(it.source.lies_under(entry.uri, it.root) for entry in found)
        assert [entry async for entry in it.source.walk(it.root + "/")] == found


async def test_what_is_no_document_is_skipped(fill: Fill) -> None:
    async with fill({".git/config": b"", "_drafts/a": b"", "a/.b": b"", "a/_c": b"", "a/d_.e": b"x"}) as it:
        assert [entry.path async for entry in it.source.walk(it.root)] == ["a/d_.e"]


async def test_a_root_may_name_one_object(fill: Fill) -> None:
    async with fill({"a/_b.txt": b"one", "a/c": b"two"}) as it:
        found = [entry async for entry in it.source.walk(f"{it.root}/a/_b.txt")]
        assert [(entry.path, entry.size) for entry in found] == [("_b.txt", 3)]
        assert await read(it.source, found[0].uri) == b"one"


async def test_nothing_there_is_missing(fill: Fill) -> None:
    async with fill({"a": b"one"}) as it:
        assert await code_of_walk(it.source, f"{it.root}/b") == "source.missing"
        with pytest.raises(Permanent) as error:
            await read(it.source, f"{it.root}/b")
        assert error.value.code == "source.missing"


async def test_an_object_larger_than_a_piece_is_read_whole(fill: Fill) -> None:
    content = os.urandom(3 * 1024 * 1024 + 17)
    async with fill({"large": content, "empty": b""}) as it:
        assert await read(it.source, f"{it.root}/large") == content
        assert await read(it.source, f"{it.root}/empty") == b""


async def test_a_path_in_another_normal_form_is_given_in_nfc(fill: Fill) -> None:
    name = unicodedata.normalize("NFD", "Übersicht é.txt")
    async with fill({name: b"x"}) as it:
        found = [entry async for entry in it.source.walk(it.root)]
        assert [entry.path for entry in found] == [unicodedata.normalize("NFC", name)]
        assert await read(it.source, found[0].uri) == b"x"


async def test_only_what_is_inside_lies_under_a_root(fill: Fill) -> None:
    async with fill({"in/a": b"", "inside/a": b""}) as it:
        assert it.source.lies_under(f"{it.root}/in/a", f"{it.root}/in")
        assert it.source.lies_under(f"{it.root}/in/a", f"{it.root}/in/")
        assert it.source.lies_under(f"{it.root}/in/a", f"{it.root}/in/a")
        assert not it.source.lies_under(f"{it.root}/inside/a", f"{it.root}/in")
        assert not it.source.lies_under(f"{it.root}/in/../inside/a", f"{it.root}/in")
        assert not it.source.lies_under("http://elsewhere/in/a", f"{it.root}/in")


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def files() -> AsyncIterator[Source]:
    async with open_source("file:") as opened:
        yield opened


async def test_links_are_skipped_and_do_not_lead_outside(files: Source, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside):
        folder.mkdir()
        (folder / "a").write_bytes(b"x")
    (root / "file-link").symlink_to(outside / "a")
    (root / "folder-link").symlink_to(outside)
    (root / "circle").symlink_to(root / "circle")
    assert [entry.path async for entry in files.walk(file_url(root))] == ["a"]
    for escape in ("file-link", "folder-link/a", "circle", "../outside/a", "%2e%2e/outside/a"):
        assert not files.lies_under(f"{file_url(root)}/{escape}", file_url(root))


async def test_pipes_are_skipped_and_never_waited_for(files: Source, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [entry async for entry in files.walk(file_url(tmp_path))] == []
    with pytest.raises(Permanent) as error:
        await read(files, file_url(tmp_path / "pipe"))
    assert error.value.code == "source.missing"
    assert await code_of_walk(files, file_url(tmp_path / "pipe")) == "source.missing"


@pytest.mark.parametrize("name", ["a" * 300, "b/" * 2100 + "c", "circle", "socket"])
async def test_what_no_file_can_be_is_missing_and_not_waited_for(files: Source, tmp_path: Path, name: str) -> None:
    """A client's event names these; taken for a source that is away, one of them would stop every customer's."""
    (tmp_path / "circle").symlink_to("circle")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    with pytest.raises(Permanent) as error:
        await read(files, f"{file_url(tmp_path)}/{name}")
    assert error.value.code == "source.missing"


async def test_a_name_that_is_no_utf8_enters_under_a_readable_one(files: Source, tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"\xff\xfe", b"plain"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found = [entry async for entry in files.walk(file_url(tmp_path))]
    assert [entry.path for entry in found] == ["%FF%FE", "caf%E9.txt", "plain"]
    assert [await read(files, entry.uri) for entry in found] == [b"\xff\xfe", b"caf\xe9.txt", b"plain"]
    assert all(files.lies_under(entry.uri, file_url(tmp_path)) for entry in found)


async def test_names_that_are_one_in_nfc_both_enter(files: Source, tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "é")).write_bytes(form.encode())
    found = [entry async for entry in files.walk(file_url(tmp_path))]
    assert {await read(files, entry.uri) for entry in found} == {b"NFC", b"NFD"}


async def test_an_empty_folder_has_nothing_and_is_not_missing(files: Source, tmp_path: Path) -> None:
    assert [entry async for entry in files.walk(file_url(tmp_path))] == []


async def test_a_folder_that_may_not_be_read_is_not_passed_over(
    files: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(folder: Path) -> object:  # root may read everything, so the refusal is made up
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert await code_of_walk(files, file_url(tmp_path)) == "source.unreadable"


async def test_a_file_url_and_its_path_are_one(tmp_path: Path) -> None:
    for name in ("a b", "c%20d", "ü#?", os.fsdecode(b"\xff")):
        assert file_path(file_url(tmp_path / name)) == tmp_path / name
    for url in ("file:a", "file://host/a", "/a", "file:///a%00b"):
        with pytest.raises(CradleError):
            file_path(url)


# -- buckets -----------------------------------------------------------------------------------------------------------


async def test_an_s3_server_that_does_not_answer_is_a_source_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    async with open_source("s3:") as source:
        with pytest.raises(Retryable):
            await read(source, "s3://bucket/key")


@pytest.mark.parametrize("key", ["", "k" * 1025])
async def test_a_key_that_no_object_has_is_missing_and_not_waited_for(key: str) -> None:
    async with open_source("s3:") as source:
        with pytest.raises(Permanent) as error:
            await read(source, f"s3://bucket/{key}")
    assert error.value.code == "source.missing"


@pytest.mark.s3
async def test_a_bucket_that_is_not_there_is_missing(s3_url: str) -> None:
    async with open_source("s3:") as source:
        assert await code_of_walk(source, "s3://no-such-bucket/root") == "source.missing"
        assert await code_of_walk(source, "s3:///root") == "source.missing"
