"""What `admit` decides, without touching anything: which objects a customer may name, and what a job still takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

from consumers.runtime.contract import Output, Refused
from engines.extraction import Probe
from engines.extraction.kinds import in_words
from engines.extraction.limits import ALWAYS_BYTES, Tally
from engines.extraction.names import shortened
from infra.ledger import DocumentState, JobState, JobView, NewDocument
from infra.sources import is_hidden
from infra.staging.names import RAW, STAGED, object_name
from schemas.errors import Permanent
from schemas.ids import clean_path, document_id
from schemas.messages import Document, DocumentAdmitted, DocumentReference, DocumentsSubmitted

SCHEMES: Final = ("file", "s3")
MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one document."""
MAX_DEPTH: Final = 8
"""Of archives within archives."""

COSTLY: Final = frozenset({"document.costly", "document.crash"})
COST_OF_NESTING: Final = 100
"""An archive within another counts as so many members: a few hundred are no reason to refuse any, thousands within each
other are."""
COST_OF_REFUSAL: Final = ALWAYS_BYTES // 8

LONGEST_PATH: Final = 4096
SHORTEST_NAME: Final = 64
"""Bytes that a member's name is left, at least."""

PIECE: Final = 16
"""References that are let in together: how far a window may be overshot."""

CONTAINER_ROUTES: Final = frozenset({"archive", "mail"})
READY: Final = {"text": "chunk-ready", "mail": "chunk-ready", "ocr": "ocr-ready"}
"""The topic that a document goes to, by its probe's route."""
TAKES_DOCUMENTS: Final = frozenset({JobState.OPEN, JobState.PROCESSING})


# -- the job ----------------------------------------------------------------------------------------------------------


def check_job(event: DocumentsSubmitted, job: JobView) -> None:
    """Raises Permanent `job.manifest` (closed before with another count) or `job.closed` (it takes nothing more)."""
    if event.manifest is not None and job.manifest not in (None, event.manifest.sources):
        raise Permanent("job.manifest")
    if (event.documents or event.removed) and job.state not in TAKES_DOCUMENTS:
        raise Permanent("job.closed")


def pieces(event: DocumentsSubmitted) -> list[range]:
    """Which references are let in together, in order; at least one piece, if an empty one."""
    count = len(event.documents)
    return [range(start, min(start + PIECE, count)) for start in range(0, count, PIECE)] or [range(0)]


def number_of(piece: range) -> int:
    """Tells both ends: a release that cuts other pieces must not take one of its own for one of these."""
    return piece.start << 16 | piece.stop


# -- what may be read -------------------------------------------------------------------------------------------------


def staged_name(reference: DocumentReference, job: UUID, key: bytes) -> str:
    """The staging name in a `staged:` URI.

    Only one name is right: in the job's own folder, the id that path and hash have under the job's key. So nobody can
    name another job's object, nor another document's. Raises Permanent `source.digest` (no hash) or `source.root`.
    """
    if reference.sha256 is None:
        raise Permanent("source.digest")
    name = object_name(job, RAW, document_id(key, reference.path, reference.sha256))
    if reference.uri != STAGED + name:
        raise Permanent("source.root")
    return name


def root_above(uri: str, roots: Sequence[str]) -> str:
    """The first of the customer's roots that `uri` is written under.

    Raises Permanent `source.scheme`, or `source.root`: there is none, or it has a '.' or '..', escaped or not.
    Where links lead is not for a pure function to see; `Source.lies_under` looks.
    """
    scheme, _, place = uri.partition("://")
    if scheme not in SCHEMES:
        raise Permanent("source.scheme", scheme=scheme if scheme in ("http", "https", "ftp") else "of that kind")
    if any(segment in (".", "..") for segment in unquote(place).split("/")):
        raise Permanent("source.root")
    for root in roots:
        if _as_read(uri).startswith(_as_read(root).rstrip(b"/") + b"/"):
            return root
    raise Permanent("source.root")


def _as_read(uri: str) -> bytes:
    """A file's URI may escape what another does not; an S3 key is what it says."""
    return unquote_to_bytes(uri) if uri.startswith("file:") else uri.encode()


# -- where a document goes --------------------------------------------------------------------------------------------


def check_route(probe: Probe) -> None:
    """Raises Permanent `document.encrypted` or `document.type` for what stays outside."""
    refusals = {
        "encrypted": ("document.encrypted", {"kind": in_words(probe.media_type)}),
        "unsupported": ("document.type", {"kind": in_words(probe.media_type)}),
    }
    if probe.route in refusals:
        code, details = refusals[probe.route]
        raise Permanent(code, **details)


def member_path(container: str, member: str) -> str:
    """What a member is called as a document: `all.zip!/deep/a.txt`; its name is shortened where that is too long.

    `member` is empty for what was merely compressed: `plan.csv.gz` holds `plan.csv`. Raises Permanent `source.path`
    where the container's own path leaves no room for a name.
    """
    name = member or PurePosixPath(container).stem
    left = LONGEST_PATH - len(f"{container}!/".encode())
    if left < SHORTEST_NAME:
        raise Permanent("source.path")
    return clean_path(f"{container}!/{shortened(name, left)}")


def told_path(container: str, member: str) -> str:
    """As `member_path`, and never too long: for a ledger row that only tells of a member."""
    return shortened(f"{container}!/{member or PurePosixPath(container).stem}", LONGEST_PATH)


def is_document(member: str) -> bool:
    """Whether an archive's member counts: hidden files and folders, and a Mac's `__MACOSX`, do not, as in a folder."""
    return not is_hidden(member)


# -- what becomes of a reference --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document to be read: one that an event names, or a member that lies sealed in staging."""

    reference: DocumentReference
    depth: int = 0
    """How many containers are around it."""

    @property
    def member(self) -> bool:
        return self.depth > 0


class Allowance:
    """What may come out of one submitted document, with all that lies in it: as much as out of one archive of its size.
    A document that is refused for its cost uses some up, so that a hundred bombs in one archive do not cost a hundred
    times one.

    An archive for which too little is left is refused; sent on its own, it has an allowance of its own.
    """

    def __init__(self) -> None:
        self._tally: Tally | None = None

    def begin(self, size: int) -> None:
        """With the submitted document's size; what lies in it changes nothing."""
        self._tally = self._tally or Tally(size)

    def spend(self, content: bytes | Permanent) -> None:
        """Raises Permanent `document.costly` where too little is left."""
        assert self._tally
        self._tally.member()
        self._tally.read(len(content) if isinstance(content, bytes) else 0)

    def open(self, depth: int) -> None:
        """For an archive, that deep. Raises Permanent `document.costly`."""
        assert self._tally
        self._tally.member(COST_OF_NESTING if depth else 0)

    def charge(self, error: Permanent) -> None:
        """For a document that was refused."""
        if self._tally and error.code in COSTLY:
            self._tally.bytes -= COST_OF_REFUSAL


@dataclass(frozen=True, slots=True)
class Raw:
    """A document whose bytes are here, and sealed in staging."""

    id: str
    path: str
    sha256: str
    object: str
    """Its staging name."""
    data: bytes = field(repr=False)

    def reference(self) -> DocumentReference:
        """Names the sealed bytes: how a member is submitted on its own, should it be refused."""
        return DocumentReference(path=self.path, uri=STAGED + self.object, sha256=self.sha256, size=len(self.data))

    def admitted(self, probe: Probe) -> Output:
        """The message that lets it in. The same document in two events is one message."""
        document = Document(
            id=self.id, path=self.path, sha256=self.sha256, media_type=probe.media_type, size=len(self.data)
        )
        message = DocumentAdmitted(document=document, object=self.object)
        return Output(message, self.id, topic=READY[probe.route], identity=UUID(self.id))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one document."""

    document: NewDocument
    output: Output | None = None
    refused: Refused | None = None


def refusal(event: DocumentsSubmitted, reference: DocumentReference, error: Permanent, document: str) -> Refused:
    """The dead letter of one reference: the event with that piece alone."""
    alone = {"documents": (reference,), "removed": (), "manifest": None}
    return Refused(event.model_copy(update=alone), error, document)


def distinct(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The first verdict of each document, in order."""
    found: dict[str, Verdict] = {}
    for verdict in verdicts:
        found.setdefault(verdict.document.id, verdict)
    return list(found.values())


def admitted_count(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.document.state is DocumentState.OPEN for verdict in verdicts)
