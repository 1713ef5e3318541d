"""What a stage stores is sealed before any adapter sees it, and opens under its own key and name alone."""

import hashlib
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from consumers.runtime import contract
from infra.keys.memory import MemoryKeys
from infra.staging.memory import MemoryStaging
from infra.staging.sealed import SealedStaging
from schemas.errors import Permanent

JOB = UUID(int=1)
OTHER = UUID(int=2)
SECRET = b"a sentence nobody else may read" * 5000


def entropy(count: int) -> bytes:
    return hashlib.sha256(b"fixed").digest()[:count]


@pytest.fixture
def inner() -> MemoryStaging:
    return MemoryStaging()


@pytest.fixture
def keys() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def staging(inner: MemoryStaging, keys: MemoryKeys) -> contract.SealedStore:
    return SealedStaging(inner, key=keys.create, entropy=entropy)


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 70_001):
        yield data[start : start + 70_001]


async def test_bytes_and_streams_come_back_and_the_store_sees_neither(
    staging: contract.SealedStore, inner: MemoryStaging
) -> None:
    whole = await staging.put(JOB, "raw", "a", SECRET)
    streamed = await staging.put(JOB, "raw", "b", in_pieces(SECRET))
    assert whole == f"jobs/{JOB}/raw/a"
    assert await staging.get(JOB, whole) == SECRET
    assert [max(map(len, [piece async for piece in staging.stream(JOB, streamed)]))] == [64 * 1024]
    assert await staging.get(JOB, streamed) == SECRET
    assert all(SECRET[:10] not in stored for stored in inner.objects.values())


async def test_an_object_does_not_open_under_another_job_name_or_content(
    staging: contract.SealedStore, inner: MemoryStaging
) -> None:
    name = await staging.put(JOB, "raw", "a", SECRET)
    inner.objects["moved"] = inner.objects[name]
    inner.objects["cut"] = inner.objects[name][:70_000]
    for job, tried in ((OTHER, name), (JOB, "moved"), (JOB, "cut")):
        with pytest.raises(Permanent) as error:
            await staging.get(job, tried)
        assert error.value.code == "staging.tampered"


async def test_after_the_key_is_destroyed_nothing_is_read_or_written(
    staging: contract.SealedStore, keys: MemoryKeys
) -> None:
    name = await staging.put(JOB, "raw", "a", SECRET)
    await keys.destroy(JOB)
    for call in (staging.get(JOB, name), staging.put(JOB, "raw", "b", SECRET)):
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "key.destroyed"


async def test_a_job_lists_its_own_objects_of_a_kind(staging: contract.SealedStore) -> None:
    for job, kind, name in ((JOB, "parts", "b"), (JOB, "parts", "a1"), (JOB, "raw", "a"), (OTHER, "parts", "a")):
        await staging.put(job, kind, name, b"")
    prefix = f"jobs/{JOB}/parts/"
    assert [name async for name in staging.list(JOB, "parts")] == [prefix + "a1", prefix + "b"]
    assert [name async for name in staging.list(JOB, "parts", "a")] == [prefix + "a1"]


async def test_a_name_cannot_leave_its_job(staging: contract.SealedStore) -> None:
    with pytest.raises(Permanent) as error:
        await staging.put(JOB, "raw", "../../x", b"")
    assert error.value.code == "staging.name"
