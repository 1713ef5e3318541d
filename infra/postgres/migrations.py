"""Alembic without an alembic.ini: each set of tables has its folder of revisions and a schema of its own.

The schema holds the set's version table, so that several sets share one database and know nothing of each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import OperationalError

from infra.postgres import ANSWER_SECONDS
from schemas.errors import Retryable


@dataclass(frozen=True, slots=True)
class Migrations:
    """The revisions in `folder` (env.py, versions/) of the tables in `schema`.

    Methods block, and raise Retryable `dependency.away` where the server does not answer.
    """

    folder: Path
    schema: str

    def migrate(self, url: str) -> None:
        """Brings the tables to the newest revision, whole or not at all. Harmless when repeated, also at one time."""
        with _connected(url) as connection:
            # processes that start together take turns; the lock goes with the transaction
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('cradle.migrations'))")
            connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')
            config = self._config()
            config.attributes.update(connection=connection, schema=self.schema)
            command.upgrade(config, "head")

    def current(self, url: str) -> str:
        """The revision that the database stands at; empty if it was never migrated."""
        with _connected(url) as connection:
            standing = MigrationContext.configure(connection, opts={"version_table_schema": self.schema})
            return standing.get_current_revision() or ""

    def newest(self) -> str:
        """The revision that this release wants."""
        return ScriptDirectory.from_config(self._config()).get_current_head() or ""

    def _config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        return config


def run_revisions() -> None:
    """What every env.py does: run the revisions on the connection that `migrate` holds."""
    attributes = context.config.attributes
    context.configure(connection=attributes["connection"], version_table_schema=attributes["schema"])
    with context.begin_transaction():
        context.run_migrations()


def run_sql(connection: Connection, revision: str) -> None:
    """Runs the .sql file beside a revision's file. It holds no '%' and no ':name'."""
    connection.exec_driver_sql(Path(revision).with_suffix(".sql").read_text(encoding="utf-8"))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A connection in one transaction. libpq reads the URL, so unix sockets and all its options work."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, connect_timeout=int(ANSWER_SECONDS)),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise Retryable("dependency.away", name="PostgreSQL") from error
    finally:
        engine.dispose()
