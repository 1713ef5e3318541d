"""Documents from a seed: small ones in several formats, archives and mails, and some that must be refused.

Each carries a word of its own (`marker`) that stands in no other, so that the checker can tell whose text it reads.
"""

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

WORDS: Final = (
    *("lease", "invoice", "order", "harbour", "winter", "contract", "engine", "meadow", "ledger", "parcel", "signal"),
    *("timber", "copper", "station", "copy", "river", "garden", "letter", "window", "market", "branch", "number"),
    *("bridge", "island", "report", "season", "answer", "harvest", "journey", "mirror"),
)
TEXT, REFUSED, ARCHIVE = "text", "refused", "archive"
"""Fates: ends in the image; ends in the dead letters; is only a container of others."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What must become of one document, members of archives and mails included."""

    path: str
    sha256: str
    fate: str
    marker: str = ""
    code: str = ""
    """With which a refused one ends."""
    member: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file to submit, and the facts of all documents that come of it."""

    path: str
    data: bytes
    facts: tuple[Fact, ...]


class _Writer:
    """Draws one document after the other."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"documents {seed}")
        self._count = 0

    def marker(self) -> str:
        self._count += 1
        return f"zq{self._count:06d}"

    def sentence(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=self.chance.randint(5, 9))).capitalize() + "."

    def prose(self, marker: str) -> str:
        """A few sentences; one text in thirty is long enough for several chunks."""
        count = self.chance.randint(90, 140) if self.chance.random() < 1 / 30 else self.chance.randint(2, 5)
        return f"{marker} opens. " + " ".join(self.sentence() for _ in range(count))


def _plain(writer: _Writer, name: str) -> Source:
    marker = writer.marker()
    return _text(f"{name}.txt", writer.prose(marker), marker)


def _markdown(writer: _Writer, name: str) -> Source:
    marker = writer.marker()
    return _text(f"{name}.md", f"# {writer.sentence()}\n\n{writer.prose(marker)}\n", marker)


def _table(writer: _Writer, name: str) -> Source:
    marker = writer.marker()
    rows = [(marker, "amount"), *((writer.chance.choice(WORDS), str(n)) for n in range(4))]
    return _text(f"{name}.csv", "".join(f"{left},{right}\n" for left, right in rows), marker)


def _page(writer: _Writer, name: str) -> Source:
    marker = writer.marker()
    body = f"<h1>{writer.sentence()}</h1><p>{writer.prose(marker)}</p>"
    return _text(f"{name}.html", f"<!doctype html><html><body>{body}</body></html>", marker)


def _mail(writer: _Writer, name: str) -> Source:
    """A mail is a document itself, and so is its attachment."""
    marker, inner = writer.marker(), writer.marker()
    attached = writer.prose(inner).encode()
    data = (
        "From: a@example.org\nTo: b@example.org\nDate: Thu, 1 Jan 2026 10:00:00 +0000\n"
        f"Subject: {marker}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=edge\n\n"
        f"--edge\nContent-Type: text/plain\n\n{writer.sentence()}\n"
        f"--edge\nContent-Type: text/plain\nContent-Disposition: attachment; filename=note.txt\n\n{attached.decode()}\n"
        "--edge--\n"
    ).encode()
    path = f"{name}.eml"
    member = Fact(f"{path}!/note.txt", _sha256(attached), TEXT, inner, member=True)
    return Source(path, data, (Fact(path, _sha256(data), TEXT, marker), member))


def _archive(writer: _Writer, name: str) -> Source:
    path = f"{name}.zip"
    packed = io.BytesIO()
    members = []
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number in range(writer.chance.randint(2, 3)):
            marker = writer.marker()
            data = writer.prose(marker).encode()
            archive.writestr(zipfile.ZipInfo(f"in/{number}.txt"), data)  # the default time is fixed: 1980
            members.append(Fact(f"{path}!/in/{number}.txt", _sha256(data), TEXT, marker, member=True))
    data = packed.getvalue()
    return Source(path, data, (Fact(path, _sha256(data), ARCHIVE), *members))


def _encrypted(writer: _Writer, name: str) -> Source:
    """An Office file with a password, as far as its type can be told."""
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le") + writer.marker().encode()
    return _refused(f"{name}.docx", data, "document.encrypted")


def _unknown(writer: _Writer, name: str) -> Source:
    return _refused(f"{name}.bin", b"\x00\x01\x02" + writer.marker().encode() + b"\x00", "document.type")


Kind = Callable[[_Writer, str], Source]
KINDS: Final[dict[Kind, int]] = {
    _plain: 45,
    _markdown: 20,
    _table: 8,
    _page: 12,
    _mail: 6,
    _archive: 4,
    _encrypted: 3,
    _unknown: 2,
}
"""How many of a hundred; the first documents are one of each."""


def sources(count: int, seed: int) -> Iterator[Source]:
    """The same ones for the same count and seed."""
    writer = _Writer(seed)
    kinds = [*KINDS]
    for number in range(count):
        drawn = writer.chance.choices(kinds, weights=[*KINDS.values()])[0]
        kind = kinds[number] if number < len(kinds) else drawn
        yield kind(writer, f"part-{number // 100:03d}/doc-{number:05d}")


def save_facts(facts: list[Fact], file: Path) -> None:
    file.write_text(json.dumps([asdict(fact) for fact in facts]))


def _text(path: str, text: str, marker: str) -> Source:
    data = text.encode()
    return Source(path, data, (Fact(path, _sha256(data), TEXT, marker),))


def _refused(path: str, data: bytes, code: str) -> Source:
    return Source(path, data, (Fact(path, _sha256(data), REFUSED, code=code),))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
