"""What the adapters on PostgreSQL share: a pool that needs no server to be opened, and queries kept in .sql files."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import (
    DeadlockDetected,
    DiskFull,
    IdleInTransactionSessionTimeout,
    SerializationFailure,
    TooManyConnections,
    UndefinedColumn,
    UndefinedTable,
)
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from infra.retries import tried_again
from schemas.errors import Retryable

Queries = Mapping[str, bytes]

NAME: Final = "PostgreSQL"

POOL_SIZE: Final = 4
"""Connections a process holds at most; idle ones are closed after ten minutes."""
ANSWER_SECONDS: Final = 5.0
"""How long a call waits for a connection before the database counts as away."""

IDLE_SECONDS: Final = 30
"""How long a transaction may stand still between two statements before the server ends it: a frozen worker's."""

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(package: str) -> Queries:
    """The statements in the .sql files of the package's folder sql/, each under a line `-- name: NAME`, by name."""
    found: dict[str, bytes] = {}
    for file in (files(package) / "sql").iterdir():
        if file.name.endswith(".sql"):
            _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
            found |= {name: text.strip().encode() for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return found


async def _bound_transactions(connection: AsyncConnection[DictRow]) -> None:
    """A worker that is frozen within a transaction must not keep a job's row from all others for good."""
    await connection.execute(b"SET idle_in_transaction_session_timeout = '%ds'" % IDLE_SECONDS)


class Database:
    """A small pool of connections, each in autocommit, and the queries that run on it.

    Every method raises Retryable `dependency.away` where the server does not answer, `dependency.busy` where it gave
    up on a race or takes no more connections, `dependency.full`, and `database.tables` where it is not migrated yet.
    It connects when it is first asked, and again after the server was restarted.
    """

    def __init__(self, url: str, queries: Queries) -> None:
        self._queries = queries
        self._pool = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": int(ANSWER_SECONDS)},
            min_size=0,
            max_size=POOL_SIZE,
            timeout=ANSWER_SECONDS,
            configure=_bound_transactions,
            reconnect_timeout=ANSWER_SECONDS,  # each call makes its own attempt; none is left waiting for an old one
            open=False,
        )

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    @tried_again
    async def fetch(self, name: str, **parameters: object) -> list[DictRow]:
        """Runs one query, on its own; returns its rows, none where it returns none.

        It may run twice, where a connection drops: one that may not goes into a `transaction`.
        """
        async with self._connection() as connection:
            return await Statements(connection, self._queries).fetch(name, **parameters)

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Statements]":
        """Several queries that count together, or not at all where the block raises."""
        async with self._connection() as connection, connection.transaction():
            yield Statements(connection, self._queries)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (UndefinedTable, UndefinedColumn) as error:
            raise Retryable("database.tables") from error
        except (DeadlockDetected, IdleInTransactionSessionTimeout, SerializationFailure, TooManyConnections) as error:
            raise Retryable("dependency.busy", name=NAME, kind=type(error).__name__) from error
        except DiskFull as error:
            raise Retryable("dependency.full", name=NAME) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            await self._drop_broken()
            raise Retryable("dependency.away", name=NAME) from error

    async def _drop_broken(self) -> None:
        """A restart breaks every idle connection; dropping them all now spares the next calls one failure each."""
        if not self._pool.closed:
            await self._pool.check()


class Statements:
    """The queries of one connection."""

    def __init__(self, connection: AsyncConnection[DictRow], queries: Queries) -> None:
        self._connection = connection
        self._queries = queries

    async def fetch(self, name: str, **parameters: Any) -> list[DictRow]:
        cursor = await self._connection.execute(self._queries[name], parameters)
        return await cursor.fetchall() if cursor.description else []
