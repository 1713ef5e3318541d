"""Customers and their parameters in memory, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.parameters import Customer
from schemas.errors import Permanent
from schemas.ids import check_customer_id
from schemas.parameters import InstallationParameters


@asynccontextmanager
async def open_memory(_url: str) -> AsyncIterator["MemoryParameters"]:
    """A new, empty store, gone when it is closed."""
    yield MemoryParameters()


class MemoryParameters:
    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._versions: dict[str, list[InstallationParameters]] = {}

    async def put_customer(self, customer: Customer) -> None:
        self._customers[check_customer_id(customer.id)] = customer

    async def customer(self, customer: str) -> Customer:
        if customer not in self._customers:
            raise Permanent("customer.unknown", customer=customer)
        return self._customers[customer]

    async def customers(self) -> list[Customer]:
        return [customer for _, customer in sorted(self._customers.items())]

    async def add_version(self, parameters: InstallationParameters) -> int:
        await self.customer(parameters.customer_id)
        versions = self._versions.setdefault(parameters.customer_id, [])
        if not versions or versions[-1] != parameters:
            versions.append(parameters)
        return len(versions)

    async def version(self, customer: str, number: int | None = None) -> tuple[int, InstallationParameters]:
        await self.customer(customer)
        versions = self._versions.get(customer, [])
        wanted = len(versions) if number is None else number
        if not 1 <= wanted <= len(versions):
            raise Permanent("parameters.unknown", customer=customer, version=number or "any number")
        return wanted, versions[wanted - 1]

    async def ping(self) -> None:
        pass
