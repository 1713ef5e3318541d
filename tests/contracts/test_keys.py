"""One suite for every key store: a job has one key for life, and none after that."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from infra.keys import QUARANTINE, Keys, open_keys
from infra.paths import file_url
from schemas.errors import CradleError, Permanent, Retryable

JOB = UUID(int=1)


@pytest.fixture(params=["memory", "file"])
async def keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keys]:
    url = {"memory": "memory:", "file": file_url(tmp_path / "keys")}[request.param]
    async with open_keys(url) as opened:
        yield opened


async def code_of(call: object) -> str:
    with pytest.raises(Permanent) as error:
        await call  # type: ignore[misc]
    return error.value.code


async def test_a_job_has_one_key_of_its_own(keys: Keys) -> None:
    first = await keys.create(JOB)
    assert len(first) == 32
    assert await keys.create(JOB) == first == await keys.fetch(str(JOB))
    assert await keys.create(uuid4()) != first


async def test_a_key_that_was_never_made_is_unknown(keys: Keys) -> None:
    for key_id in (str(uuid4()), "", "..", "../keys", "a/b", str(JOB).upper() + "A", f"{JOB}.key"):
        assert await code_of(keys.fetch(key_id)) == "key.unknown"


async def test_a_destroyed_key_stays_destroyed(keys: Keys) -> None:
    await keys.create(JOB)
    assert await keys.destroy(JOB)
    assert not await keys.destroy(JOB)
    assert await code_of(keys.fetch(str(JOB))) == "key.destroyed"
    assert await code_of(keys.create(JOB)) == "key.destroyed"


async def test_destroying_what_never_was_forbids_it_for_good(keys: Keys) -> None:
    assert not await keys.destroy(JOB)
    assert await code_of(keys.create(JOB)) == "key.destroyed"


async def test_the_quarantine_key_makes_itself_and_lasts(keys: Keys) -> None:
    first = await keys.fetch(QUARANTINE)
    assert len(first) == 32
    assert await keys.fetch(QUARANTINE) == first


async def test_many_that_create_at_once_get_one_key(keys: Keys) -> None:
    assert len(set(await asyncio.gather(*(keys.create(JOB) for _ in range(20))))) == 1


async def test_it_answers(keys: Keys) -> None:
    await keys.ping()


# -- the folder --------------------------------------------------------------------------------------------------------


CREATE = """
import asyncio, sys
from uuid import UUID
from infra.keys import open_keys

async def create():
    async with open_keys(sys.argv[1]) as keys:
        for number in range(50):
            print((await keys.create(UUID(int=number))).hex())

asyncio.run(create())
"""


async def test_processes_that_race_get_the_same_keys(tmp_path: Path) -> None:
    url = file_url(tmp_path / "keys")
    racers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", CREATE, url, stdout=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    printed = [await asyncio.wait_for(racer.communicate(), 60) for racer in racers]
    keys = [output.split() for output, _ in printed]
    assert len(keys[0]) == 50
    assert keys[0] == keys[1] == keys[2]
    assert len(list((tmp_path / "keys").iterdir())) == 50, "nothing is left aside"


async def test_creating_and_destroying_at_once_never_leaves_a_key(tmp_path: Path) -> None:
    async with open_keys(file_url(tmp_path)) as keys:
        for _ in range(50):
            job = uuid4()
            await asyncio.gather(keys.create(job), keys.destroy(job), keys.create(job), return_exceptions=True)
            assert await code_of(keys.fetch(str(job))) == "key.destroyed"
    assert {path.suffix for path in tmp_path.iterdir()} == {".destroyed"}


@pytest.mark.parametrize("moment", ["before the key's name is there", "after it"])
async def test_a_key_destroyed_while_it_gets_its_name_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """`destroy` takes the unfinished file away as well: then too the maker has to look whether its key may stay."""
    link = Path.hardlink_to

    def interrupted(self: Path, target: Path) -> None:
        if moment.startswith("after"):
            link(self, target)
        (tmp_path / f"{JOB}.destroyed").touch()
        target.unlink()
        if not moment.startswith("after"):
            link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", interrupted)
    async with open_keys(file_url(tmp_path)) as keys:
        assert await code_of(keys.create(JOB)) == "key.destroyed"
    assert [path.name for path in tmp_path.iterdir()] == [f"{JOB}.destroyed"]


async def test_a_destroyed_keys_bytes_are_overwritten_in_place(tmp_path: Path) -> None:
    async with open_keys(file_url(tmp_path)) as keys:
        key = await keys.create(JOB)
        (tmp_path / "same-inode").hardlink_to(tmp_path / f"{JOB}.key")
        left_by_a_crash = tmp_path / f".{JOB}.0123"
        left_by_a_crash.write_bytes(key)
        await keys.destroy(JOB)
    assert len((tmp_path / "same-inode").read_bytes()) == 32
    assert (tmp_path / "same-inode").read_bytes() != key
    assert not left_by_a_crash.exists()


async def test_the_folder_and_its_files_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    async with open_keys(file_url(folder)) as keys:
        await keys.create(JOB)
        await keys.fetch(QUARANTINE)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_folder_that_went_away_is_a_store_that_is_away(tmp_path: Path) -> None:
    async with open_keys(file_url(tmp_path / "keys")) as keys:
        await keys.create(JOB)
        (tmp_path / "keys").rename(tmp_path / "elsewhere")
        for call in (keys.fetch(str(JOB)), keys.create(JOB), keys.destroy(JOB), keys.ping()):
            with pytest.raises(Retryable):
                await call


async def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CradleError) as error:
        async with open_keys(file_url(tmp_path / "file" / "keys")):
            pass
    assert error.value.code == "settings.invalid"
