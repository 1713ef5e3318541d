"""The embedded stack, for trying and developing: broker and ledger on this machine, everything under CRADLE_HOME."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.broker import EmbeddedBroker
from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import free_port, listens, private_folder


@dataclass(frozen=True, slots=True)
class Endpoints:
    broker_url: str
    """`kafka://127.0.0.1:PORT`."""
    ledger_url: str
    """`postgresql://...`: the database exists; its tables are the migrations' work. May hold a password."""
    progress_url: str
    """`redis://127.0.0.1:PORT/0`."""


@dataclass(frozen=True, slots=True)
class _Ports:
    kafka: int
    redis: int


def up(home: Path) -> Endpoints:
    """Starts what does not run, and returns once all answer. Twice is harmless, also at the same time.

    Raises CradleError `service.start` or `service.missing`.
    """
    with _locked(home):
        postgres = _postgres(home)
        postgres.start()
        postgres.create_database()
        _broker(home, _free_ports(home)).start()
    return _endpoints(home)


def down(home: Path) -> bool:
    """Stops what runs; data and ports stay. True if anything ran."""
    if endpoints(home) is None:
        return False
    with _locked(home):
        broker_ran = _broker(home, _ports(home)).stop()
        return _postgres(home).stop() or broker_ran


def endpoints(home: Path) -> Endpoints | None:
    """Where the stack of this home is, running or not; None if it was never up."""
    return _endpoints(home) if _ports_file(home).exists() else None


def running(home: Path) -> bool:
    """Whether all of it answers."""
    return endpoints(home) is not None and _postgres(home).running() and _broker(home, _ports(home)).running()


def _endpoints(home: Path) -> Endpoints:
    broker = _broker(home, _ports(home))
    return Endpoints(broker_url=broker.broker_url, ledger_url=_postgres(home).url(), progress_url=broker.progress_url)


def _postgres(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(_folder(home) / "postgres")


def _broker(home: Path, ports: _Ports) -> EmbeddedBroker:
    return EmbeddedBroker(_folder(home) / "broker", kafka_port=ports.kafka, redis_port=ports.redis)


def _folder(home: Path) -> Path:
    return home / "embedded"


def _ports_file(home: Path) -> Path:
    return _folder(home) / "stack.json"


def _ports(home: Path) -> _Ports:
    return _Ports(**json.loads(_ports_file(home).read_text()))


def _free_ports(home: Path) -> _Ports:
    """The ports it had, or new ones the first time and where somebody else has taken them."""
    if _ports_file(home).exists():
        ports = _ports(home)
        if _broker(home, ports).running() or not any(map(listens, (ports.kafka, ports.redis))):
            return ports
    ports = _Ports(kafka=free_port(), redis=free_port())
    _ports_file(home).write_text(json.dumps(asdict(ports)))
    return ports


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One process at a time starts or stops the stack of a home. The lock ends with its holder."""
    private_folder(_folder(home))
    with (_folder(home) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
