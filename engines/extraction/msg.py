"""Outlook's messages (.msg): read as mail is. Follows [MS-OXMSG] and, for a body in RTF alone, [MS-OXRTFCP].

A message in a message is handed on as a mail of its own, in the form that mail has.
"""

import io
import struct
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from engines.extraction import Member
from engines.extraction.encodings import decode, known
from engines.extraction.limits import MOST_OF_ONE, Tally, too_large
from engines.extraction.mail import message
from engines.extraction.names import Names
from engines.extraction.reading import Reading
from schemas.errors import Permanent

MSG: Final = "application/vnd.ms-outlook"
_SUBJECT, _BODY, _HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1009
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_TO, _CC = 0x0E04, 0x0E03
_SENT, _RECEIVED, _CHANGED = 0x0039, 0x0E06, 0x3008
_CODE_PAGE, _BODY_CODE_PAGE = 0x3FFD, 0x3FDE
_LONG_NAME, _SHORT_NAME, _SHOWN_NAME, _CONTENT, _IS_HIDDEN = 0x3707, 0x3704, 0x3001, 0x3701, 0x7FFE
_ATTACHMENT: Final = "__attach_version1.0_"
_CONTENT_STREAM: Final = f"__substg1.0_{_CONTENT:04X}0102"
_EMBEDDED: Final = "__substg1.0_3701000D"
_PROPERTIES: Final = "__properties_version1.0"
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_DEEPEST: Final = 8
"""Messages within messages."""
_RTF_DICTIONARY: Final = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS "
    b"Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20"
    b"\\b\\i\\u\\tab\\tx"
)


def read(data: bytes, media_type: str) -> Reading:
    found = _open(data)
    lines = [(name, value) for name, value in found.header() if value]
    return Reading([message(lines, found.plain(), found.page())], title=found.text(_SUBJECT) or None, date=found.day())


def attachments(data: bytes) -> Iterator[Member]:
    """In the message's order, without what only the body shows."""
    found = _open(data)
    names, tally = Names(), Tally(len(data))
    for number, part in enumerate(found.attached(), 1):
        tally.member()
        yield names.give(part.name(number)), part.content(tally)


def _open(data: bytes) -> "_Storage":
    import olefile

    try:
        file = olefile.OleFileIO(io.BytesIO(data), raise_defects=olefile.DEFECT_FATAL)
        streams = {"/".join(path).lower(): path for path in file.listdir()}
        return _Storage(file, streams, "", 32)
    except Exception:  # olefile lets struct's and others' errors through
        raise Permanent("document.broken", kind="an Outlook message (.msg)") from None


@dataclass(frozen=True, slots=True)
class _Storage:
    """A message, or an attachment of one, and its properties."""

    file: Any
    streams: dict[str, list[str]]
    """The whole file's, by their paths in lower case."""
    prefix: str
    """Empty, or ends in a slash."""
    head: int
    """Bytes before the properties that have no stream of their own."""

    # -- properties -----------------------------------------------------------------------------------------------

    def stream(self, name: str) -> bytes | None:
        path = self.streams.get((self.prefix + name).lower())
        if path is None:
            return None
        try:
            with self.file.openstream(path) as stream:
                content = stream.read(MOST_OF_ONE + 1)
                return bytes(content)
        except OSError:
            return None

    def fixed(self, tag: int) -> bytes | None:
        """Eight bytes of a property of fixed length."""
        entries = (self.stream(_PROPERTIES) or b"")[self.head :]
        for place in range(0, len(entries) - 15, 16):
            if int.from_bytes(entries[place + 2 : place + 4], "little") == tag:
                return entries[place + 8 : place + 16]
        return None

    def number(self, tag: int) -> int:
        return int.from_bytes((self.fixed(tag) or b"")[:4], "little")

    def text(self, tag: int) -> str:
        wide = self.stream(f"__substg1.0_{tag:04X}001F")
        if wide is not None:
            return wide.decode("utf-16-le", errors="replace").rstrip("\0")
        narrow = self.stream(f"__substg1.0_{tag:04X}001E")
        return decode(narrow.rstrip(b"\0"), self.encoding(tag)) if narrow else ""

    def encoding(self, tag: int) -> str | None:
        page = self.number(_BODY_CODE_PAGE if tag in (_BODY, _HTML) else _CODE_PAGE) or self.number(_CODE_PAGE)
        return "utf-8" if page == 65001 else known({28591: "cp1252"}.get(page, f"cp{page}"))

    # -- a message ------------------------------------------------------------------------------------------------

    def header(self) -> list[tuple[str, str]]:
        address = self.text(_SENDER_SMTP) or self.text(_SENDER_ADDRESS)
        sender = self.text(_SENDER)
        shown = f"{sender} <{address}>" if "@" in address and address != sender else sender or address
        moment = self.moment()
        sent = moment.strftime("%Y-%m-%d %H:%M UTC") if moment else ""
        return [
            ("Subject", self.text(_SUBJECT)), ("From", shown), ("To", self.text(_TO)), ("Cc", self.text(_CC)),
            ("Date", sent),
        ]  # fmt: skip

    def moment(self) -> datetime | None:
        for tag in (_SENT, _RECEIVED, _CHANGED):
            ticks = int.from_bytes(self.fixed(tag) or b"", "little")
            if 0 < ticks < 1 << 62:
                try:
                    return _EPOCH + timedelta(microseconds=ticks // 10)
                except OverflowError:
                    continue
        return None

    def day(self) -> str | None:
        moment = self.moment()
        return moment.date().isoformat() if moment else None

    def plain(self) -> str:
        return self.text(_BODY) or self._of_rtf()

    def page(self) -> str:
        from engines.extraction.html import decode_html

        raw = self.stream(f"__substg1.0_{_HTML:04X}0102")
        return self.text(_HTML) if raw is None else decode_html(raw)

    def _of_rtf(self) -> str:
        packed = self.stream(f"__substg1.0_{_RTF:04X}0102")
        if not packed or self.streams.get((self.prefix + f"__substg1.0_{_HTML:04X}0102").lower()):
            return ""
        from engines.extraction.rtf import read as read_rtf

        try:
            return read_rtf(unpacked(packed), MSG).pieces[0].text
        except Permanent:
            return ""

    # -- its attachments ------------------------------------------------------------------------------------------

    def attached(self) -> "Iterator[_Storage]":
        folders = {
            path[len(self.prefix) :].partition("/")[0]
            for path in self.streams
            if path.startswith(self.prefix + _ATTACHMENT)
        }
        for folder in sorted(folders):
            part = _Storage(self.file, self.streams, f"{self.prefix}{folder}/", 8)
            if not part.number(_IS_HIDDEN):
                yield part

    def name(self, number: int) -> str:
        name = self.text(_LONG_NAME) or self.text(_SHORT_NAME) or self.text(_SHOWN_NAME)
        last = name.replace("\\", "/").rpartition("/")[2].strip()
        if last in ("", ".", ".."):
            last = f"attachment-{number}"
        return last if self.embedded() is None or last.lower().endswith(".eml") else f"{last}.eml"

    def embedded(self) -> "_Storage | None":
        prefix = f"{self.prefix}{_EMBEDDED}/".lower()
        is_there = (prefix + _PROPERTIES) in self.streams
        return _Storage(self.file, self.streams, prefix, 24) if is_there else None

    def content(self, tally: Tally) -> bytes | Permanent:
        embedded = self.embedded()
        data = self.stream(_CONTENT_STREAM) if embedded is None else as_mail(embedded, 0)
        if data is None:
            return Permanent("document.broken", kind="an attachment")
        tally.read(len(data))
        return data if len(data) <= MOST_OF_ONE else too_large()


def as_mail(message: _Storage, depth: int) -> bytes:
    """The same as a mail, attachments and all. The same message gives the same bytes."""
    parts = [_part("text/plain", message.plain().encode(), "")]
    if page := message.page():
        parts.append(_part("text/html", page.encode(), ""))
    body = [_joined("alternative", parts)]
    for number, part in enumerate(message.attached() if depth < _DEEPEST else (), 1):
        inner = part.embedded()
        data = as_mail(inner, depth + 1) if inner else part.stream(_CONTENT_STREAM)
        if data is not None:
            body.append(_part("application/octet-stream", data, part.name(number)))
    header = dict(message.header())
    if moment := message.moment():
        header["Date"] = format_datetime(moment)
    lines = [f"{name}: {_encoded(' '.join(value.split()))}" for name, value in header.items() if value]
    return "\r\n".join(lines).encode() + b"\r\nMIME-Version: 1.0\r\n" + _joined("mixed", body)


def _encoded(value: str) -> str:
    return value if value.isascii() else Header(value, "utf-8").encode()


def _part(kind: str, data: bytes, name: str) -> bytes:
    head = f'Content-Type: {kind}; charset="utf-8"' if kind.startswith("text/") else f"Content-Type: {kind}"
    if name:
        head += f"\r\nContent-Disposition: attachment; filename*=utf-8''{quote(name)}"
    return f"{head}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + encodebytes(data)


def _joined(kind: str, parts: list[bytes]) -> bytes:
    """A part of parts. What parts them is drawn from what they say."""
    mark = sha256(b"".join(parts)).hexdigest()
    head = f'Content-Type: multipart/{kind}; boundary="{mark}"\r\n\r\n'.encode()
    return head + b"".join(f"--{mark}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()


def unpacked(data: bytes) -> bytes:
    """RTF out of its compressed form. Raises Permanent `document.broken`."""
    if len(data) < 16:
        raise Permanent("document.broken", kind=MSG)
    _, size, magic, _ = struct.unpack("<4I", data[:16])
    if magic == 0x414C454D:
        return data[16 : 16 + size]
    if magic != 0x75465A4C or size > MOST_OF_ONE:
        raise Permanent("document.broken", kind=MSG)
    return _Unpacking(size).all_of(data[16:])


class _Unpacking:
    """LZFu: what was written last, 4 KiB of it, is referred to."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._window = bytearray(_RTF_DICTIONARY.ljust(4096, b"\0"))
        self._place = len(_RTF_DICTIONARY)
        self._out = bytearray()

    def all_of(self, data: bytes) -> bytes:
        place = 0
        while place < len(data) and len(self._out) < self._size:
            control, place = data[place], place + 1
            for bit in range(8):
                is_reference = control >> bit & 1
                if place + is_reference >= len(data):
                    return bytes(self._out)
                if not is_reference:
                    self._put(data[place])
                elif self._repeat(data[place] << 8 | data[place + 1]):
                    return bytes(self._out[: self._size])
                place += 1 + is_reference
        return bytes(self._out[: self._size])

    def _repeat(self, token: int) -> bool:
        """Writes again what the token refers to. True if that is the end."""
        offset, length = token >> 4, (token & 15) + 2
        if offset == self._place:
            return True
        for step in range(length):
            self._put(self._window[(offset + step) % 4096])
        return False

    def _put(self, byte: int) -> None:
        self._out.append(byte)
        self._window[self._place] = byte
        self._place = (self._place + 1) % 4096
