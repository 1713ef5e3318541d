"""Letters to a customer, filled in with what the archive and the ledger know."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args
from uuid import UUID

from infra.ledger import DocumentState, JobView
from infra.paths import CustomerPaths
from operations.package.folder import PLAIN
from operations.package.packaging import PackagePorts
from operations.package.rendering import Language, render
from operations.versions import find_record, records, size_of
from schemas.errors import Permanent
from schemas.versions import FIRST, VersionRecord, read_version

OfVersion = Literal["ready", "updated", "rolled-back"]
OfJob = Literal["incident", "erased"]
OF_VERSION: Final[tuple[OfVersion, ...]] = get_args(OfVersion)
OF_JOB: Final[tuple[OfJob, ...]] = get_args(OfJob)


async def letter(
    kind: OfVersion | OfJob, about: UUID | str, ports: PackagePorts, *, language: Language, version: str | None = None
) -> str:
    """The letter of that kind about a job, or about a customer: the newest version or job that the letter fits.

    `version` names another version of a customer than the newest. Raises Permanent `job.unknown`, `customer.id`,
    `version.unknown`, or `package.letter`: there is nothing yet that it could tell.
    """
    if kind in OF_VERSION:
        values = _version_values(await _record(kind, about, version, ports), ports.signer.fingerprint)
    else:
        values = await _job_values(kind, await _job(kind, about, ports), ports)
    return render(f"letters/{kind}", values, language)


async def _record(kind: str, about: UUID | str, version: str | None, ports: PackagePorts) -> VersionRecord:
    if isinstance(about, UUID):
        view = await ports.ledger.job(about)
        found = [one for one in await records(ports.archive, view.customer) if one.job == about]
    elif version:
        found = [await find_record(ports.archive, about, read_version(version))]
    else:
        found = await records(ports.archive, about)
    fitting = [record for record in found if _FITS_VERSION[kind](record)]
    if not fitting:
        raise Permanent("package.letter", what=_NEEDS[kind])
    return fitting[-1]


def _version_values(record: VersionRecord, fingerprint: str) -> dict[str, Any]:
    return {
        "customer": record.customer,
        "version": record.version,
        "tag": read_version(record.version).tag,
        "extends_tag": read_version(record.extends).tag if record.extends else None,
        "documents": record.documents,
        "chunks": record.chunks,
        "left_out": sum(record.left_out.values()),
        "size": size_of(record),
        "encrypted": record.archived is not None,
        "packaged_on": record.packaged_at,
        "fingerprint": fingerprint,
    }


async def _job(kind: str, about: UUID | str, ports: PackagePorts) -> JobView:
    """Of a customer: the newest job that the letter fits."""
    if isinstance(about, UUID):
        views = [await ports.ledger.job(about)]
    else:
        views = await ports.ledger.jobs(about)
    fitting = [view for view in views if _FITS[kind](view)]
    if not fitting:
        raise Permanent("package.letter", what=_NEEDS[kind])
    return fitting[0]


async def _job_values(kind: str, view: JobView, ports: PackagePorts) -> dict[str, Any]:
    rows = await ports.ledger.documents(view.id)
    failed = [row.code for row in rows if row.state is DocumentState.FAILED and row.code]
    versions = [one for one in await records(ports.archive, view.customer) if one.job == view.id]
    paths = CustomerPaths(ports.home, view.customer)
    images = [paths.image(view.id, generation) for generation in range(view.generation + 1)]
    plain = [*images, *(paths.package(one.version) / PLAIN for one in versions)]
    return {
        "customer": view.customer,
        "reference": view.reference,
        "job": str(view.id),
        "opened_on": view.opened_at,
        "erased_on": view.erased_at,
        "total": view.total,
        "failed": view.failed,
        "whole": view.reason is not None,
        "codes": sorted({*failed, *([view.reason] if view.reason else [])}),
        "archived": any(one.archived for one in versions),
        "image_kept": any(path.exists() for path in plain),
    }


_FITS_VERSION: Final[Mapping[str, Callable[[VersionRecord], bool]]] = {
    "ready": lambda record: read_version(record.version) == FIRST,  # it alone brings credentials
    "updated": lambda record: read_version(record.version) != FIRST,
    "rolled-back": lambda record: record.archived is not None,
}
_FITS: Final[Mapping[str, Any]] = {
    "incident": lambda view: bool(view.failed or view.reason),
    "erased": lambda view: view.erased_at is not None,
}
_NEEDS: Final = {
    "ready": "a packaged first version",
    "updated": "a packaged version after the first",
    "rolled-back": "an archived version",
    "incident": "a job in which something failed",
    "erased": "an erased job",
}
