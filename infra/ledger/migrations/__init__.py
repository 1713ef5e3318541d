"""The revisions of the ledger's tables. Blocking: call it before the adapter is opened, off any event loop."""

from pathlib import Path
from typing import Final

from infra.postgres.migrations import Migrations

MIGRATIONS: Final = Migrations(Path(__file__).parent, schema="ledger")


def migrate(url: str) -> None:
    """Brings the ledger's tables to the newest revision. Harmless when repeated, also by processes at one time.

    Raises Retryable `dependency.away`.
    """
    MIGRATIONS.migrate(url)


def current(url: str) -> str:
    """The revision that the database stands at; empty if it was never migrated. Raises Retryable `dependency.away`."""
    return MIGRATIONS.current(url)


def newest() -> str:
    """The revision that this release wants."""
    return MIGRATIONS.newest()
