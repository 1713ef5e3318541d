"""A customer's versions, as the archive has them: which there are, which comes next, and how one is added.

A version is its record, `versions/<customer>/<version>.json`. Beside it lies `<version>.oci.age`, the image's tar
encrypted to the customer; not so for a customer without a recipient.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from builders.image import Below
from infra.archive import Archive
from infra.archive.names import ROOT, numbered, read_name
from infra.paths import CustomerPaths
from schemas.errors import Permanent
from schemas.ids import check_customer_id
from schemas.versions import FIRST, ArchivedTar, Version, VersionRecord, read_version

MOST_ATTEMPTS: Final = 99
"""Objects that crashes may leave of one version. One is rare; this many are something else."""
PIECE_BYTES: Final = 1024 * 1024


async def records(archive: Archive, customer: str) -> list[VersionRecord]:
    """A customer's versions, oldest first. Raises Permanent `customer.id` or `archive.damaged`."""
    return [await read_record(archive, customer, version) for version in await _versions(archive, customer)]


async def newest(archive: Archive, customer: str) -> VersionRecord | None:
    """None where the customer has no version yet. Raises as `records`."""
    found = await _versions(archive, customer)
    return await read_record(archive, customer, found[-1]) if found else None


async def find_record(archive: Archive, customer: str, version: Version) -> VersionRecord:
    """Raises Permanent `version.unknown`, and as `records`."""
    try:
        return await read_record(archive, customer, version)
    except Permanent as error:
        if error.code == "archive.missing":
            raise Permanent("version.unknown", customer=customer, version=str(version)) from None
        raise


def next_version(records: Sequence[VersionRecord], *, update: bool) -> Version:
    """What the next package is called; `records` is oldest first. Raises ValueError for an update of nothing."""
    if not records:
        if update:
            raise ValueError("there is nothing to update")
        return FIRST
    last = read_version(records[-1].version)
    return last.updated() if update else last.renewed()


async def remember(archive: Archive, record: VersionRecord, tar: Path | None) -> VersionRecord:
    """Adds a version: its ciphertext `tar`, if it has one, and then its record. Returns the record as it stands.

    `record.archived` is set here. The record makes the version, and is added last: without it nothing happened.

    - A crash after the ciphertext leaves an object that nobody can open or remove, and nobody needs. Encrypting again
      gives other bytes, so the next attempt adds its own beside it, as `<version>.2.oci.age`, and the record says which
      is the version's. The very same bytes (an answer that got lost) are not added twice.
    - Of two packages of one job at once, or after a crash behind the record, the first record stands and is returned.
      Then `archived.sha256` may not be that of `tar`: what the customer gets is the archive's, see `read_tar`.
    - Raises Permanent `version.taken`: another job has become this version meanwhile.

    Raises OSError if `tar` cannot be read, and what the archive's port does.
    """
    if standing := await _standing(archive, record):
        return standing
    archived = await _add_tar(archive, record, tar) if tar else None
    record = record.model_copy(update={"archived": archived})
    try:
        await archive.add(record_name(record.customer, record.version), _one_piece(record.model_dump_json(indent=1)))
    except Permanent as error:
        if error.code != "archive.exists":
            raise
        return await _standing(archive, record) or record
    return record


def record_name(customer: str, version: str) -> str:
    """Name in the archive of a version's record. Raises Permanent `customer.id` or `version.name`."""
    return CustomerPaths(Path(), customer).archived(version)[1]


def tar_name(record: VersionRecord) -> str:
    """Name in the archive of the version's ciphertext. Raises Permanent `version.unarchived`: it has none."""
    if record.archived is None:
        raise Permanent("version.unarchived", version=record.version, customer=record.customer)
    return _tar_name(record, record.archived.attempt)


async def read_tar(archive: Archive, record: VersionRecord) -> AsyncIterator[bytes]:
    """The version's ciphertext, in pieces. Raises Permanent `version.unarchived` or `archive.missing`; after the last
    piece `archive.damaged` where they are not what was archived."""
    name, sha256 = tar_name(record), hashlib.sha256()
    async for piece in archive.read(name):
        sha256.update(piece)
        yield piece
    if record.archived is None or sha256.hexdigest() != record.archived.sha256:
        raise Permanent("archive.damaged", name=name)


async def read_record(archive: Archive, customer: str, version: Version | str) -> VersionRecord:
    """Raises Permanent `customer.id`, `version.name`, `archive.missing`, or `archive.damaged`: it is no record, or that
    of another version."""
    name = record_name(customer, str(version))
    content = b"".join([piece async for piece in archive.read(name)])
    try:
        record = VersionRecord.model_validate_json(content)
    except ValidationError:
        raise Permanent("archive.damaged", name=name) from None
    if (record.customer, record.version) != (customer, str(version)):
        raise Permanent("archive.damaged", name=name)
    return record


def below(record: VersionRecord) -> Below:
    """The version's image, for an update to lie over it."""
    return Below(record.digest, record.manifest, record.config)


def size_of(record: VersionRecord) -> int:
    """Bytes of what the customer loads: the ciphertext, else the layers that the version's tar holds."""
    if record.archived is not None:
        return record.archived.size
    return sum(int(layer["size"]) for layer in record.manifest["layers"] if layer["digest"] in record.new_layers)


async def _versions(archive: Archive, customer: str) -> list[Version]:
    names = archive.list(f"{ROOT}/{check_customer_id(customer)}/")
    return sorted([found.version async for name in names if (found := read_name(name)) and found.record])


async def _standing(archive: Archive, record: VersionRecord) -> VersionRecord | None:
    """The version's record, where the same job was there before. Raises Permanent `version.taken`: it was another."""
    try:
        there = await read_record(archive, record.customer, record.version)
    except Permanent as error:
        if error.code == "archive.missing":
            return None
        raise
    if (there.job, there.generation) != (record.job, record.generation):
        raise Permanent("version.taken", version=record.version)
    return there


async def _add_tar(archive: Archive, record: VersionRecord, tar: Path) -> ArchivedTar:
    sha256, size = await asyncio.to_thread(_measure, tar)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        name = _tar_name(record, attempt)
        try:
            await archive.add(name, _pieces(tar))
        except Permanent as error:
            if error.code != "archive.exists":
                raise
            if await _sha256(archive, name) != sha256:
                continue
        return ArchivedTar(sha256=sha256, size=size, attempt=attempt)
    raise Permanent("archive.exists", name=_tar_name(record, MOST_ATTEMPTS))


def _tar_name(record: VersionRecord, attempt: int) -> str:
    return numbered(CustomerPaths(Path(), record.customer).archived(record.version)[0], attempt)


def _measure(tar: Path) -> tuple[str, int]:
    with tar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), tar.stat().st_size


async def _sha256(archive: Archive, name: str) -> str:
    sha256 = hashlib.sha256()
    async for piece in archive.read(name):
        sha256.update(piece)
    return sha256.hexdigest()


async def _pieces(tar: Path) -> AsyncIterator[bytes]:
    with tar.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def _one_piece(text: str) -> AsyncIterator[bytes]:
    yield text.encode()
