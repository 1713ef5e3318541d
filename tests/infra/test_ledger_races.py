"""Several processes record overlapping outcomes on real PostgreSQL: each counts once, and a job is announced once."""

import asyncio
import multiprocessing
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from uuid import UUID, uuid4

from infra.ledger import Announcement, DocumentState, JobState, Ledger, NewDocument, NewJob, Outcome, Unit, open_ledger
from infra.ledger.migrations import migrate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROCESSES = 4
DEADLINE = 60
Step = tuple[str, Outcome]


@dataclass
class Plan:
    """A job's outcomes: documents of several parts each, through four stages. Every fifth document fails."""

    documents: int
    parts: int
    manifest: Outcome
    job: UUID
    steps: list[Step] = field(default_factory=list)


def plan(documents: int, parts: int, *, failing: bool = False) -> Plan:
    job = uuid4()
    made = Plan(documents, parts, Outcome(uuid4(), job, None, manifest=documents), job)
    for number in range(documents):
        name = f"{number:032x}"
        admitted, chunked, broken = uuid4(), [uuid4() for _ in range(parts)], failing or number % 5 == 4
        opens = (Unit(admitted, "chunk", name),)
        introduced = (NewDocument(name, b"sealed"),)
        made.steps.append(("admit", Outcome(uuid4(), made.job, None, opens=opens, documents=introduced)))
        units = tuple(Unit(part, "embed", name) for part in chunked)
        made.steps.append(("chunk", Outcome(admitted, made.job, name, opens=units, items=parts)))
        for part in chunked:
            if broken:
                made.steps.append(("embed", Outcome(part, made.job, name, code="message.too-large")))
                continue
            embedded = uuid4()
            made.steps.append(("embed", Outcome(part, made.job, name, opens=(Unit(embedded, "pack", name),), items=1)))
            made.steps.append(("pack", Outcome(embedded, made.job, name)))
    return made


def record(url: str, polls: list[tuple[str, list[Outcome]]], start: Barrier) -> None:
    """One process: records its polls in order."""

    async def work() -> None:
        async with open_ledger(url) as ledger:
            await ledger.ping()
            await asyncio.to_thread(start.wait, DEADLINE)
            for stage, outcomes in polls:
                await ledger.record(stage, outcomes, now=NOW)

    asyncio.run(work())


def into_polls(steps: list[Step], random_: random.Random) -> list[tuple[str, list[Outcome]]]:
    """The steps in a random order, up to 20 of a stage to a poll."""
    random_.shuffle(steps)
    polls: list[tuple[str, list[Outcome]]] = []
    filling: dict[str, list[Outcome]] = {}
    for stage, outcome in steps:
        if stage not in filling or len(filling[stage]) == 20:
            filling[stage] = []
            polls.append((stage, filling[stage]))
        filling[stage].append(outcome)
    return polls


def race(url: str, shares: list[list[tuple[str, list[Outcome]]]]) -> None:
    """Runs one process a share, all starting together; fails where one of them does or does not end."""
    spawning = multiprocessing.get_context("spawn")
    start = spawning.Barrier(len(shares))
    processes = [spawning.Process(target=record, args=(url, share, start), daemon=True) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
    assert [process.exitcode for process in processes] == [0] * len(shares)


async def test_each_outcome_counts_once_and_each_job_is_announced_once(postgres_url: str) -> None:
    """Jobs whose manifest comes first, among the rest, and last; one in which all fails, and an empty one."""
    migrate(postgres_url)
    random_ = random.Random(7)
    first, among, last, hopeless, empty = (
        plan(20, 3),
        plan(10, 2),
        plan(15, 1),
        plan(5, 2, failing=True),
        plan(0, 0),
    )
    plans = [first, among, last, hopeless, empty]
    async with open_ledger(postgres_url) as ledger:
        for one in plans:
            await ledger.open_job(NewJob(one.job, "acme", "race", 1, "f" * 64, NOW))
        await ledger.record("admit", [first.manifest], now=NOW)
        nobodys = [Outcome(uuid4(), UUID(int=0), None, code="envelope.tampered") for _ in range(40)]
        steps = [step for one in plans for step in one.steps] + [("chunk", outcome) for outcome in nobodys]
        steps += [("admit", one.manifest) for one in (among, hopeless, empty)]
        # each step goes to two processes or more, as after a rebalance
        holders = [random_.sample(range(PROCESSES), random_.randint(2, PROCESSES)) for _ in steps]
        shares = [
            into_polls([step for step, held in zip(steps, holders, strict=True) if process in held], random_)
            for process in range(PROCESSES)
        ]
        await asyncio.to_thread(race, postgres_url, shares)
        assert (await ledger.job(last.job)).state is JobState.OPEN
        assert {one.job for one in await ledger.announcements()} == {first.job, among.job}
        await asyncio.gather(*(ledger.record("admit", [last.manifest], now=NOW) for _ in range(4)))

        for one in (first, among, last):
            await check_complete(ledger, one)
        for one in (hopeless, empty):
            view = await ledger.job(one.job)
            assert (view.state, view.reason, view.failed) == (JobState.FAILED, "job.empty", one.documents)
        announcements = await ledger.announcements()
        assert len(announcements) == 3
        assert set(announcements) == {Announcement(one.job, "acme", 1) for one in (first, among, last)}
        messages = [outcome.message for outcome in nobodys]
        assert await ledger.finished("chunk", messages) == set(messages)


async def check_complete(ledger: Ledger, made: Plan) -> None:
    view = await ledger.job(made.job)
    assert (view.state, view.open_work, view.generation) == (JobState.COMPLETE, 0, 1)
    failed = made.documents // 5
    done = made.documents - failed
    assert (view.total, view.done, view.failed) == (made.documents, done, failed)
    parts, passed = made.documents * made.parts, done * made.parts
    assert view.items == {"chunk": parts, "embed": passed}
    assert view.outcomes == {"admit": made.documents + 1, "chunk": made.documents, "embed": parts, "pack": passed}
    states = [row.state for row in await ledger.documents(made.job)]
    assert states.count(DocumentState.DONE) == done


async def test_erasure_beside_recording_leaves_no_path_and_no_announcement(postgres_url: str) -> None:
    migrate(postgres_url)
    async with open_ledger(postgres_url) as ledger:
        for _ in range(10):
            made = plan(3, 1)
            await ledger.open_job(NewJob(made.job, "acme", "race", 1, "f" * 64, NOW))
            polls = [
                (stage, [outcome for at, outcome in [*made.steps, ("admit", made.manifest)] if at == stage])
                for stage in ("admit", "chunk", "embed", "pack")
            ]
            await asyncio.gather(
                *(ledger.record(stage, outcomes, now=NOW) for stage, outcomes in polls),
                ledger.erased(made.job, now=NOW),
            )
            assert (await ledger.job(made.job)).state is JobState.ERASED
            assert {row.sealed_path for row in await ledger.documents(made.job)} == {b""}
        assert await ledger.announcements() == []


def broken(made: Plan) -> list[Step]:
    """The outcomes of the documents that fail."""
    return [(stage, outcome) for stage, outcome in made.steps if outcome.code is not None]


def by_stage(made: Plan) -> list[tuple[str, list[Outcome]]]:
    steps = [*made.steps, ("admit", made.manifest)]
    return [(stage, [outcome for at, outcome in steps if at == stage]) for stage in ("admit", "chunk", "embed", "pack")]


async def test_redriving_beside_recording_completes_once_and_at_the_end(postgres_url: str) -> None:
    """Whether a redrive comes before or after the last outcome: what it reopened is waited for."""
    migrate(postgres_url)
    async with open_ledger(postgres_url) as ledger, open_ledger(postgres_url) as operator:
        for _ in range(10):
            made = plan(10, 2)
            failures = broken(made)
            await ledger.open_job(NewJob(made.job, "acme", "race", 1, "f" * 64, NOW))
            *before, last = by_stage(made)
            for stage, outcomes in before:
                await ledger.record(stage, outcomes, now=NOW)
            redriven = await asyncio.gather(
                *(ledger.record(last[0], [outcome], now=NOW) for outcome in last[1]),
                *(operator.redrive(stage, one.message, job=made.job, now=NOW) for stage, one in failures * 2),
            )
            assert all(redriven[len(last[1]) :])
            view = await ledger.job(made.job)
            assert (view.state, view.open_work, view.failed) == (JobState.PROCESSING, len(failures), 0)
            assert await ledger.announcements() == []
            mended = [Outcome(one.message, made.job, one.document) for _, one in failures]
            await asyncio.gather(*(ledger.record("embed", [one], now=NOW) for one in mended * 2))
            view = await ledger.job(made.job)
            assert (view.state, view.open_work, view.done) == (JobState.COMPLETE, 0, 10)
            assert view.outcomes["embed"] == 20
            (announcement,) = await ledger.announcements()
            assert announcement == Announcement(made.job, "acme", view.generation)
            await ledger.announced(announcement)


async def test_readmitting_beside_late_outcomes_waits_for_what_is_met_again(postgres_url: str) -> None:
    migrate(postgres_url)
    async with open_ledger(postgres_url) as ledger, open_ledger(postgres_url) as operator:
        for _ in range(10):
            made = plan(4, 2)
            await ledger.open_job(NewJob(made.job, "acme", "race", 1, "f" * 64, NOW))
            admit, *late = by_stage(made)
            await ledger.record(*admit, now=NOW)
            documents = [document.id for outcome in admit[1] for document in outcome.documents][:2]
            event = uuid4()
            await asyncio.gather(
                *(ledger.record(stage, [outcome], now=NOW) for stage, outcomes in late for outcome in outcomes),
                *(operator.readmit(made.job, documents, event=event, now=NOW) for _ in range(2)),
            )
            view = await ledger.job(made.job)
            assert (view.state, view.total) == (JobState.PROCESSING, 2)
            first = [one for one in admit[1] if one.documents and one.documents[0].id in documents]
            again = Outcome(
                event,
                made.job,
                None,
                opens=tuple(unit for one in first for unit in one.opens),
                documents=tuple(document for one in first for document in one.documents),
            )
            await asyncio.gather(*(ledger.record("admit", [again], now=NOW) for _ in range(2)))
            for stage, outcomes in late:  # every record is read once more; those with an outcome change nothing
                await ledger.record(stage, outcomes, now=NOW)
            view = await ledger.job(made.job)
            assert (view.state, view.open_work, view.generation, view.done) == (JobState.COMPLETE, 0, 1, 4)
            assert view.outcomes == {"admit": 6, "chunk": 4, "embed": 8, "pack": 8}
        assert len(await ledger.announcements()) == 10


async def test_cancelling_beside_recording_leaves_nothing_to_bake(postgres_url: str) -> None:
    migrate(postgres_url)
    async with open_ledger(postgres_url) as ledger:
        for _ in range(10):
            made = plan(3, 1)
            await ledger.open_job(NewJob(made.job, "acme", "race", 1, "f" * 64, NOW))
            await asyncio.gather(
                *(ledger.record(stage, outcomes, now=NOW) for stage, outcomes in by_stage(made)),
                ledger.cancelled(made.job, now=NOW),
                ledger.erased(made.job, now=NOW),
            )
            view = await ledger.job(made.job)
            assert (view.state, view.erased_at) in ((JobState.CANCELLED, NOW), (JobState.ERASED, NOW))
            assert {row.sealed_path for row in await ledger.documents(made.job)} == {b""}
        assert await ledger.announcements() == []


async def test_taking_beside_recording_never_waits_in_a_ring(postgres_url: str) -> None:
    """Two workers hold the same messages, as after a rebalance, and take and record them in opposite orders."""
    migrate(postgres_url)
    messages = [uuid4() for _ in range(200)]
    outcomes = [Outcome(message, UUID(int=0), None) for message in messages]
    workers = [uuid4(), uuid4()]
    async with open_ledger(postgres_url) as ledger:
        for start in range(0, 200, 20):
            part, made = messages[start : start + 20], outcomes[start : start + 20]
            await asyncio.gather(
                ledger.take("chunk", part, worker=workers[0], now=NOW),
                ledger.take("chunk", part[::-1], worker=workers[1], now=NOW),
                ledger.put_down("chunk", part[::-1], worker=workers[0]),
                ledger.record("chunk", made, now=NOW),
                ledger.record("chunk", made[::-1], now=NOW),
                ledger.take("chunk", part, worker=workers[0], now=NOW),
            )
        assert (await ledger.take("chunk", messages, worker=uuid4(), now=NOW)).finished == set(messages)
