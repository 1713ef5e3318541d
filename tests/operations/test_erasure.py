from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from infra.ledger import JobState
from operations.erasure import erase, sweep
from operations.jobs import PinnedJobs
from schemas import envelope
from schemas.errors import Permanent, Retryable
from tests.entrance import NOW, TOPOLOGY, Entrance


def ports(entrance: Entrance) -> dict[str, object]:
    return {"ledger": entrance.ledger, "keys": entrance.keys, "staging": entrance.staging, "clock": lambda: NOW}


async def filled(folder: Path, *references: str) -> Entrance:
    entrance = await Entrance(folder).with_customer()
    for reference in references:
        async with entrance.producer() as producer:
            await producer.open("acme", reference)
            await producer.add("a.txt", b"text")
            await producer.close()
    return entrance


async def test_erasing_takes_the_key_and_what_was_staged_of_this_job_alone(tmp_path: Path) -> None:
    entrance = await filled(tmp_path, "one", "two")
    one, two = (job.id for job in sorted(await entrance.ledger.jobs(), key=lambda job: job.reference))
    erased = await erase(one, **ports(entrance))  # type: ignore[arg-type]
    assert (erased.key_destroyed, erased.objects, erased.erased_at) == (True, 1, NOW)
    assert all(name.startswith(f"jobs/{two}/") for name in entrance.staging.objects)
    assert len(entrance.staging.objects) == 1
    assert (await entrance.ledger.job(one)).state is JobState.ERASED
    assert (await entrance.ledger.job(two)).state is JobState.OPEN


async def test_after_erasure_the_jobs_messages_cannot_be_read(tmp_path: Path) -> None:
    entrance = await filled(tmp_path, "one")
    record = entrance.broker.records[0]
    assert (await entrance.submitted(record))[1].documents
    await erase(envelope.address(record.headers).job, **ports(entrance))  # type: ignore[arg-type]
    reader = PinnedJobs(  # another process: it has no lease
        parameters=entrance.store,
        ledger=entrance.ledger,
        keys=entrance.keys,
        archive=entrance.archive,
        topology=TOPOLOGY,
        clock=lambda: NOW,
        monotonic=lambda: 0,
    )
    with pytest.raises(Permanent) as caught:
        await reader.key(envelope.address(record.headers).job)
    assert caught.value.code == "key.destroyed"


async def test_erasing_twice_is_harmless_and_takes_what_came_late(tmp_path: Path) -> None:
    entrance = await filled(tmp_path, "one")
    job = (await entrance.ledger.jobs())[0].id
    first = await erase(job, **ports(entrance))  # type: ignore[arg-type]
    await entrance.sealed.put(job, "raw", "late", b"by a process that still had a lease")
    later = {**ports(entrance), "clock": lambda: NOW + timedelta(hours=1)}
    again = await erase(job, **later)  # type: ignore[arg-type]
    assert (again.key_destroyed, again.objects, again.erased_at) == (False, 1, first.erased_at)
    assert not entrance.staging.objects


@pytest.mark.parametrize("step", ["staging", "ledger"])
async def test_a_crash_after_the_key_is_finished_by_the_next_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    entrance = await filled(tmp_path, "one")
    job = (await entrance.ledger.jobs())[0].id

    async def crash(*_: object, **__: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as broken:
        broken.setattr(getattr(entrance, step), {"staging": "delete", "ledger": "erased"}[step], crash)
        with pytest.raises(ConnectionResetError):
            await erase(job, **ports(entrance))  # type: ignore[arg-type]
    with pytest.raises(Permanent):
        await entrance.keys.fetch(str(job))
    late = {**ports(entrance), "clock": lambda: NOW + timedelta(days=8)}
    swept = await sweep(**late)  # type: ignore[arg-type]
    assert [erased.job for erased in swept.erased] == [job]
    assert not entrance.staging.objects
    assert (await entrance.ledger.job(job)).state is JobState.ERASED


async def test_the_sweep_leaves_what_is_not_due_and_goes_on_past_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entrance = await filled(tmp_path, "one", "two")
    assert (await sweep(**ports(entrance))).erased == ()  # type: ignore[arg-type]
    stuck = (await entrance.ledger.jobs())[0].id
    destroy = entrance.keys.destroy

    async def away_for_one(job: object) -> bool:
        if job == stuck:
            raise Retryable("dependency.away", name="keys")
        return await destroy(job)  # type: ignore[arg-type]

    monkeypatch.setattr(entrance.keys, "destroy", away_for_one)
    late = {**ports(entrance), "clock": lambda: NOW + timedelta(days=8)}
    swept = await sweep(**late)  # type: ignore[arg-type]
    assert swept.failed == ((stuck, "dependency.away"),)
    assert len(swept.erased) == 1
    assert (await entrance.ledger.job(stuck)).state is JobState.OPEN


async def test_erasing_an_unknown_job_says_so(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    with pytest.raises(Permanent) as caught:
        await erase(UUID(int=1), **ports(entrance))  # type: ignore[arg-type]
    assert caught.value.code == "job.unknown"
