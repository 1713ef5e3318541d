"""Jobs: opening one, what a running process may know of it, and telling a person how it stands."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from engines.library import identify
from infra.archive import Archive
from infra.keys import LEASE_SECONDS, Keys
from infra.ledger import Counted, DocumentState, JobState, JobView, Ledger, Limit, NewJob
from infra.parameters import ParameterStore
from infra.progress import Progress
from operations.customers import read_limit
from operations.updates import newest_base
from schemas import sealing
from schemas.errors import CradleError, Permanent
from schemas.ids import job_id
from schemas.parameters import InstallationParameters, fingerprint
from schemas.topology import Topology

Identify = Callable[[InstallationParameters], Mapping[str, str]]
"""The engines' identities, by port."""

OVER: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.ERASED})
"""States that no waiting gets past."""
MOST_PINNED: Final = 1000
"""Jobs whose parameters a process keeps at hand; the one pinned first goes first."""
CHUNKING: Final = "chunk"
"""The stage whose items are a job's chunks."""


# -- opening ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenedJob:
    id: UUID
    view: JobView
    """As the ledger has it: of a job that was known already, with the parameters it pinned then."""
    key: bytes = field(repr=False)


async def open_job(
    customer: str,
    reference: str,
    *,
    parameters: ParameterStore,
    ledger: Ledger,
    keys: Keys,
    topology: Topology,
    clock: Callable[[], datetime],
    identify: Identify = identify,
    version: int | None = None,
    parent: UUID | None = None,
    extends: str | None = None,
) -> OpenedJob:
    """Opens the job that `customer` calls `reference`, pinned to that version of its parameters, or to the newest.

    Twice is harmless. `parent`: the job that it replays. `extends`: the customer's version that it updates.

    The key comes before the ledger's row: a crash in between leaves a key without a job, which seals nothing, and
    never a job without a key. Raises Permanent `customer.unknown`, `parameters.unknown`, `engine.unknown`,
    `job.erased`, `job.cancelled`, or `key.destroyed` while an erasure is under way.
    """
    job = job_id(customer, reference)
    keeper = await parameters.customer(customer)
    pinned, values = await parameters.version(customer, version)
    deciding = await _fingerprint(values, topology, identify)
    key = await _create_key(job, keys, ledger)
    opened_at = clock()
    view = await ledger.open_job(
        NewJob(
            id=job,
            customer=customer,
            reference=reference,
            parameters=pinned,
            fingerprint=deciding,
            opened_at=opened_at,
            parent=parent,
            retain_until=opened_at + timedelta(hours=keeper.retain_hours),
            max_failed=read_limit(keeper.max_failed),
            extends=extends,
        )
    )
    _refuse_erased(view)
    return OpenedJob(job, view, key)


async def _fingerprint(parameters: InstallationParameters, topology: Topology, identify: Identify) -> str:
    engines = await asyncio.to_thread(identify, parameters)  # it may have to hash weights
    return fingerprint(parameters, engines, topology.versions())


async def _create_key(job: UUID, keys: Keys, ledger: Ledger) -> bytes:
    try:
        return await keys.create(job)
    except Permanent as error:
        if error.code == "key.destroyed":
            await _refuse_if_told(job, ledger)
        raise


async def _refuse_if_told(job: UUID, ledger: Ledger) -> None:
    """In the ledger's words, where it has any: the key's tombstone outlives them."""
    try:
        view = await ledger.job(job)
    except Permanent as error:
        if error.code != "job.unknown":
            raise
    else:
        _refuse_erased(view)


def _refuse_erased(view: JobView) -> None:
    if view.state is JobState.ERASED:
        raise Permanent("job.erased", when=view.erased_at)
    if view.state is JobState.CANCELLED:
        raise Permanent("job.cancelled")


# -- what a running process may know of a job -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lease:
    key: bytes = field(repr=False)
    ends: float


@dataclass(frozen=True, slots=True)
class _Pins:
    """What a job is opened with."""

    parameters: int | None
    """Version; None: the newest."""
    extends: str | None = None


class PinnedJobs:
    """The `Jobs` port of the stages, and the producers' way to a job.

    What a job pinned never changes and is kept. A key is kept for LEASE_SECONDS by `monotonic`, counted from before it
    was fetched, so that a destroyed key is unusable everywhere within that time.
    """

    def __init__(
        self,
        *,
        parameters: ParameterStore,
        ledger: Ledger,
        keys: Keys,
        archive: Archive,
        topology: Topology,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        identify: Identify = identify,
    ) -> None:
        self._store = parameters
        self._ledger = ledger
        self._keys = keys
        self._archive = archive
        self._topology = topology
        self._clock = clock
        self._monotonic = monotonic
        self._identify = identify
        self._parameters: dict[UUID, InstallationParameters] = {}
        self._fingerprints: dict[UUID, str] = {}
        self._leases: dict[UUID, _Lease] = {}

    async def open(self, customer: str, reference: str, *, update: bool = False) -> UUID:
        """The job's id, as `opened`."""
        return (await self.opened(customer, reference, update=update)).id

    async def opened(
        self, customer: str, reference: str, *, update: bool = False, version: int | None = None
    ) -> OpenedJob:
        """The job, as `open_job`; with `update` one that lies over the customer's newest version, and is pinned to the
        parameters of that.

        Raises Permanent as `open_job` and `operations.updates.newest_base`. A known job stays what it is: that raises
        `update.disagrees`, or `job.parameters` where `version` is not the one it pinned.
        """
        asked = self._monotonic()
        pins = await self._pins_of_update(customer, reference) if update else _Pins(version)
        opened = await open_job(
            customer,
            reference,
            parameters=self._store,
            ledger=self._ledger,
            keys=self._keys,
            topology=self._topology,
            clock=self._clock,
            identify=self._identify,
            version=pins.parameters,
            extends=pins.extends,
        )
        if update != (opened.view.extends is not None):
            raise Permanent("update.disagrees")
        if version not in (None, opened.view.parameters):
            raise Permanent("job.parameters", pinned=opened.view.parameters)
        self._leases[opened.id] = _Lease(opened.key, asked + LEASE_SECONDS)
        return opened

    async def parameters(self, job: UUID) -> InstallationParameters:
        """The version the job pinned. Raises Permanent `job.unknown`."""
        if job not in self._parameters:
            await self._pin(job)
        return self._parameters[job]

    async def fingerprint(self, job: UUID) -> str:
        """Raises Permanent `job.unknown`."""
        if job not in self._fingerprints:
            await self._pin(job)
        return self._fingerprints[job]

    async def key(self, job: UUID) -> bytes:
        """Raises Permanent `key.destroyed` or `key.unknown`."""
        asked = self._monotonic()
        lease = self._leases.get(job)
        if lease is None or lease.ends <= asked:
            self._drop_ended_leases(asked)
            lease = _Lease(await self._keys.fetch(str(job)), asked + LEASE_SECONDS)
            self._leases[job] = lease
        return lease.key

    async def _pins_of_update(self, customer: str, reference: str) -> "_Pins":
        """What the job pinned already, if it is known, or else what the customer's newest version makes it pin."""
        try:
            view = await self._ledger.job(job_id(customer, reference))
        except Permanent:
            pass
        else:
            return _Pins(view.parameters, view.extends)
        await self._store.customer(customer)
        base = await newest_base(
            customer, archive=self._archive, parameters=self._store, topology=self._topology, identify=self._identify
        )
        return _Pins(base.parameters, base.version)

    async def _pin(self, job: UUID) -> None:
        view = await self._ledger.job(job)
        _, self._parameters[job] = await self._store.version(view.customer, view.parameters)
        self._fingerprints[job] = view.fingerprint
        for pinned in (self._parameters, self._fingerprints):
            if len(pinned) > MOST_PINNED:
                del pinned[next(iter(pinned))]

    def _drop_ended_leases(self, now: float) -> None:
        self._leases = {job: lease for job, lease in self._leases.items() if lease.ends > now}


# -- telling a person -------------------------------------------------------------------------------------------------


def seal_path(key: bytes, document: str, path: str, *, nonce: bytes) -> bytes:
    """A document's path as the ledger keeps it: sealed under the job's key, bound to the document's id."""
    return sealing.seal(key, path.encode(), associated=document.encode(), nonce=nonce)


def open_path(key: bytes, document: str, sealed: bytes) -> str:
    """Raises Permanent `envelope.tampered` or `envelope.malformed`."""
    return sealing.unseal(key, sealed, associated=document.encode()).decode()


def job_report(view: JobView) -> dict[str, Any]:
    """How the job stands, as plain values for `cradle job --json`. Times are ISO 8601.

    `counts` tells what a person should know of: of the documents done, those that are the same file again; pages
    recognised, and those hard to read; chunks with hidden text, and those folded into others.
    """
    return {
        "job": str(view.id),
        "customer": view.customer,
        "reference": view.reference,
        "state": view.state.value,
        "documents": {"total": view.total, "done": view.listed, "failed": view.failed},
        "counts": {"duplicates": view.duplicates} | {name.value: view.counts.get(name, 0) for name in Counted},
        "chunks": view.items.get(CHUNKING, 0) if view.chunks is None else view.chunks,
        "open_work": view.open_work,
        "items": dict(view.items),
        "extends": view.extends,
        "version": view.version,
        "image": view.image,
        "generation": view.generation,
        "merkle": dict(view.merkle),
        "reason": view.reason,
        "next_step": _next_step(view),
        "parameters": view.parameters,
        "fingerprint": view.fingerprint,
        "parent": None if view.parent is None else str(view.parent),
        "opened_at": _iso(view.opened_at),
        "completed_at": _iso(view.completed_at),
        "baked_at": _iso(view.baked_at),
        "erased_at": _iso(view.erased_at),
        "retain_until": _iso(view.retain_until),
        "max_failed": _limit(view.max_failed),
    }


async def describe_job(job: UUID, *, ledger: Ledger, keys: Keys) -> dict[str, Any]:
    """`job_report` and every document left out, `failures`: `[{document, path, stage, code}]`, by path, which is None
    once the key is gone; and how many by code, the most first: `failed_by_code`.

    Raises Permanent `job.unknown`.
    """
    view = await ledger.job(job)
    left_out = await failures(job, ledger=ledger, keys=keys) if view.failed else []
    by_code = Counter(failure["code"] for failure in left_out)
    return job_report(view) | {"failed_by_code": dict(by_code.most_common()), "failures": left_out}


async def failures(job: UUID, *, ledger: Ledger, keys: Keys) -> list[dict[str, str | None]]:
    """The job's failed documents: `{document, path, stage, code}` each, by path and id."""
    key = await _key_if_alive(job, keys)
    found = [
        {
            "document": row.id,
            "path": open_path(key, row.id, row.sealed_path) if key and row.sealed_path else None,
            "stage": row.stage,
            "code": row.code,
        }
        for row in await ledger.documents(job)
        if row.state is DocumentState.FAILED
    ]
    return sorted(found, key=lambda row: (row["path"] or "", row["document"] or ""))


async def wait_for(
    job: UUID,
    until: Collection[JobState],
    *,
    ledger: Ledger,
    progress: Progress,
    seen: Callable[[JobView], None] = lambda view: None,
    every: float = 1.0,
) -> JobView:
    """The job once it is in one of the states `until`, or OVER. `seen` gets every view on the way.

    Looks at each change that `progress` tells of, and every `every` seconds. Waits for ever: bound it with
    `asyncio.timeout`. Raises Permanent `job.unknown`.
    """
    async for _ in progress.watch(job, every=every):
        view = await ledger.job(job)
        seen(view)
        if view.state in until or view.state in OVER:
            return view
    raise AssertionError("a watch does not end")


async def _key_if_alive(job: UUID, keys: Keys) -> bytes | None:
    try:
        return await keys.fetch(str(job))
    except Permanent:
        return None


def _next_step(view: JobView) -> str | None:
    if view.reason is None:
        return None
    try:
        return CradleError(view.reason, job=view.id, customer=view.customer).next_step
    except KeyError:  # its sentence needs details that the ledger does not keep
        return f"`cradle job {view.id}` lists the documents that failed."


def _limit(limit: Limit | None) -> str | None:
    """As a person writes it."""
    if limit is None:
        return None
    return f"{limit.count}" if limit.share is None else f"{limit.share * 100:g}%"


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
