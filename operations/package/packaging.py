"""A baked job becomes a version: its image is archived for the customer, and then stands in a folder to be sent.

The archive's record is what makes the version. Whatever was killed before it leaves nothing that counts; after it, the
folder is made of what the archive gives back, so that every call ends with the same version and the same image.
"""

import asyncio
import fcntl
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from appliance.format import VERSION
from builders.image import SBOM
from builders.oci.archive import save
from builders.oci.aside import aside
from builders.oci.read import Image, layer_files, open_image
from infra.archive import Archive
from infra.ledger import DocumentState, JobState, JobView, Ledger
from infra.parameters import Customer, ParameterStore
from infra.paths import CustomerPaths
from operations.package.encrypting import encrypt_image
from operations.package.folder import Folder, write_folder
from operations.package.sending import send
from operations.package.signing import Signer
from operations.package.statements import BASE_DIGEST, image_name
from operations.versions import next_version, read_tar, records, remember
from schemas.errors import CradleError, Permanent
from schemas.parameters import InstallationParameters
from schemas.versions import FIRST, Version, VersionRecord, read_version

PACKAGED_BEFORE: Final = frozenset({JobState.BAKED, JobState.PACKAGED, JobState.ERASED})
"""States in which a job that was packaged may be packaged again."""
MOST_RACES: Final = 20
"""Jobs of one customer that may take a version's name before ours."""


@dataclass(frozen=True, slots=True)
class PackagePorts:
    ledger: Ledger
    parameters: ParameterStore
    archive: Archive
    home: Path
    signer: Signer
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Packaged:
    record: VersionRecord
    folder: Folder
    again: bool
    """Whether the job was this version before."""
    sent_to: str | None
    """Where a copy of the folder is now."""

    @property
    def runs(self) -> bool:
        """Whether the image has a base, with a Python in it: without one, it holds data and sources alone."""
        return BASE_DIGEST in self.record.manifest.get("annotations", {})

    def report(self) -> dict[str, Any]:
        """As plain values, for `cradle package --json`."""
        return {
            "customer": self.record.customer,
            "version": self.record.version,
            "extends": self.record.extends,
            "job": str(self.record.job),
            "image": self.record.digest,
            "folder": str(self.folder.path),
            "kind": self.folder.kind,
            "files": self.folder.files,
            "size": self.folder.size,
            "encrypted": self.folder.encrypted,
            "archived": self.record.archived is not None,
            "fingerprint": self.folder.fingerprint,
            "runs": self.runs,
            "again": self.again,
            "new_credentials": self.folder.new_credentials,
            "sent_to": self.sent_to,
        }


async def package(job: UUID, ports: PackagePorts, *, to: str | None = None) -> Packaged:
    """Makes the job's newest image a version of its customer: archived, packaged, and noted in the ledger.

    Again gives the same version and the same image, in a folder made anew; its credentials are those that stand in the
    folder. Of two at once, the second waits for the first and finds its version. `to`: see `send`.

    Raises Permanent `job.unknown`, `package.unbaked`, `version.superseded` (an update of what is no longer the newest),
    `package.recipient`, `archive.damaged`; CradleError `image.unknown`, `image.broken` or `package.target`;
    and what the ports raise.
    """
    view = await ports.ledger.job(job)
    async with _alone(CustomerPaths(ports.home, view.customer)):
        known = _find(await records(ports.archive, view.customer), view)
        record = known or await _new_version(view, ports)
        _, parameters = await ports.parameters.version(record.customer, record.parameters)
        folder = await _put_in_place(record, parameters, ports)
        await ports.ledger.packaged(job, view.generation, record.version)
    called = f"{record.customer}-{record.version}"
    sent_to = await send(folder.path, to, called=called) if to else None
    return Packaged(record, folder, known is not None, sent_to)


async def newest_job(customer: str, ledger: Ledger) -> UUID:
    """The customer's job that was baked last. Raises Permanent `package.nothing`."""
    baked = [
        view for view in await ledger.jobs(customer, limit=1000) if view.baked_at and view.state in PACKAGED_BEFORE
    ]
    if not baked:
        raise Permanent("package.nothing", customer=customer)
    return max(baked, key=lambda view: view.baked_at or view.opened_at).id


# -- the version ------------------------------------------------------------------------------------------------------


async def _new_version(view: JobView, ports: PackagePorts) -> VersionRecord:
    """Archives the job's image under the next version's name. A name that another job takes meanwhile is left to it."""
    if view.state not in (JobState.BAKED, JobState.PACKAGED):
        raise Permanent("package.unbaked", job=view.id, state=view.state.value)
    image = await asyncio.to_thread(_whole_image, ports.home, view)
    customer = await ports.parameters.customer(view.customer)
    for _ in range(MOST_RACES):
        known = await records(ports.archive, view.customer)
        _check_extends(view, known)
        version = next_version(known, update=view.extends is not None)
        record = await _record(view, image, version, known, ports)
        try:
            return await _remember(record, image, customer, ports)
        except Permanent as error:
            if error.code != "version.taken":
                raise
    raise Permanent("version.taken", version=str(version))


def _find(known: Sequence[VersionRecord], view: JobView) -> VersionRecord | None:
    """The version that the job's newest image is already, if it is over."""
    if view.state not in PACKAGED_BEFORE:
        return None
    return next((one for one in known if (one.job, one.generation) == (view.id, view.generation)), None)


def _check_extends(view: JobView, known: Sequence[VersionRecord]) -> None:
    newest = known[-1].version if known else "none"
    if view.extends not in (None, newest):
        raise Permanent("version.superseded", extends=view.extends, newest=newest)


def _whole_image(home: Path, view: JobView) -> Image:
    image = open_image(CustomerPaths(home, view.customer).image(view.id, view.generation))
    if image.digest != view.image:
        raise CradleError("image.broken", what="it is not the one that was baked")
    image.verify()
    return image


async def _record(
    view: JobView, image: Image, version: Version, known: Sequence[VersionRecord], ports: PackagePorts
) -> VersionRecord:
    _, parameters = await ports.parameters.version(view.customer, view.parameters)
    failed = [row.code for row in await ports.ledger.documents(view.id) if row.state is DocumentState.FAILED]
    return VersionRecord(
        customer=view.customer,
        version=str(version),
        extends=view.extends,
        job=view.id,
        generation=view.generation,
        parameters=view.parameters,
        parameters_sha256=parameters.sha256(),
        fingerprint=view.fingerprint,
        format=VERSION,
        digest=image.digest,
        manifest=image.manifest,
        config=image.config,
        new_layers=tuple(layer["digest"] for layer in image.layers if layer["digest"] not in image.missing),
        documents=view.listed,
        chunks=view.chunks or 0,
        merkle=dict(view.merkle),
        left_out=dict(sorted(Counter(code or "unknown" for code in failed).items())),
        sbom=known[-1].sbom if view.extends else await asyncio.to_thread(_sbom, image),
        packaged_at=ports.clock(),
        archived=None,
    )


async def _remember(record: VersionRecord, image: Image, customer: Customer, ports: PackagePorts) -> VersionRecord:
    if customer.recipient is None:
        return await remember(ports.archive, record, None)
    with aside(_place(record, ports)) as scratch:
        tar = scratch / "encrypted"
        await asyncio.to_thread(encrypt_image, image, tar, customer.recipient, name=image_name(record))
        return await remember(ports.archive, record, tar)


def _sbom(image: Image) -> dict[str, Any]:
    """As it lies in the appliance's layer. Raises CradleError `image.broken`."""
    found = layer_files(image.layer("appliance"), [SBOM])[SBOM]
    bill: dict[str, Any] = json.loads(found.read())
    return bill


# -- the folder -------------------------------------------------------------------------------------------------------


async def _put_in_place(record: VersionRecord, parameters: InstallationParameters, ports: PackagePorts) -> Folder:
    """What was archived is read back, which proves that it can be; without a copy the tar is made of the image."""
    first = read_version(record.version) == FIRST
    place = _place(record, ports)
    with aside(place) as scratch:
        tar = scratch / "tar"
        if record.archived is None:
            image = open_image(CustomerPaths(ports.home, record.customer).image(record.job, record.generation))
            await asyncio.to_thread(save, image, tar, name=image_name(record))
        else:
            await _write(read_tar(ports.archive, record), tar)
        return await asyncio.to_thread(
            write_folder,
            place,
            record=record,
            tar=tar,
            parameters=parameters,
            kind="first" if first else "update",
            credentials=first,
            signer=ports.signer,
        )


async def _write(data: AsyncIterator[bytes], file: Path) -> None:
    with file.open("xb") as opened:
        async for piece in data:
            await asyncio.to_thread(opened.write, piece)


def _place(record: VersionRecord, ports: PackagePorts) -> Path:
    return CustomerPaths(ports.home, record.customer).package(record.version)


@asynccontextmanager
async def _alone(paths: CustomerPaths) -> AsyncIterator[None]:
    """One package of a customer at a time on this machine; the system lets go of a dead process's lock. Between
    machines the archive decides."""
    folder = paths.home / "packages" / paths.customer
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        await asyncio.to_thread(fcntl.flock, handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
