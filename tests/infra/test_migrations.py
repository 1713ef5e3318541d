"""The tables of ledger and parameters: made once, however many ask, in one database or in two."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from infra.ledger import migrations as ledger_migrations
from infra.parameters import Customer, open_parameters
from infra.parameters import migrations as parameters_migrations
from schemas.errors import Retryable
from schemas.parameters import InstallationParameters

SETS = pytest.mark.parametrize("tables", [ledger_migrations, parameters_migrations], ids=["ledger", "parameters"])


@SETS
def test_migrating_leads_to_the_newest_revision_and_is_repeatable(postgres_url: str, tables: ModuleType) -> None:
    assert tables.current(postgres_url) == ""
    for _ in range(2):
        tables.migrate(postgres_url)
        assert tables.current(postgres_url) == tables.newest() != ""


def test_both_sets_live_in_one_database_and_know_nothing_of_each_other(postgres_url: str) -> None:
    ledger_migrations.migrate(postgres_url)
    assert parameters_migrations.current(postgres_url) == ""
    parameters_migrations.migrate(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'").fetchall()
    assert sorted(rows) == [("ledger",), ("parameters",)]


def test_processes_that_start_together_take_turns(postgres_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ledger_migrations.MIGRATIONS.migrate, postgres_url) for _ in range(4)]
    assert [call.exception() for call in calls] == [None] * 4
    assert ledger_migrations.current(postgres_url) == ledger_migrations.newest()


def test_a_revision_that_fails_leaves_nothing_behind(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ledger; CREATE TABLE ledger.outbox ()")
        with pytest.raises(Exception, match="outbox"):
            ledger_migrations.migrate(postgres_url)
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'").fetchall()
    assert rows == [("outbox",)]


@SETS
def test_a_server_that_is_away_is_said_to_be_away(tmp_path: Path, tables: ModuleType) -> None:
    url = f"postgresql://postgres@/cradle?host={tmp_path}"
    for call in (tables.migrate, tables.current):
        with pytest.raises(Retryable) as caught:
            call(url)
        assert caught.value.code == "dependency.away"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE parameters.versions SET content = '{}'",
        "DELETE FROM parameters.versions",
        "TRUNCATE parameters.versions",
        "DELETE FROM parameters.customers",
    ],
)
async def test_the_database_itself_refuses_to_change_a_version(postgres_url: str, statement: str) -> None:
    parameters_migrations.migrate(postgres_url)
    async with open_parameters(postgres_url) as store:
        await store.put_customer(Customer("acme"))
        await store.add_version(InstallationParameters(customer_id="acme"))
        with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.IntegrityError):
            connection.execute(statement.encode())
        assert await store.version("acme", 1) == (1, InstallationParameters(customer_id="acme"))
