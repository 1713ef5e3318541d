"""Records that no honest client writes: a seeded stream of them, over every topic that a stage reads.

What can be decided without a key is thrown at random; the rest is sealed rightly, under the job's own key, and wrong
inside: that is what a broken release or a stolen key would write.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgpack
import zstandard

from infra.broker import OutgoingRecord
from schemas import envelope, sealing
from schemas.messages import (
    Chunk,
    ChunksMade,
    Document,
    DocumentAdmitted,
    DocumentRecognised,
    DocumentReference,
    DocumentsSubmitted,
    EmbeddingsMade,
    JobCompleted,
    Manifest,
    Message,
    RecognisedPage,
    Vectors,
)
from schemas.topology import Topology

Headers = list[tuple[str, bytes]]
TIME: Final = datetime(2026, 3, 1, tzinfo=UTC)
MEBIBYTE: Final = 1024 * 1024
BOMB: Final = zstandard.compress(bytes(256 * MEBIBYTE))


@dataclass(frozen=True)
class Throw:
    """What a kind of hostility may use."""

    chance: random.Random
    topic: str
    type: str
    job: UUID
    key: bytes

    def uuid(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128))

    def noise(self, most: int = 600) -> bytes:
        return self.chance.randbytes(self.chance.randrange(most))

    def headers(self, **changed: str | None) -> Headers:
        names = {
            "ce_specversion": "1.0",
            "ce_id": str(self.uuid()),
            "ce_type": self.type,
            "ce_source": "/cradle/test",
            "ce_subject": str(self.job),
            "ce_time": TIME.isoformat(),
            "content-type": envelope.CONTENT_TYPE,
            "ce_keyid": str(self.job),
            **changed,
        }
        return [(name, value.encode()) for name, value in names.items() if value is not None]

    def sealed(self, content: bytes, headers: Headers | None = None) -> OutgoingRecord:
        """`content` in place of zstd(msgpack(model)), sealed as an honest writer would."""
        headers = headers or self.headers()
        bound = envelope._bound(dict(headers))
        value = sealing.seal(self.key, content, associated=bound, nonce=self.chance.randbytes(sealing.NONCE_BYTES))
        return OutgoingRecord(self.topic, str(self.job).encode(), value, headers)

    def packed(self, content: object, headers: Headers | None = None) -> OutgoingRecord:
        return self.sealed(zstandard.compress(msgpack.packb(content, use_bin_type=True)), headers)

    def valid(self) -> OutgoingRecord:
        return self.packed(message_of(self.type, self.chance).model_dump())


def message_of(type_: str, chance: random.Random) -> Message:
    """One that fits its schema, and no document that there is."""
    name = f"{chance.getrandbits(128):032x}"
    document = Document(id=name, path=f"{name}.txt", sha256=name * 2, media_type="text/plain", size=1)
    text = "a text " * chance.randrange(1, 20)
    chunk = Chunk(ordinal=0, start=0, end=len(text), tokens=2)
    chunks = ChunksMade(document=document, text_length=len(text), text_start=0, text=text, chunks=(chunk,))
    vectors = Vectors(shape=(1, 8), data=chance.randbytes(32))
    reference = DocumentReference(path=f"{name}.txt", uri=f"file:///{name}")
    messages: dict[str, Callable[[], Message]] = {
        DocumentsSubmitted.TYPE: lambda: DocumentsSubmitted(
            customer="acme", reference=name, documents=(reference,), manifest=Manifest(documents=1)
        ),
        DocumentAdmitted.TYPE: lambda: DocumentAdmitted(document=document, object=f"raw/{name}"),
        DocumentRecognised.TYPE: lambda: DocumentRecognised(
            document=document, pages=(RecognisedPage(number=1, text=text, confidence=0.9),)
        ),
        ChunksMade.TYPE: lambda: chunks,
        EmbeddingsMade.TYPE: lambda: EmbeddingsMade(chunks=chunks, vectors=vectors),
        JobCompleted.TYPE: lambda: JobCompleted(customer="acme", generation=1),
    }
    return messages[type_]()


# -- the kinds ---------------------------------------------------------------------------------------------------------


def noise(throw: Throw) -> OutgoingRecord:
    headers = [(throw.noise(9).hex(), throw.noise(40)) for _ in range(throw.chance.randrange(5))]
    return OutgoingRecord(throw.topic, throw.noise(20), throw.noise(), headers)


def noise_in_good_headers(throw: Throw) -> OutgoingRecord:
    return OutgoingRecord(throw.topic, b"", throw.noise(), throw.headers())


def truncated(throw: Throw) -> OutgoingRecord:
    whole = throw.valid()
    cut = whole.value[: throw.chance.randrange(len(whole.value))]
    return OutgoingRecord(whole.topic, whole.key, cut, whole.headers)


def flipped(throw: Throw) -> OutgoingRecord:
    whole = throw.valid()
    value = bytearray(whole.value)
    value[throw.chance.randrange(len(value))] ^= 1 << throw.chance.randrange(8)
    return OutgoingRecord(whole.topic, whole.key, bytes(value), whole.headers)


def broken_header(throw: Throw) -> OutgoingRecord:
    whole = throw.valid()
    headers = list(whole.headers)
    place = throw.chance.randrange(len(headers))
    name, content = headers[place]
    headers[place : place + 1] = throw.chance.choice(
        [
            [],
            [(name, b"\xff\xfe")],
            [(name, b"")],
            [(name, content)] * 2,
            [(name, content * 500)],
            [(name, throw.noise())],
        ]
    )
    return OutgoingRecord(whole.topic, whole.key, whole.value, headers)


def not_zstd(throw: Throw) -> OutgoingRecord:
    return throw.sealed(throw.noise())


def bomb(throw: Throw) -> OutgoingRecord:
    return throw.sealed(BOMB)


def not_msgpack(throw: Throw) -> OutgoingRecord:
    return throw.sealed(zstandard.compress(throw.noise()))


def nested(throw: Throw) -> OutgoingRecord:
    return throw.sealed(zstandard.compress(b"\x91" * throw.chance.choice([500, 5_000, 500_000]) + b"\xc0"))


def claims_to_be_huge(throw: Throw) -> OutgoingRecord:
    """msgpack arrays, maps, strings and extensions of four thousand million items, none of which are there."""
    return throw.sealed(zstandard.compress(throw.chance.choice([b"\xdd", b"\xdf", b"\xdb", b"\xc9"]) + b"\xff" * 8))


def of_another_shape(throw: Throw) -> OutgoingRecord:
    return throw.packed(throw.chance.choice([None, 0, "text", [], {}, {"document": 1}, [1, 2], {"": ""}, 2**63, 1.5]))


def with_a_wrong_field(throw: Throw) -> OutgoingRecord:
    return throw.packed(_changed(message_of(throw.type, throw.chance).model_dump(), throw.chance))


def with_huge_counts(throw: Throw) -> OutgoingRecord:
    return throw.packed(_inflated(message_of(throw.type, throw.chance).model_dump(), throw.chance))


def from_the_future(throw: Throw) -> OutgoingRecord:
    """A newer release's fields are passed over; a newer version of the type is not ours to read."""
    content = message_of(throw.type, throw.chance).model_dump() | {"of_a_later_release": throw.noise(20)}
    base = throw.type.rpartition(".v")[0]
    return throw.packed(content, throw.headers(ce_type=throw.chance.choice([throw.type, f"{base}.v2", f"{base}.v999"])))


def from_the_past(throw: Throw) -> OutgoingRecord:
    content = message_of(throw.type, throw.chance).model_dump()
    del content[throw.chance.choice([*content])]
    base = throw.type.rpartition(".v")[0]
    return throw.packed(content, throw.headers(ce_type=throw.chance.choice([throw.type, f"{base}.v0", base])))


def of_another_type(throw: Throw) -> OutgoingRecord:
    other = throw.chance.choice([ChunksMade.TYPE, DocumentAdmitted.TYPE, JobCompleted.TYPE, EmbeddingsMade.TYPE])
    content = message_of(other, throw.chance).model_dump()
    return throw.packed(content, throw.headers(ce_type=throw.chance.choice([other, throw.type])))


def under_a_wrong_key(throw: Throw) -> OutgoingRecord:
    other = throw.chance.choice([str(throw.uuid()), "quarantine", "", "../" * 9, str(throw.job)])
    return throw.packed({}, throw.headers(ce_subject=str(throw.uuid()), ce_keyid=other))


def a_mebibyte_of_nothing(throw: Throw) -> OutgoingRecord:
    value = throw.chance.choice([b"\0", b" ", b"{", b"["]) * (MEBIBYTE - 4096)
    return OutgoingRecord(throw.topic, b"", value, throw.chance.choice([[], throw.headers()]))


def clear_json(throw: Throw) -> OutgoingRecord:
    content: Any = {"customer": "acme", "reference": str(throw.uuid()), "documents": [], "manifest": {"documents": 1}}
    content |= throw.chance.choice(
        [
            {},
            {"customer": "../../etc"},
            {"customer": throw.noise(9).hex()},
            {"reference": "\u0000"},
            {"documents": [{"path": "../../x", "uri": "file:///etc/passwd"}]},
            {"documents": [{"path": "a", "uri": "gopher://x"}] * 3},
            {"documents": [{"path": "a\ud800", "uri": "s3://b/k"}]},
            {"documents": [{"path": "x" * 5000, "uri": "file:///x"}]},
            {"manifest": {"documents": 10**30}},
            {"manifest": {"documents": float("nan")}},
            {"documents": {}},
        ]
    )
    value = json.dumps(content).encode()
    if throw.chance.random() < 0.3:
        value = value[: throw.chance.randrange(len(value))]
    if throw.chance.random() < 0.05:
        value = b'{"customer":' + b"[" * 20_000
    return OutgoingRecord(throw.topic, b"", value, throw.chance.choice([[], [("content-type", b"application/json")]]))


def honest(throw: Throw) -> OutgoingRecord:
    """Of a job that is there, though its document is not."""
    return throw.valid()


KINDS: Final[tuple[Callable[[Throw], OutgoingRecord], ...]] = (
    noise,
    noise_in_good_headers,
    truncated,
    flipped,
    broken_header,
    not_zstd,
    not_msgpack,
    claims_to_be_huge,
    of_another_shape,
    with_a_wrong_field,
    with_huge_counts,
    from_the_future,
    from_the_past,
    of_another_type,
    under_a_wrong_key,
    clear_json,
    honest,
)
RARE: Final = (bomb, nested, a_mebibyte_of_nothing)
"""These are large: one in two hundred records."""


def hostile_records(
    flow: Topology, topics: list[str], *, seed: int, job: UUID, key: bytes
) -> Iterator[tuple[str, OutgoingRecord]]:
    """Without end: the kind's name and the record."""
    chance = random.Random(seed)
    while True:
        topic = chance.choice(topics)
        kind = chance.choice(RARE) if chance.random() < 0.005 else chance.choice(KINDS)
        yield kind.__name__, kind(Throw(chance, topic, flow.topics[topic].type, job, key))


def _changed(content: Any, chance: random.Random) -> Any:
    """The content with one value somewhere in it replaced by one of another kind."""
    if isinstance(content, dict) and content and chance.random() < 0.8:
        name = chance.choice([*content])
        return content | {name: _changed(content[name], chance)}
    if isinstance(content, list | tuple) and content and chance.random() < 0.8:
        place = chance.randrange(len(content))
        return [*content[:place], _changed(content[place], chance), *content[place + 1 :]]
    return chance.choice([None, -1, 2**40, "", "\x00", b"\xff", [], {}, 1.5, "../..", True])


def _inflated(content: Any, chance: random.Random) -> Any:
    """The content with its numbers as large as the schema lets them be, or larger."""
    if isinstance(content, dict):
        return {name: _inflated(value, chance) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_inflated(value, chance) for value in content] * chance.choice([1, 1, 2, 300])
    if isinstance(content, int) and not isinstance(content, bool) and chance.random() < 0.5:
        return chance.choice([2**31 - 1, 2**53 - 1, 2**31, 10**15])
    return content
