"""Which documents are replayed, which are inherited, and which stay failed. Nothing is changed here.

A document is replayed whole, from every record that the topic has of it. Those of which no record is asked for, or
which never came to this topic, keep what the parent has of them: its parts, or the code they failed with. A duplicate
has no record of its own and goes with the documents of its bytes.
"""

import asyncio
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from infra.ledger import DocumentRow, DocumentState, JobView, WorkRow
from operations.jobs import open_path
from operations.replay import refusing
from operations.replay.asking import Request
from operations.replay.finding import Entry, Found, find
from operations.replay.ports import ReplayPorts
from schemas.errors import CradleError, Retryable
from schemas.parameters import FIRST_TOUCHED, changed_fields, changed_stages
from schemas.topology import Origin


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of the parent."""

    id: str
    path: str = field(repr=False)
    row: DocumentRow

    def source(self, sources: Collection[str]) -> str | None:
        """The path among `sources` that it is, or that it came out of."""
        if not self.row.member:
            return self.path if self.path in sources else None
        containers = (self.path[: mark.start()] for mark in re.finditer("!/", self.path))
        return next((container for container in containers if container in sources), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """One job's replay."""

    request: Request
    parent: JobView
    parameters: int
    """Version that the new job pins."""
    messages: Mapping[UUID, Entry]
    """Those to publish again."""
    replayed: tuple[KnownDocument, ...]
    inherited: tuple[KnownDocument, ...]
    """Done, or archives."""
    failed: tuple[KnownDocument, ...]
    """Stay failed."""
    duplicates: tuple[KnownDocument, ...]
    """Of those that are replayed or inherited."""
    sources: frozenset[str]
    """From the topic of submissions: the paths that are submitted again."""

    @property
    def manifest(self) -> int:
        """How many sources the new job has at least. Those submitted again are new documents, one or more a path."""
        replayed = () if self.sources else self.replayed
        kept = (*self.inherited, *self.failed, *self.duplicates, *replayed)
        return len(self.sources) + sum(not document.row.member for document in kept)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that matches and cannot be replayed."""

    job: UUID
    error: CradleError


async def plan(request: Request, ports: ReplayPorts) -> tuple[list[Plan], list[Refusal]]:
    """What would be replayed, one plan a job. A job that was asked for by its id is planned or its refusal raised.

    Raises CradleError `replay.*`, Permanent `job.unknown`, `job.erased`, `job.cancelled`, `key.destroyed` or
    `parameters.unknown`, Retryable `dependency.away`.
    """
    request.check(ports.topology)
    plans: list[Plan] = []
    refusals: list[Refusal] = []
    for found in await find(request, ports):
        try:
            plans.append(await _plan_job(request, found, ports))
        except Retryable:
            raise
        except CradleError as error:
            if request.job is not None:
                raise
            if error.code != "replay.nothing":
                refusals.append(Refusal(found.job.id, error))
    if not plans and not refusals:
        raise CradleError("replay.nothing", topic=request.topic)
    return plans, refusals


async def _plan_job(request: Request, found: Found, ports: ReplayPorts) -> Plan:
    refusing.check_state(found.job)
    version, changed = await _changed(request, found.job, ports)
    documents = await _documents(found.job.id, ports)
    origin = ports.topology.topics[request.topic].origin
    if origin is Origin.PRODUCERS:
        chosen = await _choose_events(request, found, documents, ports)
    elif origin is Origin.COMPLETION:
        chosen = _choose_nothing(request, found)
    else:
        chosen = await _choose_messages(request, found, documents, ports)
    replayed = [document for document in documents if document.id in chosen.documents]
    rest = [document for document in documents if document.id not in chosen.documents]
    done = [document for document in rest if document.row.state is DocumentState.DONE]
    going_on = {document.row.content for document in (*replayed, *done)}
    duplicates = [one for one in rest if one.row.same_as is not None and one.row.content in going_on]
    others = [one for one in rest if one.row.same_as is None or one.row.content not in going_on]
    failed = [document for document in others if document.row.state is DocumentState.FAILED]
    inherited = [document for document in others if document.row.state is not DocumentState.FAILED]
    done = [document for document in inherited if document.row.state is DocumentState.DONE]
    refusing.check_mixture(await _passed(found.job.id, done, ports), changed, ports.topology)
    return Plan(
        request=request,
        parent=found.job,
        parameters=version,
        messages={message: found.entries[message] for message in chosen.messages},
        replayed=tuple(replayed),
        inherited=tuple(inherited),
        failed=tuple(failed),
        duplicates=tuple(duplicates),
        sources=frozenset(chosen.sources),
    )


async def _changed(request: Request, parent: JobView, ports: ReplayPorts) -> tuple[int, set[str]]:
    """The version to pin, and the stages that would make something else than they made for the parent."""
    _, then = await ports.parameters.version(parent.customer, parent.parameters)
    version, now = await ports.parameters.version(parent.customer, request.parameters or parent.parameters)
    fields = changed_fields(then, now)
    refusing.check_fields(fields, request.topic, ports.topology)
    engines = await asyncio.to_thread(ports.identify, then)
    stages = changed_stages(parent.fingerprint, then, engines, ports.topology.versions())
    refusing.check_stages(stages, request.topic, ports.topology)
    refusing.check_update(parent, fields, stages, ports.topology)
    return version, stages | {FIRST_TOUCHED[name] for name in fields}


async def _passed(job: UUID, documents: Sequence[KnownDocument], ports: ReplayPorts) -> list[Collection[str] | None]:
    """Of each document the stages that worked on it in this job; None where none did, so that it was inherited."""
    passed: dict[str | None, set[str]] = {}
    for unit in await ports.ledger.work(job):
        if unit.stage in ports.topology.stages:
            passed.setdefault(unit.document, set()).add(unit.stage)
    return [passed.get(document.id) for document in documents]


async def _documents(job: UUID, ports: ReplayPorts) -> list[KnownDocument]:
    key = await ports.jobs.key(job)
    return [
        KnownDocument(row.id, open_path(key, row.id, row.sealed_path), row) for row in await ports.ledger.documents(job)
    ]


# -- choosing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chosen:
    messages: tuple[UUID, ...] = ()
    documents: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


def _choose_nothing(request: Request, found: Found) -> _Chosen:
    """A completed job is announced anew by the ledger: there is nothing to publish, and all is inherited."""
    if request.documents or (request.by_record and not found.taken):
        raise CradleError("replay.nothing", topic=request.topic)
    return _Chosen()


async def _choose_messages(
    request: Request, found: Found, documents: list[KnownDocument], ports: ReplayPorts
) -> _Chosen:
    """Whole documents, of which the topic has to hold every message that the ledger knows.

    A document that failed before this topic has nothing here, or not all, and stays failed.
    """
    units = await ports.ledger.work(found.job.id)
    expected = _expected(units, request.topic, ports)
    following = ports.topology.following(request.topic)
    broken = {unit.document for unit in units if unit.code is not None and unit.stage not in following}
    able = {
        one.id
        for one in documents
        if one.id in expected.keys() - broken
        and one.row.same_as is None
        and (one.row.state is DocumentState.DONE or one.row.stage in following)
    }
    named = _named(request, documents)
    chosen = able & (named | {one.row.same_as for one in documents if one.row.same_as and one.id in named})
    if request.by_record:
        chosen &= {found.entries[message].document or "" for message in found.taken}
    if not chosen:
        raise CradleError("replay.nothing", topic=request.topic)
    lacking = sum(not expected[document] <= found.entries.keys() for document in chosen)
    if lacking:
        raise _gone(request, lacking)
    wanted = set[UUID]().union(*(expected[document] for document in chosen))
    return _Chosen(tuple(message for message in found.entries if message in wanted), frozenset(chosen))


def _expected(units: Iterable[WorkRow], topic: str, ports: ReplayPorts) -> dict[str, set[UUID]]:
    """The messages that the topic's readers had of each document."""
    readers = ports.topology.readers[topic]
    expected: dict[str, set[UUID]] = {}
    for unit in units:
        if unit.stage in readers and unit.opened and unit.document is not None:
            expected.setdefault(unit.document, set()).add(unit.message)
    return expected


async def _choose_events(request: Request, found: Found, documents: list[KnownDocument], ports: ReplayPorts) -> _Chosen:
    """Sources by their paths: what an archive or mail holds comes with it. Events that were refused whole are left out.

    A foreign client's reference may have no hash, so the path is all that an event and the ledger both know for sure.
    """
    outcomes: dict[UUID, str | None] = {}
    for reader in ports.topology.readers[request.topic]:
        outcomes |= await ports.ledger.outcomes(reader, [*found.entries])
    events = [entry for entry in found.entries.values() if entry.id in outcomes and outcomes[entry.id] is None]
    held = {path for event in events for path in event.paths}
    sources = {one.path for one in documents if not one.row.member}
    named = _named(request, documents)
    wanted = {source for one in documents if one.id in named and (source := one.source(sources))}
    if request.by_record:
        wanted &= {path for event in events if event.id in found.taken for path in event.paths}
    if not wanted:
        raise CradleError("replay.nothing", topic=request.topic)
    wanted = _with_duplicates(wanted, sources, documents)
    if wanted - held:
        raise _gone(request, len(wanted - held))
    messages = tuple(event.id for event in events if event.paths & wanted)
    replayed = frozenset(one.id for one in documents if one.source(wanted))
    return _Chosen(messages, replayed, frozenset(wanted))


def _with_duplicates(wanted: set[str], sources: Collection[str], documents: list[KnownDocument]) -> set[str]:
    """These sources, and those of the duplicates of what comes with them: what is read again may be other bytes now."""
    while True:
        submitted = {one.row.content for one in documents if one.row.same_as is None and one.source(wanted)}
        following = {
            source
            for one in documents
            if one.row.same_as is not None and one.row.content in submitted and (source := one.source(sources))
        }
        if following <= wanted:
            return wanted
        wanted = wanted | following


def _named(request: Request, documents: list[KnownDocument]) -> set[str]:
    """The ids of the documents that are asked for: all of them, unless some are named by id or path."""
    if not request.documents:
        return {one.id for one in documents}
    asked = {unicodedata.normalize("NFC", name) for name in request.documents}
    return {one.id for one in documents if one.id in asked or one.path in asked}


def _gone(request: Request, documents: int) -> CradleError:
    return CradleError("replay.gone", topic=request.topic, documents=documents)
