import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from builders.parts import decode_part
from consumers.pack import stage
from consumers.pack.handle import MAX_WRITES
from consumers.runtime.contract import Done, Failed
from schemas.errors import Permanent, Retryable
from tests.builders.corpus import book, library
from tests.consumers.baking import Bench, outcomes, parts_of


async def test_each_message_becomes_one_sealed_part(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    messages = [part for one in library() for part in parts_of(one, [1])]
    done = await outcomes(stage(bench.ports), *messages, job=bench.id)
    assert all(isinstance(outcome, Done) and outcome.outputs == () and outcome.items == 1 for outcome in done)
    names = {f"jobs/{bench.id}/parts/{m.chunks.document.id}/{m.chunks.chunks[0].ordinal:08d}": m for m in messages}
    assert set(bench.objects.objects) == set(names)
    for name, message in names.items():
        assert decode_part(await bench.staging.get(bench.id, name)) == message
        assert message.chunks.text.encode() not in bench.objects.objects[name]


async def test_packing_again_changes_no_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        await outcomes(stage(bench.ports), *parts_of(library()[0]), job=bench.id)
    assert len(bench.objects.objects) == 1


class CountingBench(Bench):
    async def key(self, job: UUID) -> bytes:
        self.under_way = getattr(self, "under_way", 0) + 1
        self.most = max(getattr(self, "most", 0), self.under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        self.under_way -= 1
        return await super().key(job)


async def test_writes_go_together_but_not_all_at_once(tmp_path: Path) -> None:
    bench = CountingBench(tmp_path)
    messages = parts_of(book("p", "\n".join("x" * 3 * MAX_WRITES)), [1])
    assert len(await outcomes(stage(bench.ports), *messages, job=bench.id)) == 3 * MAX_WRITES
    assert 1 < bench.most <= MAX_WRITES


class FailingBench(Bench):
    error: Exception

    async def key(self, job: UUID) -> bytes:
        raise self.error


async def test_an_erased_jobs_message_fails_and_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    bench = FailingBench(tmp_path)
    bench.error = Permanent("key.destroyed")
    [outcome] = await outcomes(stage(bench.ports), *parts_of(library()[0]), job=bench.id)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "key.destroyed"
    bench.error = Retryable("dependency.away", name="Staging")
    with pytest.raises(Retryable):
        await outcomes(stage(bench.ports), *parts_of(library()[0]), job=bench.id)
