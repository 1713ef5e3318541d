"""Mail: its subject as title, a few header lines, and the body; attachments are documents of their own."""

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Final

from engines.extraction.html import read as read_html
from engines.extraction.reading import Piece, Reading, clean
from schemas.errors import Permanent
from schemas.ids import clean_path

_SHOWN: Final = ("Subject", "From", "To", "Cc", "Date")


def read(data: bytes, media_type: str) -> Reading:
    mail = _parse(data)
    lines = [f"{name}: {' '.join(str(mail[name]).split())}" for name in _SHOWN if mail[name]]
    text = clean("\n".join(lines) + "\n\n" + _body(mail))
    return Reading([Piece(text)], title=mail["Subject"], date=_date(mail))


def attachments(data: bytes) -> list[tuple[str, bytes]]:
    """Named attachments; a second one of the same name is called `2-name`, and so on."""
    found: list[tuple[str, bytes]] = []
    taken: set[str] = set()
    for number, part in enumerate(_parse(data).iter_attachments(), 1):
        name = _attachment_name(part.get_filename(), number)
        if name in taken:
            name = f"{number}-{name}"
        taken.add(name)
        found.append((name, _content(part)))
    return found


def _date(mail: EmailMessage) -> str | None:
    """The sender's day."""
    sent = getattr(mail["Date"], "datetime", None)  # None where it is no date
    return sent.date().isoformat() if sent else None


def _parse(data: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(data)


def _body(mail: EmailMessage) -> str:
    part = mail.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    try:
        content = part.get_content()
    except (LookupError, ValueError, AttributeError):
        raise Permanent("document.broken", kind="message/rfc822") from None
    if part.get_content_type() == "text/html":
        return "\n\n".join(piece.text for piece in read_html(content.encode(errors="replace"), "text/html").pieces)
    return str(content)


def _content(part: EmailMessage) -> bytes:
    if part.is_multipart():  # an attached mail
        inner = part.get_payload(0)
        return bytes(inner) if isinstance(inner, EmailMessage) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachment_name(name: str | None, number: int) -> str:
    """The name's last part: a mail has no folders. One without a usable name is called by its place."""
    last = (name or "").replace("\\", "/").rpartition("/")[2].strip()
    try:
        return clean_path(last)
    except Permanent:
        return f"attachment-{number}"
