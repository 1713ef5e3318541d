"""Updates: which version a job lies over, and whether what today's stages make fits what stands below.

Nothing of the version below is here but its record: no document, no layer. So whatever decided its results has to be
the same today.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NoReturn

from appliance.format import VERSION
from infra.archive import Archive
from infra.parameters import ParameterStore
from operations.versions import find_record, newest
from schemas.errors import Permanent
from schemas.parameters import InstallationParameters, changed_stages
from schemas.topology import Topology
from schemas.versions import MOST_UPDATES, VersionRecord, read_version


async def newest_base(
    customer: str,
    *,
    archive: Archive,
    parameters: ParameterStore,
    topology: Topology,
    identify: Callable[[InstallationParameters], Mapping[str, str]],
) -> VersionRecord:
    """The customer's newest version, which an update that is opened now lies over.

    Raises Permanent `update.nothing` (it has none), `update.format` or `update.stages`: this release would make
    something else of the documents than that version holds.
    """
    base = await newest(archive, customer)
    if base is None:
        raise Permanent("update.nothing", customer=customer)
    _check_format(base)
    _, values = await parameters.version(customer, base.parameters)
    engines = await asyncio.to_thread(identify, values)  # it may have to hash weights
    changed = changed_stages(base.fingerprint, values, engines, topology.versions()) - topology.of_whole_jobs
    if changed:
        told = ", ".join(stage for stage in topology.stages if stage in changed)
        raise Permanent("update.stages", version=base.version, stages=told)
    return base


async def refuse_parameters(customer: str, archive: Archive) -> NoReturn:
    """An update keeps what it lies over. Raises Permanent `update.parameters`, or `update.nothing`."""
    base = await newest(archive, customer)
    if base is None:
        raise Permanent("update.nothing", customer=customer)
    raise Permanent("update.parameters", version=base.version)


def many_updates(extends: str | None) -> bool:
    """Whether an update of that version is one more than MOST_UPDATES over one full image: then a full job is due."""
    return extends is not None and read_version(extends).minor >= MOST_UPDATES


async def base_of(customer: str, extends: str, archive: Archive) -> VersionRecord:
    """The version that a job of the customer updates. Raises Permanent `version.unknown` or `update.format`."""
    base = await find_record(archive, customer, read_version(extends))
    _check_format(base)
    return base


def _check_format(base: VersionRecord) -> None:
    if base.format != VERSION:
        raise Permanent("update.format", version=base.version)
