"""A database that is not there, goes away, and comes back."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from infra.ledger import NewJob, Outcome, open_ledger
from infra.ledger.migrations import migrate
from infra.local.postgres import EmbeddedPostgres
from infra.parameters import open_parameters
from infra.postgres import Database, load_queries
from schemas.errors import Retryable


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="cradle-tests-"))
    server = EmbeddedPostgres(folder / "postgres", {"fsync": "off"})
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


async def test_opening_needs_no_server_and_asking_says_that_it_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.postgres.ANSWER_SECONDS", 0.3)
    url = f"postgresql://postgres@/cradle?host={tmp_path}"
    async with open_ledger(url) as ledger, open_parameters(url) as store:
        for ping in (ledger.ping, store.ping, ledger.ping):
            with pytest.raises(Retryable) as caught:
                await ping()
            assert caught.value.code == "dependency.away"
            assert "PostgreSQL" in caught.value.sentence


async def test_it_answers_again_after_a_restart(own_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.postgres.ANSWER_SECONDS", 2.0)
    own_server.create_database("restarted")
    url = own_server.url("restarted")
    migrate(url)
    job = NewJob(uuid4(), "acme", "spring", 1, "f" * 64, datetime.now(UTC))
    async with open_ledger(url) as ledger:
        view = await ledger.open_job(job)
        own_server.stop()
        with pytest.raises(Retryable):
            await ledger.job(job.id)
        with pytest.raises(Retryable):
            await ledger.erased(job.id, now=job.opened_at)
        own_server.start()
        assert await ledger.job(job.id) == view


async def test_dropped_connections_are_made_again_in_place(postgres_url: str) -> None:
    migrate(postgres_url)
    async with open_ledger(postgres_url) as ledger:
        await asyncio.gather(*(ledger.ping() for _ in range(4)))  # fills the pool
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
            ended = await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert len(await ended.fetchall()) > 0
        message = uuid4()
        await ledger.record("chunk", [Outcome(message, uuid4(), None)], now=datetime.now(UTC))
        assert await ledger.finished("chunk", [message]) == {message}


async def test_a_worker_frozen_in_a_transaction_keeps_a_row_from_the_others_for_a_time_only(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.postgres.IDLE_SECONDS", 1)
    migrate(postgres_url)
    job = NewJob(uuid4(), "acme", "frozen", 1, "f" * 64, datetime.now(UTC))
    queries = {"lock": b"SELECT id FROM ledger.jobs FOR UPDATE"}
    database = Database(postgres_url, queries)
    await database.open()
    async with open_ledger(postgres_url) as ledger:
        await ledger.open_job(job)
        locked, recorded = asyncio.Event(), asyncio.Event()

        async def frozen() -> None:
            async with database.transaction() as statements:
                await statements.fetch("lock")
                locked.set()
                await recorded.wait()
                await statements.fetch("lock")

        freezing = asyncio.create_task(frozen())
        async with asyncio.timeout(20):
            await locked.wait()
            await ledger.record("chunk", [Outcome(uuid4(), job.id, None)], now=job.opened_at)
        recorded.set()
        with pytest.raises(Retryable):  # it thaws, and does its work again
            await freezing
    await database.close()


async def test_a_race_that_was_lost_and_a_full_disk_are_told_apart(postgres_url: str) -> None:
    database = Database(postgres_url, {})
    await database.open()
    try:
        for error, code in (
            (psycopg.errors.DeadlockDetected(), "dependency.busy"),
            (psycopg.errors.SerializationFailure(), "dependency.busy"),
            (psycopg.errors.DiskFull(), "dependency.full"),
        ):
            with pytest.raises(Retryable) as caught:
                async with database.transaction():
                    raise error
            assert caught.value.code == code
    finally:
        await database.close()


async def test_a_database_without_tables_is_said_to_lack_them(postgres_url: str) -> None:
    async with open_ledger(postgres_url) as ledger, open_parameters(postgres_url) as store:
        for ping in (ledger.ping, store.ping):
            with pytest.raises(Retryable) as caught:
                await ping()
            assert caught.value.code == "database.tables"


def test_every_query_has_a_name_and_says_what_it_does() -> None:
    for package in ("infra.ledger", "infra.parameters"):
        queries = load_queries(package)
        assert len(queries) > 5
        for name, text in queries.items():
            match = re.fullmatch(rb"(?:-- [^\n]+\n)+(.+)", text, re.DOTALL)
            assert match, f"{name} says nothing"
            statement = match[1]
            assert statement.count(b";") == 1 and statement.endswith(b";"), name
