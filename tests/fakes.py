"""What a stage needs to run in a unit test: Ports over dictionaries, with real engines of the `fake` kind."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from consumers.runtime.contract import Handle, Outcome, Ports, Received, Underway
from engines.extraction.parsers import InProcess
from engines.library import EngineLibrary
from schemas.errors import Permanent
from schemas.ids import NAMESPACE, job_id
from schemas.messages import Document, Message
from schemas.parameters import ChunkingConfig, EmbeddingConfig, InstallationParameters, VisionConfig

JOB = job_id("acme", "a-test")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAKE = InstallationParameters(
    customer_id="acme",
    embedding_config=EmbeddingConfig(model="fake"),
    vision_config=VisionConfig(engine="fake"),
    chunking_config=ChunkingConfig(max_tokens=64, overlap_tokens=8),
)


class DictStore:
    """SealedStore over a dictionary; nothing is sealed."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, job: UUID, kind: str, name: str, data: AsyncIterator[bytes] | bytes) -> str:
        whole = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        self.objects[f"jobs/{job}/{kind}/{name}"] = whole
        return f"jobs/{job}/{kind}/{name}"

    async def stream(self, job: UUID, name: str) -> AsyncIterator[bytes]:
        if not name.startswith(f"jobs/{job}/") or name not in self.objects:
            raise Permanent("staging.missing")
        yield self.objects[name]

    async def get(self, job: UUID, name: str) -> bytes:
        return b"".join([piece async for piece in self.stream(job, name)])


class FixedJobs:
    """Jobs whose parameters were told beforehand."""

    def __init__(self, parameters: Mapping[UUID, InstallationParameters]) -> None:
        self._parameters = parameters

    async def parameters(self, job: UUID) -> InstallationParameters:
        if job not in self._parameters:
            raise Permanent("key.unknown")
        return self._parameters[job]

    async def fingerprint(self, job: UUID) -> str:
        return "0" * 64

    async def key(self, job: UUID) -> bytes:
        return job.bytes * 2

    async def open(self, customer: str, reference: str, *, update: bool = False) -> UUID:
        return job_id(customer, reference)


def fake_ports(
    *,
    parameters: Mapping[UUID, InstallationParameters] | InstallationParameters = FAKE,
    home: Path = Path("unused"),
    **others: Any,
) -> Ports:
    """Ports over dictionaries; `parameters` are JOB's, or told for each job. `others` replace any port by name.

    `ledger`, `parameters` (the store), `archive` and `source` are None unless given: a stage that touches them says so
    by failing.
    """
    by_job = {JOB: parameters} if isinstance(parameters, InstallationParameters) else parameters
    ports: dict[str, Any] = {
        "staging": DictStore(),
        "jobs": FixedJobs(by_job),
        "ledger": None,
        "parameters": None,
        "archive": None,
        "engines": EngineLibrary(),
        "parsers": InProcess(),
        "source": None,
        "home": home,
        "base_image": "",
        "clock": lambda: NOW,
        "entropy": bytes,  # zeros: nothing here may depend on chance
    }
    return Ports(**{**ports, **others})


def document(path: str = "a folder/a document.txt", media_type: str = "text/plain", *, size: int = 0) -> Document:
    """A document whose id follows from its path."""
    id_ = uuid5(NAMESPACE, path).hex
    return Document(id=id_, path=path, sha256=id_ * 2, media_type=media_type, size=size)


def received(message: Message, *, job: UUID = JOB, name: str = "a message") -> Received[Message]:
    """The message as the runtime hands it over, with an id that follows from `name`."""
    return Received(id=uuid5(NAMESPACE, name), job=job, message=message)


async def outcomes(handle: Handle, *inputs: Received[Message]) -> list[Outcome]:
    """What the stage answers, in the order it answers; each input exactly once."""
    answered = [outcome async for outcome in handle(inputs) if not isinstance(outcome, Underway)]
    assert sorted(outcome.input.id for outcome in answered) == sorted(given.id for given in inputs)
    return answered
