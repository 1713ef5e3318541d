"""What a stage is: a function from messages to outcomes. It never sees Kafka.

    stage(ports) -> handle(inputs) -> one outcome for each input, in any order

So the same stage runs in a unit test with a list, and under the runtime with every guarantee of delivery.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from engines.embedding import EmbeddingEngine
from engines.extraction.parsers import Parsers
from engines.tokenizer import Tokenizer
from engines.vision import VisionEngine
from infra.archive import Archive
from infra.ledger import Counted, Ledger, NewDocument
from infra.parameters import ParameterStore
from infra.sources import Source
from schemas.errors import Permanent
from schemas.ids import message_id
from schemas.messages import Message
from schemas.parameters import EmbeddingConfig, InstallationParameters, VisionConfig

In = TypeVar("In", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Received(Generic[In]):
    """One opened message."""

    id: UUID
    job: UUID
    message: In
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One message to publish. The runtime derives its id, seals it, and keys it as topics.yaml says."""

    message: Message
    document: str | None = None
    topic: str | None = None
    """Needed only where the stage writes more than one topic."""
    identity: UUID | None = None
    """What its id derives from where two inputs may rightly make the same output: `message_id(job, stage, identity, 0)`
    in place of the input's id and the output's ordinal. `admit` names the document, so that a document submitted in
    two events is worked on once."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A piece of an input that can never pass, while the rest does: dead-lettered on its own."""

    message: Message
    """Of the input's type, holding that piece alone."""
    error: Permanent
    document: str | None = None
    """The id of the document it is: what a redrive lets in anew."""


@dataclass(frozen=True, slots=True)
class Done:
    input: Received[Message]
    outputs: tuple[Output, ...] = ()
    refused: tuple[Refused, ...] = ()
    documents: tuple[NewDocument, ...] = ()
    """Documents met for the first time; only `admit` has any."""
    manifest: int | None = None
    items: int = 0
    """How many things were made, for display."""
    counts: Mapping[Counted, int] = field(default_factory=dict)
    """What a job's status tells by name, such as how many pages are doubtful. Counted once, as the outcome is."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an input that is done ahead of the rest: published and recorded at once, under an id of its own.

    The input's own outcome follows, now or, if it is held in between, when it is read again. Then the stage leaves out
    the pieces that have an outcome: `finished(stage, [piece_id(...), ...])` of the ledger says which.

    Completion stays right. A piece closes no unit, so the input's own, where it has one, is open until the last of it
    is done. And an input that opens none, a submission, is an event that is not admitted in full: the documents of its
    other pieces are counted by the manifest, and the ledger does not know them yet. Its own outcome carries the last
    of them, and the manifest if it has one.
    """

    input: Received[Message]
    number: int
    """The same for the same piece at every reading; pieces that hold other things have other numbers."""
    outputs: tuple[Output, ...] = ()
    refused: tuple[Refused, ...] = ()
    documents: tuple[NewDocument, ...] = ()
    items: int = 0
    counts: Mapping[Counted, int] = field(default_factory=dict)


def piece_id(stage: str, received: Received[Message], number: int) -> UUID:
    """Under which the ledger knows a piece of an input."""
    return message_id(received.job, f"{stage}.piece", received.id, number)


@dataclass(frozen=True, slots=True)
class Failed:
    """The input can never pass: dead letter at once."""

    input: Received[Message]
    error: Permanent


@dataclass(frozen=True, slots=True)
class Held:
    """Not now: it is offered again after that long, and what comes meanwhile of its lane (what the topic is keyed by,
    such as the customer) waits behind it. Other lanes pass. Nothing is recorded."""

    input: Received[Message]
    seconds: float


Outcome = Done | Piece | Failed | Held


@dataclass(frozen=True, slots=True)
class Underway:
    """No outcome, but progress: said of an input that takes long, lest the stage be taken for stuck."""

    input: Received[Message]


class Handle(Protocol):
    def __call__(self, inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome | Underway]:
        """One outcome for each input, in any order, after any pieces of it. May raise Retryable: what has no outcome
        yet is tried again."""


class Jobs(Protocol):
    """What a stage may ask of a message's job. Answers are cached: a job pins its parameters, a lease lasts 60 s."""

    async def parameters(self, job: UUID) -> InstallationParameters: ...

    async def fingerprint(self, job: UUID) -> str: ...

    async def key(self, job: UUID) -> bytes:
        """Raises Permanent `key.destroyed` or `key.unknown`."""

    async def open(self, customer: str, reference: str, *, update: bool = False) -> UUID:
        """Opens the job of an ingest event: key and ledger row, with the newest parameters; or, an update, with those
        of the customer's newest version, which it then lies over. Twice is harmless.

        Raises Permanent `customer.unknown`, `parameters.unknown` or `update.*`.
        """


class Engines(Protocol):
    """Loaded once a process and configuration; loading blocks, so it runs off the event loop."""

    async def embedding(self, config: EmbeddingConfig) -> EmbeddingEngine: ...

    async def tokenizer(self, config: EmbeddingConfig) -> Tokenizer: ...

    async def vision(self, config: VisionConfig) -> VisionEngine: ...


class SealedStore(Protocol):
    """Staging with the job's key around it."""

    async def put(self, job: UUID, kind: str, name: str, data: "AsyncIterator[bytes] | bytes") -> str:
        """Seals and writes; returns the object's staging name, `jobs/<job>/<kind>/<name>`."""

    def stream(self, job: UUID, name: str) -> AsyncIterator[bytes]:
        """Raises Permanent `staging.missing` or `staging.tampered`."""

    async def get(self, job: UUID, name: str) -> bytes: ...

    def list(self, job: UUID, kind: str, prefix: str = "") -> AsyncIterator[str]:
        """The staging names of the job's objects of that kind, `prefix` beginning their own, in order of their bytes.

        An own name is what stands after `jobs/<job>/<kind>/`.
        """


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a stage may use, opened and closed by `cradle.compose`."""

    staging: SealedStore
    jobs: Jobs
    ledger: Ledger
    parameters: ParameterStore
    archive: Archive
    engines: Engines
    parsers: Parsers
    source: Callable[[str], Source]
    """The source that reads this URI, by its scheme."""
    home: Path
    """CRADLE_HOME; `infra.paths.CustomerPaths` resolves what lies in it."""
    base_image: str
    """Base of every image: a path to an OCI layout, or empty for none."""
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    builder: str = "daemonless"
    """Who writes images: a name of `builders.backends`."""


StageFactory = Callable[[Ports], Handle]
