"""Customers and their parameters on PostgreSQL. Its statements stand in sql/, its tables in migrations/versions/."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.rows import DictRow

from infra.parameters import Customer
from infra.postgres import Database, load_queries
from infra.retries import tried_again
from schemas.errors import Permanent
from schemas.ids import check_customer_id
from schemas.parameters import InstallationParameters


@asynccontextmanager
async def open_postgres(url: str) -> AsyncIterator["PostgresParameters"]:
    """`url` as libpq reads it. No server need answer yet."""
    database = Database(url, load_queries("infra.parameters"))
    await database.open()
    try:
        yield PostgresParameters(database)
    finally:
        await database.close()


class PostgresParameters:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_customer(self, customer: Customer) -> None:
        await self._database.fetch(
            "put_customer",
            id=check_customer_id(customer.id),
            recipient=customer.recipient,
            roots=list(customer.roots),
            window=customer.window,
            retain_hours=customer.retain_hours,
            max_failed=customer.max_failed,
        )

    async def customer(self, customer: str) -> Customer:
        rows = await self._database.fetch("customer", id=customer)
        if not rows:
            raise Permanent("customer.unknown", customer=customer)
        return _customer(rows[0])

    async def customers(self) -> list[Customer]:
        return [_customer(row) for row in await self._database.fetch("customers")]

    @tried_again
    async def add_version(self, parameters: InstallationParameters) -> int:
        customer = parameters.customer_id
        async with self._database.transaction() as statements:
            if not await statements.fetch("lock_customer", customer=customer):
                raise Permanent("customer.unknown", customer=customer)
            newest = [_version(row) for row in await statements.fetch("newest_version", customer=customer)]
            number, stored = newest[0] if newest else (0, None)
            if stored == parameters:
                return number
            await statements.fetch(
                "add_version",
                customer=customer,
                number=number + 1,
                sha256=parameters.sha256(),
                content=parameters.model_dump_json(),
            )
            return number + 1

    async def version(self, customer: str, number: int | None = None) -> tuple[int, InstallationParameters]:
        if number is None:
            rows = await self._database.fetch("newest_version", customer=customer)
        else:
            rows = await self._database.fetch("version", customer=customer, number=number)
        if rows:
            return _version(rows[0])
        await self.customer(customer)
        raise Permanent("parameters.unknown", customer=customer, version=number or "any number")

    async def ping(self) -> None:
        await self._database.fetch("ping")


def _customer(row: DictRow) -> Customer:
    return Customer(**row | {"roots": tuple(row["roots"])})


def _version(row: DictRow) -> tuple[int, InstallationParameters]:
    return row["number"], InstallationParameters.model_validate_json(row["content"])
