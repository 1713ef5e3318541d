"""The one place that opens adapters. Each opens on first use and closes in reverse, whatever happened in between."""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from cradle.flow import read_flow
from cradle.settings import Settings
from infra import waits
from infra.local import stack
from infra.paths import file_url
from schemas.errors import CradleError, Permanent
from schemas.topology import Topology

if TYPE_CHECKING:
    from fastapi import FastAPI

    from consumers.runtime import Handle, Runtime
    from consumers.runtime.runtime import Isolate
    from infra.archive import Archive
    from infra.broker import Broker
    from infra.keys import Keys
    from infra.ledger import Ledger
    from infra.parameters import ParameterStore
    from infra.progress import Progress
    from infra.sources import Source
    from infra.staging import Staging
    from operations.jobs import PinnedJobs
    from operations.package import PackagePorts, Signer
    from operations.reconcile import Bench
    from operations.redrive import Mail
    from operations.replay import ReplayPorts
    from operations.rollback import RollbackPorts
    from operations.verify import VerifyPorts
    from producers.producer import Producer, Sealed
    from services.server import Door

T = TypeVar("T")

REAL_REPLICATION: Final = 3
EMBEDDED_REPLICATION: Final = 1
EMBEDDINGS_SECONDS: Final = 60.0
VISION_SECONDS: Final = 300.0
"""A page takes seconds, and others may wait before it."""
SOURCES: Final = ("file", "s3")
"""Schemes that a document may be read from."""


@dataclass(frozen=True, slots=True)
class Urls:
    """Where each port's adapter is found: what the settings say, and the embedded stack for the rest."""

    broker: str
    ledger: str
    parameters: str
    staging: str
    archive: str
    keys: str
    progress: str


def embedded_urls(home: Path) -> dict[str, str]:
    """The embedded stack's URL of each setting; broker, databases and progress only once it was up."""
    files = {
        "staging_url": file_url(home / "staging"),
        "archive_url": file_url(home),
        "keys_url": file_url(home / "keys"),
    }
    found = stack.endpoints(home)
    if found is None:
        return files
    return files | {
        "broker_url": found.broker_url,
        "ledger_url": found.ledger_url,
        "parameters_url": found.ledger_url,
        "progress_url": found.progress_url,
    }


def needs_stack(settings: Settings) -> bool:
    """Whether any server of the embedded stack stands in for a URL that is not set."""
    return None in (settings.broker_url, settings.ledger_url, settings.parameters_url, settings.progress_url)


def resolve(settings: Settings) -> Urls:
    """Raises CradleError `stack.down` if a URL is the embedded stack's, and that was never up."""
    return Urls(**{field.name: _url(field.name, settings) for field in fields(Urls)})


def find_url(port: str, settings: Settings) -> str | None:
    """Where a port's adapter is: as set, or in the embedded stack; None if that was never up."""
    name = f"{port}_url"
    return getattr(settings, name) or embedded_urls(settings.home).get(name)


def _url(port: str, settings: Settings) -> str:
    url = find_url(port, settings)
    if not url:
        raise CradleError("stack.down")
    return url


def replication(settings: Settings) -> int:
    """Copies of each partition: as set, or 1 on the embedded broker and 3 on a real one."""
    if settings.replication is not None:
        return settings.replication
    return EMBEDDED_REPLICATION if settings.broker_url is None else REAL_REPLICATION


class Adapters:
    """An installation's adapters. `await adapters.ledger()` opens it the first time and returns it ever after.

    Each raises CradleError `stack.down` if it is the embedded stack's, and that was never up.
    """

    def __init__(self, settings: Settings, exits: AsyncExitStack) -> None:
        self.settings = settings
        self._exits = exits
        self._opened: dict[str, Any] = {}

    @property
    def urls(self) -> Urls:
        return resolve(self.settings)

    async def broker(self) -> "Broker":
        from infra.broker import open_broker

        return await self._once(open_broker, _url("broker", self.settings))

    async def ledger(self) -> "Ledger":
        from infra.ledger import open_ledger

        return await self._once(open_ledger, _url("ledger", self.settings))

    async def parameters(self) -> "ParameterStore":
        from infra.parameters import open_parameters

        return await self._once(open_parameters, _url("parameters", self.settings))

    async def staging(self) -> "Staging":
        from infra.staging import open_staging

        return await self._once(open_staging, _url("staging", self.settings))

    async def archive(self) -> "Archive":
        from infra.archive import open_archive

        return await self._once(open_archive, _url("archive", self.settings))

    async def keys(self) -> "Keys":
        from infra.keys import open_keys

        return await self._once(open_keys, _url("keys", self.settings))

    async def progress(self) -> "Progress":
        from infra.progress import open_progress

        return await self._once(open_progress, _url("progress", self.settings))

    async def _once(self, opener: Callable[[str], AbstractAsyncContextManager[T]], url: str) -> T:
        name = opener.__name__
        if name not in self._opened:
            self._opened[name] = await self._exits.enter_async_context(opener(url))
        return cast(T, self._opened[name])


@asynccontextmanager
async def open_adapters(settings: Settings) -> AsyncIterator[Adapters]:
    """Adapters for as long as the block lasts."""
    async with AsyncExitStack() as exits:
        yield Adapters(settings, exits)


def clock() -> datetime:
    return datetime.now(UTC)


def migrate(urls: Urls) -> None:
    """Brings the tables of both databases to this release's. Blocking; harmless where they are there already."""
    from infra.ledger.migrations import migrate as migrate_ledger
    from infra.parameters.migrations import migrate as migrate_parameters

    migrate_ledger(urls.ledger)
    migrate_parameters(urls.parameters)


@asynccontextmanager
async def open_runtime(settings: Settings, flow: Topology) -> AsyncIterator["Runtime"]:
    """What consumers run with. Raises CradleError `stack.down` or `settings.*`."""
    from consumers.runtime import Options, Ports, Runtime
    from engines.library import EngineLibrary
    from engines.sandbox import open_sandbox
    from infra.staging.sealed import SealedStaging

    async with AsyncExitStack() as exits:
        adapters = Adapters(settings, exits)
        jobs = await _pinned_jobs(adapters, flow)
        ports = Ports(
            staging=SealedStaging(await adapters.staging(), key=jobs.key, entropy=os.urandom),
            jobs=jobs,
            ledger=await adapters.ledger(),
            parameters=await adapters.parameters(),
            archive=await adapters.archive(),
            engines=EngineLibrary(),
            parsers=await exits.enter_async_context(open_sandbox()),
            source=await _open_sources(exits),
            home=settings.home,
            base_image=settings.base_image,
            builder=settings.builder,
            clock=clock,
            entropy=os.urandom,
        )
        yield Runtime(
            topology=flow,
            ports=ports,
            broker=await adapters.broker(),
            broker_url=adapters.urls.broker,
            keys=await adapters.keys(),
            staging=await adapters.staging(),
            progress=await adapters.progress(),
            options=Options(
                poll_records=settings.poll_records,
                poll_wait=settings.poll_wait,
                drain_seconds=settings.drain_seconds,
                storm_limit=settings.storm_limit,
                forget_after=timedelta(days=settings.forget_days),
                waiting_notes=waits.folder(settings.home),
                health=_health_address(settings),
                instance=settings.instance,
                beat_file=settings.beat_file,
            ),
            isolate=_isolate(settings, flow),
        )


def _isolate(settings: Settings, flow: Topology) -> "Isolate":
    """Runs a stage by `cradle isolate`, which opens its ports as these settings and this flow say."""
    from consumers.runtime.cell import open_cell

    def isolate(stage: str, *, stuck: float, beat: Callable[[], None]) -> "AbstractAsyncContextManager[Handle]":
        command = (sys.executable, "-m", "cradle", "isolate", stage)
        return open_cell(stage, command, (settings, flow), stuck=stuck, beat=beat)

    return isolate


def _health_address(settings: Settings) -> tuple[str, int] | None:
    """Host and port of the health endpoints; to a server an empty host means every interface."""
    if not settings.health_port:
        return None
    return "" if settings.health_host == "all" else settings.health_host, settings.health_port


@asynccontextmanager
async def open_embeddings(settings: Settings) -> AsyncIterator["FastAPI"]:
    """The embedding service. Raises Permanent `engine.*` where there is no such engine."""
    from schemas.parameters import EmbeddingConfig
    from services.embeddings.app import MOST_BYTES, MOST_REQUESTS, embeddings_app
    from services.embeddings.service import EmbeddingService

    config = EmbeddingConfig(
        model=settings.embeddings_model,
        revision=settings.embeddings_revision,
        query_prefix=settings.embeddings_query_prefix,
        passage_prefix=settings.embeddings_passage_prefix,
        deterministic=settings.embeddings_deterministic,
    )
    service = EmbeddingService(
        config,
        batch_tokens=settings.embeddings_batch_tokens,
        linger=settings.service_linger,
        seconds=settings.service_seconds or EMBEDDINGS_SECONDS,
        idle_seconds=settings.service_idle_seconds,
    )
    yield embeddings_app(service, _door(settings, MOST_REQUESTS, MOST_BYTES))


@asynccontextmanager
async def open_vision(settings: Settings) -> AsyncIterator["FastAPI"]:
    """The vision service. Raises Permanent `engine.*` where there is no such engine."""
    from engines.sandbox import open_sandbox
    from schemas.parameters import VisionConfig
    from services.vision.app import MOST_BYTES, MOST_REQUESTS, vision_app
    from services.vision.service import VisionService

    config = VisionConfig(
        engine=settings.vision_engine,
        revision=settings.vision_revision,
        dpi=settings.vision_dpi,
        min_confidence=settings.vision_min_confidence,
        batch_size=settings.vision_batch_pages,
    )
    async with open_sandbox() as parsers:
        service = VisionService(
            config,
            parsers,
            linger=settings.service_linger,
            seconds=settings.service_seconds or VISION_SECONDS,
            idle_seconds=settings.service_idle_seconds,
        )
        yield vision_app(service, _door(settings, MOST_REQUESTS, MOST_BYTES))


def _door(settings: Settings, most_requests: int, most_bytes: int) -> "Door":
    from services.server import Door

    return Door(
        token=settings.service_token.get_secret_value() if settings.service_token else None,
        hosts=[host.strip() for host in settings.service_hosts.split(",") if host.strip()],
        most_requests=settings.service_requests or most_requests,
        most_bytes=most_bytes,
    )


@asynccontextmanager
async def open_producer(
    settings: Settings, progress: "Callable[[Sealed], None]" = lambda sealed: None
) -> AsyncIterator["Producer"]:
    """A producer of this installation; `progress` hears of each sealed document."""
    from infra.staging.sealed import SealedStaging
    from producers.producer import Producer

    flow = read_flow()
    async with AsyncExitStack() as exits:
        adapters = Adapters(settings, exits)
        jobs = await _pinned_jobs(adapters, flow)
        producer = Producer(
            jobs=jobs,
            staging=SealedStaging(await adapters.staging(), key=jobs.key, entropy=os.urandom),
            broker=await adapters.broker(),
            topology=flow,
            source=await _open_sources(exits),
            clock=clock,
            entropy=os.urandom,
            progress=progress,
        )
        yield await exits.enter_async_context(producer)


async def open_mail(adapters: Adapters) -> "Mail":
    """What it takes to send dead letters back."""
    from operations.redrive import Mail

    flow = read_flow()
    jobs = await _pinned_jobs(adapters, flow)
    return Mail(
        broker=await adapters.broker(),
        ledger=await adapters.ledger(),
        keys=await adapters.keys(),
        topology=flow,
        open_job=jobs.open,
        clock=clock,
        entropy=os.urandom,
    )


async def open_replay(adapters: Adapters) -> "ReplayPorts":
    """What it takes to replay."""
    from infra.staging.sealed import SealedStaging
    from operations.replay import ReplayPorts

    flow = read_flow()
    jobs = await _pinned_jobs(adapters, flow)
    return ReplayPorts(
        broker=await adapters.broker(),
        ledger=await adapters.ledger(),
        keys=await adapters.keys(),
        parameters=await adapters.parameters(),
        jobs=jobs,
        staging=SealedStaging(await adapters.staging(), key=jobs.key, entropy=os.urandom),
        topology=flow,
        clock=clock,
        entropy=os.urandom,
    )


async def open_verify(adapters: Adapters) -> "VerifyPorts":
    """What it takes to verify."""
    from infra.staging.sealed import SealedStaging
    from operations.verify import VerifyPorts

    jobs = await _pinned_jobs(adapters, read_flow())
    staging = SealedStaging(await adapters.staging(), key=jobs.key, entropy=os.urandom)
    return VerifyPorts(await adapters.ledger(), await adapters.keys(), staging, adapters.settings.home)


async def open_rollback(adapters: Adapters) -> "RollbackPorts":
    """What it takes to package an archived version again."""
    from operations.rollback import RollbackPorts

    settings = adapters.settings
    return RollbackPorts(await adapters.archive(), await adapters.parameters(), _signer(settings), settings.home)


async def open_package(adapters: Adapters) -> "PackagePorts":
    """What it takes to package."""
    from operations.package import PackagePorts

    return PackagePorts(
        ledger=await adapters.ledger(),
        parameters=await adapters.parameters(),
        archive=await adapters.archive(),
        home=adapters.settings.home,
        signer=_signer(adapters.settings),
        clock=clock,
    )


def _signer(settings: Settings) -> "Signer":
    from infra.paths import signing_key
    from operations.package.signing import load_signer

    return load_signer(settings.signing_key or signing_key(settings.home))


async def open_bench(adapters: Adapters, *, dry_run: bool) -> "Bench":
    """What it takes to reconcile."""
    from infra.staging.sealed import SealedStaging
    from operations.reconcile import Bench

    flow = read_flow()
    jobs = await _pinned_jobs(adapters, flow)
    staging = await adapters.staging()
    return Bench(
        broker=await adapters.broker(),
        ledger=await adapters.ledger(),
        staging=staging,
        unsealed=SealedStaging(staging, key=jobs.key, entropy=os.urandom),
        key=jobs.key,
        topology=flow,
        clock=clock,
        entropy=os.urandom,
        dry_run=dry_run,
    )


async def _pinned_jobs(adapters: Adapters, flow: Topology) -> "PinnedJobs":
    from operations.jobs import PinnedJobs

    return PinnedJobs(
        parameters=await adapters.parameters(),
        ledger=await adapters.ledger(),
        keys=await adapters.keys(),
        archive=await adapters.archive(),
        topology=flow,
        clock=clock,
        monotonic=time.monotonic,
    )


async def _open_sources(exits: AsyncExitStack) -> "Callable[[str], Source]":
    """The reader of a URI, by its scheme. Raises CradleError `source.scheme` for a scheme that none reads."""
    from infra.sources import open_source

    readers = {scheme: await exits.enter_async_context(open_source(f"{scheme}://")) for scheme in SOURCES}

    def source(uri: str) -> "Source":
        scheme = uri.partition(":")[0]
        if scheme not in readers:
            raise Permanent("source.scheme", scheme=scheme)
        return readers[scheme]

    return source
