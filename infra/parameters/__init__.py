"""The parameters port: customers and their Installation Parameters, immutable numbered versions."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from infra.adapters import adapter
from schemas.parameters import InstallationParameters

ADAPTERS: Final = {
    "memory": "infra.parameters.memory:open_memory",
    "postgresql": "infra.parameters.postgres:open_postgres",
}


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    recipient: str | None = None
    """age public key (`age1...`) that the archive is encrypted to."""
    roots: tuple[str, ...] = ()
    """`file:///folder/` and `s3://bucket/prefix/` under which a foreign client's objects may lie."""
    window: int = 32
    """Most documents of this customer with open work at one time."""
    retain_hours: int = 24
    """How long a baked job is kept before it is erased, 1 to 168."""
    max_failed: str | None = None
    """How many documents of a job may fail before the job as a whole does: a count, `5`, or a share of them, `10%`.
    None: all but one."""


class ParameterStore(Protocol):
    """Every method raises Retryable `dependency.away` when the database does not answer."""

    async def put_customer(self, customer: Customer) -> None:
        """Adds the customer, or replaces all but its id. Raises Permanent `customer.id`."""

    async def customer(self, customer: str) -> Customer:
        """Raises Permanent `customer.unknown`."""

    async def customers(self) -> list[Customer]:
        """All of them, by id."""

    async def add_version(self, parameters: InstallationParameters) -> int:
        """Stores the next version; returns its number, from 1. Equal to the newest: that one's number, nothing stored.

        Raises Permanent `customer.unknown`. No method changes or removes a version; the database refuses it as well.
        """

    async def version(self, customer: str, number: int | None = None) -> tuple[int, InstallationParameters]:
        """That version, or the newest. Raises Permanent `customer.unknown` or `parameters.unknown`."""

    async def ping(self) -> None: ...


def open_parameters(url: str) -> AbstractAsyncContextManager[ParameterStore]:
    """`postgresql://...` (migrated beforehand: `infra.parameters.migrations`), `memory:`."""
    context: AbstractAsyncContextManager[ParameterStore] = adapter("parameters", url, ADAPTERS)(url)
    return context
