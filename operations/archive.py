"""Is the archive whole? Everything in it is read again and compared with the records, and these with each other.

Nobody but a customer can open what was archived. What we can tell is that it is, byte for byte, what was put there.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from infra.archive import Archive
from infra.archive.names import ROOT, ArchivedName, read_name
from operations.versions import read_record, record_name, tar_name
from schemas.errors import Permanent
from schemas.ids import check_customer_id
from schemas.versions import FIRST, Version, VersionRecord

What = Literal["damaged", "missing", "stray"]
MEANING: Final[Mapping[What, str]] = {
    "damaged": "is not what was archived",
    "missing": "is not there",
    "stray": "was not put there by Cradle",
}


@dataclass(frozen=True, slots=True)
class Problem:
    name: str
    """Of the object; of a stray one as it is listed."""
    what: What


@dataclass(slots=True)
class Inspection:
    versions: int = 0
    copies: int = 0
    """Versions of which there is a whole copy; those of a customer without a recipient have none."""
    size: int = 0
    """Bytes of copies that were read."""
    problems: list[Problem] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    """Copies that no record names: a package was cut off before its record. They harm nothing, and stay."""


async def inspect_archive(
    archive: Archive, customer: str | None = None, *, packaged: Iterable[tuple[str, str]] = ()
) -> Inspection:
    """Reads everything of a customer, or everything. `packaged`: customer and version that the ledger knows of.

    A version is missing as well where a later one shows that it was there. Raises Permanent `customer.id`, and what the
    archive's port does.
    """
    prefix = f"{ROOT}/{check_customer_id(customer)}/" if customer is not None else f"{ROOT}/"
    listed = {name: read_name(name) async for name in archive.list(prefix)}
    ours = {name: read for name, read in listed.items() if read}
    inspection = Inspection(problems=[Problem(name, "stray") for name, read in listed.items() if not read])
    records = await _records(archive, ours, inspection)
    copies = {tar_name(record): record for record in records if record.archived}
    expected = {*copies, *_earlier(ours.values(), records), *(record_name(*known) for known in packaged)}
    inspection.problems += [Problem(name, "missing") for name in expected - ours.keys()]
    for name in copies.keys() & ours.keys():
        await _read_copy(archive, name, copies[name], inspection)
    inspection.versions = len(records)
    inspection.left_over = [name for name, read in ours.items() if not read.record and name not in copies]
    inspection.problems.sort(key=lambda problem: problem.name)
    return inspection


async def _records(archive: Archive, names: Mapping[str, ArchivedName], inspection: Inspection) -> list[VersionRecord]:
    found = []
    for name, read in names.items():
        if read.record:
            try:
                found.append(await read_record(archive, read.customer, read.version))
            except Permanent as error:
                if error.code != "archive.damaged":
                    raise
                inspection.problems.append(Problem(name, "damaged"))
    return found


async def _read_copy(archive: Archive, name: str, record: VersionRecord, inspection: Inspection) -> None:
    sha256 = hashlib.sha256()
    async for piece in archive.read(name):
        sha256.update(piece)
        inspection.size += len(piece)
    if record.archived and sha256.hexdigest() == record.archived.sha256:
        inspection.copies += 1
    else:
        inspection.problems.append(Problem(name, "damaged"))


def _earlier(names: Collection[ArchivedName], records: Collection[VersionRecord]) -> Iterator[str]:
    """Names of the records that came before those that are there: numbers leave no gap."""
    for one in names:
        if one.record:
            yield from (record_name(one.customer, str(version)) for version in _up_to(one.version))
    yield from (record_name(record.customer, record.extends) for record in records if record.extends)


def _up_to(version: Version) -> Iterator[Version]:
    yield FIRST
    for major in range(2, version.major + 1):
        yield Version(major, 0, "full")
    for minor in range(1, version.minor + 1):
        yield Version(version.major, minor, "update")
