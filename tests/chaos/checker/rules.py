"""What must hold. Each rule looks at all there is and returns how much it looked at and a sentence a violation."""

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.image import Document, Image
from tests.chaos.checker.ledger import Ledger
from tests.chaos.checker.records import Topics
from tests.chaos.documents import ARCHIVE, REFUSED, TEXT, Fact

LETTERS: Final = ".dlq"
STATES: Final = {TEXT: "done", REFUSED: "failed", ARCHIVE: "expanded"}
"""What the ledger says of a document of each fate."""


@dataclass(frozen=True, slots=True)
class Found:
    """All that was read."""

    evidence: Evidence
    topics: Topics
    ledger: Ledger
    image: Image | None
    calm: Image | None

    @property
    def baked(self) -> list[Document]:
        return self.image.documents if self.image else []


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    looked_at: int
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    findings: tuple[Finding, ...]

    @property
    def violations(self) -> list[str]:
        return [f"{finding.rule} {sentence}" for finding in self.findings for sentence in finding.violations]


Answer = tuple[int, tuple[str, ...]]
Rule = Callable[[Found], Answer]


def every_document_once(found: Found) -> Answer:
    """Every document is in the image or in the dead letters, exactly once."""
    baked = Counter((document.path, document.sha256) for document in found.baked)
    refused = {place for place, _ in _letters(found)}
    wrong = []
    for fact in found.evidence.facts:
        place = (fact.path, fact.sha256)
        expected = (1 if fact.fate == TEXT else 0, fact.fate == REFUSED)
        if (baked[place], place in refused) != expected:
            where = f"{baked[place]} times in the image, {'' if place in refused else 'not '}in the dead letters"
            wrong.append(f"{fact.path} ({fact.fate}) is {where}")
    known = {(fact.path, fact.sha256) for fact in found.evidence.facts}
    wrong += [f"{path} was never submitted" for path, _ in sorted({*baked, *refused} - known)]
    return len(found.evidence.facts), tuple(wrong)


def dead_letters_say_why(found: Found) -> Answer:
    """A dead letter tells the right code, and one letter is enough for one failure."""
    codes = {(fact.path, fact.sha256): fact.code for fact in found.evidence.facts}
    letters = _letters(found)
    wrong = [f"{place[0]}: {code}" for place, code in letters if codes.get(place) != code]
    return len(letters), tuple(wrong)


def every_chunk_once(found: Found) -> Answer:
    """Every chunk is there once: ordinals count up from 0, and together they cover the text."""
    wrong = []
    for document in found.baked:
        ordinals = [chunk.ordinal for chunk in document.chunks]
        if ordinals != list(range(len(ordinals))) or not ordinals:
            wrong.append(f"{document.path}: ordinals {ordinals[:20]}")
        if any(not letter.isspace() for letter in _uncovered(document)):
            wrong.append(f"{document.path}: text lies in no chunk")
    return sum(len(document.chunks) for document in found.baked), tuple(wrong)


def spans_are_right(found: Found) -> Answer:
    """A chunk's span lies in its document, and cuts out what the topics say of it; the text is the document's own."""
    spoken = _spoken_chunks(found)
    markers = {(fact.path, fact.sha256): fact.marker for fact in found.evidence.facts}
    wrong = []
    for document in found.baked:
        place = (document.path, document.sha256)
        if markers.get(place, "") not in document.text:
            wrong.append(f"{document.path}: the text of another document")
        for chunk in document.chunks:
            cut = document.text[chunk.start : chunk.end]
            if not 0 <= chunk.start < chunk.end <= len(document.text):
                wrong.append(f"{document.path}: chunk {chunk.ordinal} is at {chunk.start}:{chunk.end}")
            elif spoken.get((*place, chunk.ordinal), cut) != cut:
                wrong.append(f"{document.path}: chunk {chunk.ordinal} is not what was chunked")
    return sum(len(document.chunks) for document in found.baked), tuple(wrong)


def one_content_an_id(found: Found) -> Answer:
    """No message id stands for two contents, however often it was published."""
    contents: dict[Any, set[Any]] = defaultdict(set)
    for topic, records in found.topics.records.items():
        for record in records:
            contents[topic, record.id].add((record.type, record.document, record.digest))
    wrong = [
        f"{topic} {identity}: {len(said)} contents" for (topic, identity), said in contents.items() if len(said) > 1
    ]
    return len(contents), tuple(wrong)


def one_id_a_piece_of_work(found: Found) -> Answer:
    """No work was done under two ids: one message a document and a run of chunks, whatever was delivered again."""
    ids: dict[Any, set[Any]] = defaultdict(set)
    for topic, records in found.topics.records.items():
        for record in records:
            if record.document is not None and not topic.endswith(LETTERS) and record.content is not None:
                ids[topic, record.document, _first_ordinal(record.content)].add(record.id)
    wrong = [f"{topic} {document} {at}: {len(of)} messages" for (topic, document, at), of in ids.items() if len(of) > 1]
    return len(ids), tuple(wrong)


def one_announcement_a_generation(found: Found) -> Answer:
    """A completed generation is announced under one id, and the newest one is the image's."""
    announced: dict[int, set[Any]] = defaultdict(set)
    for record in found.topics.records.get("bake-ready", ()):
        if record.content is not None:
            announced[record.content["generation"]].add(record.id)
    wrong = [f"generation {number}: {len(of)} announcements" for number, of in announced.items() if len(of) > 1]
    if set(announced) != set(range(1, found.ledger.job["generation"] + 1)) or not announced:
        wrong.append(
            f"generations {sorted(announced)} were announced, the ledger is at {found.ledger.job['generation']}"
        )
    return len(announced), tuple(wrong)


def roots_hold(found: Found) -> Answer:
    """Merkle roots, computed anew from the image, are those it states, the ledger's, and the calm run's."""
    if found.image is None or found.calm is None:
        return 0, ("there is no image",)
    claims = {"stated": found.image.stated, "ledger's": found.ledger.job["merkle"], "calm run's": found.calm.computed}
    wrong = [
        f"{stage}: {root[:16]}, but the {whose} is {str(roots.get(stage))[:16]}"
        for stage, root in found.image.computed.items()
        for whose, roots in claims.items()
        if roots.get(stage) != root
    ]
    return len(found.image.computed), tuple(wrong)


def same_digest(found: Found) -> Answer:
    """The image's digest is the calm run's and the ledger's, and its blobs are what their names say."""
    if found.image is None or found.calm is None:
        return 0, ("there is no image",)
    wrong = [f"blob {digest} is damaged" for digest in found.image.blobs_damaged]
    wrong += [] if found.image.vectors_ok else ["the vectors do not fit the chunks"]
    wrong += [] if found.image.digest == found.calm.digest else [f"{found.image.digest}, calm {found.calm.digest}"]
    wrong += [] if found.image.digest == found.ledger.job["image"] else [f"ledger has {found.ledger.job['image']}"]
    return 1, tuple(wrong)


def documents_in_the_ledger(found: Found) -> Answer:
    """The ledger knows each document by its derived id, its sealed path, and as what became of it."""
    rows = {row["id"]: row for row in found.ledger.documents}
    key, wrong = found.evidence.key, []
    for fact in found.evidence.facts:
        row = rows.pop(_document_id(key, fact), None)
        if row is None or row["state"] != STATES[fact.fate] or (row["code"] or "") != fact.code:
            wrong.append(f"{fact.path}: {row and (row['state'], row['code'])}")
        elif _opened_path(key, row) != fact.path or row["member"] != fact.member:
            wrong.append(f"{fact.path}: its path does not open, or it is taken for a member")
    wrong += [f"{identity} is no document of ours" for identity in rows]
    return len(found.evidence.facts), tuple(wrong)


def counters_fit_rows(found: Found) -> Answer:
    """The ledger's counters are what its rows add up to."""
    job, documents = found.ledger.job, [row for row in found.ledger.documents if row["met"]]
    opened = [row for row in found.ledger.work if row["source"] is not None and row["finished_at"] is None]
    counted = {
        "open_work": len(opened),
        "done": sum(row["state"] == "done" for row in documents),
        "failed": sum(row["state"] == "failed" for row in documents),
        "duplicates": sum(row["state"] == "duplicate" for row in documents),
        "total": sum(not row["archive"] for row in documents),
        "sources": sum(not row["member"] for row in documents),
    }
    wrong = [f"{name} is {job[name]}, its rows say {count}" for name, count in counted.items() if job[name] != count]
    open_of = Counter(row["document"] for row in opened)
    wrong += [
        f"document {row['id']}: open_work is {row['open_work']}, its rows say {open_of[row['id']]}"
        for row in found.ledger.documents
        if row["open_work"] != open_of[row["id"]]
    ]
    return len(counted) + len(found.ledger.documents), tuple(wrong)


def progress_counts_once(found: Found) -> Answer:
    """What a stage has made was counted once: as many chunks chunked, embedded and packed as the image has."""
    chunks = sum(len(document.chunks) for document in found.baked)
    made = {stage: found.ledger.progress.get(stage, (0, 0))[1] for stage in ("chunk", "embed", "pack")}
    rows = Counter[str]()
    for row in found.ledger.work:
        rows[row["stage"]] += row["items"]
    wrong = [f"{stage}: {items} counted, {chunks} in the image" for stage, items in made.items() if items != chunks]
    wrong += [
        f"{stage}: {items} counted, {rows[stage]} in rows" for stage, items in made.items() if items != rows[stage]
    ]
    return len(made), tuple(wrong)


def nothing_is_open(found: Found) -> Answer:
    """The job is baked, its manifest met, no unit of work is open and nothing waits to be announced."""
    job = found.ledger.job
    wrong = [] if job["state"] == "baked" else [f"the job is {job['state']} ({job['reason']})"]
    if job["manifest"] != job["sources"]:
        wrong.append(f"the manifest states {job['manifest']} documents, {job['sources']} are known")
    wrong += [f"{found.ledger.outbox} announcements wait"] if found.ledger.outbox else []
    wrong += [
        f"{row['stage']} {row['message']} is open"
        for row in found.ledger.work
        if row["source"] is not None and row["finished_at"] is None
    ]
    return len(found.ledger.work), tuple(wrong)


def offsets_wait_for_work(found: Found) -> Answer:
    """No committed offset lies beyond a record whose message has no outcome."""
    looked, wrong = 0, []
    for stage, topics in found.topics.reads.items():
        finished = found.ledger.finished(stage)
        for topic in topics:
            for record in found.topics.records.get(topic, ()):
                if record.offset < found.topics.committed.get((stage, topic, record.partition), 0):
                    looked += 1
                    if record.id not in finished:
                        wrong.append(f"{stage}: {topic}-{record.partition}@{record.offset} {record.id} is unfinished")
    return looked, tuple(wrong)


def every_record_opens(found: Found) -> Answer:
    """Every record of the job opens under its key, and none was put into quarantine."""
    wrong = [f"{record.topic}-{record.partition}@{record.offset}" for record in found.topics.unopened]
    return sum(map(len, found.topics.records.values())), tuple(wrong)


RULES: Final[tuple[Rule, ...]] = (
    every_document_once,
    dead_letters_say_why,
    every_chunk_once,
    spans_are_right,
    one_content_an_id,
    one_id_a_piece_of_work,
    one_announcement_a_generation,
    roots_hold,
    same_digest,
    documents_in_the_ledger,
    counters_fit_rows,
    progress_counts_once,
    nothing_is_open,
    offsets_wait_for_work,
    every_record_opens,
)


# -- what the rules ask for -------------------------------------------------------------------------------------------


def _letters(found: Found) -> list[tuple[tuple[str, str], str]]:
    """Path and hash of each document in a dead letter, with the letter's code; one entry a letter's id and document."""
    letters: dict[Any, tuple[tuple[str, str], str]] = {}
    for topic, records in found.topics.records.items():
        for record in records if topic.endswith(LETTERS) else ():
            code = record.headers.get("cradle_code", b"").decode()
            for path, sha256 in _named(record.content):
                letters[record.id, path] = ((path, sha256), code)
    return [*letters.values()]


def _named(content: Any) -> Iterable[tuple[str, str]]:
    """The documents that a message names: an ingest event several, any other the one it belongs to."""
    if content is None:
        return ()
    if "documents" in content:
        return [(reference["path"], reference["sha256"]) for reference in content["documents"]]
    inner = content.get("chunks", content)
    return [(inner["document"]["path"], inner["document"]["sha256"])] if "document" in inner else ()


def _first_ordinal(content: Any) -> int | None:
    """Of the run of chunks that a message holds; None for one that holds none."""
    chunks = content.get("chunks")
    if isinstance(chunks, dict):  # embeddings hold the chunks' message whole
        chunks = chunks["chunks"]
    return int(chunks[0]["ordinal"]) if chunks else None


def _spoken_chunks(found: Found) -> dict[tuple[str, str, int], str]:
    """The text of each chunk as the records of `chunked` have it, which may have been truncated."""
    spoken = {}
    for record in found.topics.records.get("chunked", ()):
        if record.content is not None:
            document, begin = record.content["document"], record.content["text_start"]
            for chunk in record.content["chunks"]:
                text = record.content["text"][chunk["start"] - begin : chunk["end"] - begin]
                spoken[document["path"], document["sha256"], chunk["ordinal"]] = text
    return spoken


def _uncovered(document: Document) -> str:
    covered, gaps = 0, []
    for chunk in document.chunks:
        gaps.append(document.text[covered : chunk.start])
        covered = max(covered, chunk.end)
    return "".join((*gaps, document.text[covered:]))


def _document_id(key: bytes, fact: Fact) -> str:
    said = f"document\0{fact.path}\0{fact.sha256}".encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()[:32]


def _opened_path(key: bytes, row: dict[str, Any]) -> str | None:
    sealed = bytes(row["sealed_path"])
    try:
        return AESGCM(key).decrypt(sealed[1:13], sealed[13:], sealed[:1] + row["id"].encode()).decode()
    except InvalidTag:
        return None
