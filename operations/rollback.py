"""Rolling a customer back: an earlier version is packaged again, from the archive alone.

We cannot open what was archived, and need not: the ciphertext is what is shipped. The package brings no credentials; it
is unpacked over the folder that the customer has, whose credentials and volume stay.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from builders.oci.aside import aside
from infra.archive import Archive
from infra.parameters import ParameterStore
from infra.paths import CustomerPaths
from operations.package.folder import Folder, write_folder
from operations.package.sending import send
from operations.package.signing import Signer
from operations.versions import find_record, read_record, read_tar, tar_name
from schemas.versions import Version, VersionRecord


@dataclass(frozen=True, slots=True)
class RollbackPorts:
    archive: Archive
    parameters: ParameterStore
    signer: Signer
    home: Path


@dataclass(frozen=True, slots=True)
class RolledBack:
    record: VersionRecord
    folder: Folder
    below: tuple[str, ...]
    """Of an update: the versions that the customer's engine has to have, the newest first."""
    sent_to: str | None
    """Where a copy of the folder is now."""


async def roll_back(customer: str, version: Version, ports: RollbackPorts, *, to: str | None = None) -> RolledBack:
    """Packages a version again. What stands in its place is replaced. `to`: see `send`.

    Raises Permanent `customer.id`, `version.unknown`, `version.unarchived` (there is no copy), `archive.missing` or
    `archive.damaged`; CradleError `package.target`; and what the ports do.
    """
    record = await find_record(ports.archive, customer, version)
    tar_name(record)  # raises before anything is made
    _, parameters = await ports.parameters.version(customer, record.parameters)
    below = await _versions_below(ports.archive, record)
    place = CustomerPaths(ports.home, customer).rolled_back(record.version)
    with aside(place) as scratch:
        tar = scratch / "tar"
        await _write(tar, read_tar(ports.archive, record))
        folder = await asyncio.to_thread(
            write_folder,
            place,
            record=record,
            tar=tar,
            parameters=parameters,
            kind="rollback",
            credentials=False,
            signer=ports.signer,
        )
    sent_to = await send(place, to, called=f"{customer}-{place.name}") if to else None
    return RolledBack(record, folder, below, sent_to)


async def _versions_below(archive: Archive, record: VersionRecord) -> tuple[str, ...]:
    found = []
    while record.extends:
        found.append(record.extends)
        record = await read_record(archive, record.customer, record.extends)
    return tuple(found)


async def _write(path: Path, data: AsyncIterator[bytes]) -> None:
    with path.open("wb") as file:
        async for piece in data:
            await asyncio.to_thread(file.write, piece)
