"""Mail: its subject as title, a few header lines, and the body; attachments are documents of their own."""

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Final

from engines.extraction import Member
from engines.extraction.limits import MOST_OF_ONE, Tally, too_large
from engines.extraction.names import Names
from engines.extraction.reading import Piece, Reading, clean
from schemas.errors import Permanent

MAIL: Final = "message/rfc822"
MEMBER: Final = "an attachment"
"""What an error calls the type of an attachment that cannot be got out."""
_SHOWN: Final = ("Subject", "From", "To", "Cc", "Date")


def read(data: bytes, media_type: str) -> Reading:
    try:
        mail = _parse(data)
        lines = [f"{name}: {' '.join(str(mail[name]).split())}" for name in _SHOWN if mail[name]]
        text = clean("\n".join(lines) + "\n\n" + _text(mail))
        return Reading([Piece(text)], title=mail["Subject"], date=_date(mail))
    except (Permanent, MemoryError):
        raise
    except Exception:  # the parser lets more than its own errors through, such as too deep a recursion
        raise Permanent("document.broken", kind=MAIL) from None


def attachments(data: bytes) -> Iterator[Member]:
    """All that is neither the body nor a picture shown in it, in the mail's order; an attached mail is one of them."""
    try:
        mail = _parse(data)
        names, tally = Names(), Tally()
        for number, part in enumerate(_attached(mail, _body(mail)), 1):
            tally.member()
            yield names.give(_attachment_name(part, number)), _attachment(part, tally)
    except (Permanent, MemoryError):
        raise
    except Exception:  # as in `read`
        raise Permanent("document.broken", kind=MAIL) from None


def _date(mail: EmailMessage) -> str | None:
    """The sender's day."""
    sent = getattr(mail["Date"], "datetime", None)  # None where it is no date
    return sent.date().isoformat() if sent else None


def _parse(data: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(data)


# -- the body ---------------------------------------------------------------------------------------------------------


def _body(mail: EmailMessage) -> EmailMessage | None:
    part = mail.get_body(preferencelist=("plain", "html"))
    return part if isinstance(part, EmailMessage) else None


def _text(mail: EmailMessage) -> str:
    part = _body(mail)
    if part is None:
        return ""
    try:
        content = part.get_content()
    except (LookupError, ValueError, AttributeError):
        raise Permanent("document.broken", kind=MAIL) from None
    if part.get_content_type() == "text/html":
        from engines.extraction.html import read as read_html  # which attachments need not

        return "\n\n".join(piece.text for piece in read_html(content.encode(errors="replace"), "text/html").pieces)
    return str(content)


# -- what is attached -------------------------------------------------------------------------------------------------


def _attached(part: EmailMessage, body: EmailMessage | None) -> Iterator[EmailMessage]:
    if part is body or _is_shown(part):
        return
    if part.get_content_maintype() != "multipart" or not part.is_multipart():
        yield part
        return
    inner = [one for one in part.iter_parts() if isinstance(one, EmailMessage)]
    if part.get_content_subtype() == "alternative" and any(one is body for one in inner):
        inner = [one for one in inner if one.get_content_maintype() != "text"]  # the body said otherwise
    for one in inner:
        yield from _attached(one, body)


def _is_shown(part: EmailMessage) -> bool:
    """A picture in the body: a logo, not a document."""
    return part.get_content_maintype() == "image" and bool(part["Content-ID"]) and not part.is_attachment()


def _attachment(part: EmailMessage, tally: Tally) -> bytes | Permanent:
    try:
        content = _content(part)
    except MemoryError:
        raise
    except Exception:  # its neighbours are none the worse for it
        return Permanent("document.broken", kind=MEMBER)
    tally.read(len(content))
    return content if len(content) <= MOST_OF_ONE else too_large()


def _content(part: EmailMessage) -> bytes:
    if part.is_multipart():  # an attached mail
        inner = part.get_payload(0)
        return bytes(inner) if isinstance(inner, EmailMessage) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachment_name(part: EmailMessage, number: int) -> str:
    """The name's last part: a mail has no folders. One without a usable name is called by its place."""
    last = str(part.get_filename() or "").replace("\\", "/").rpartition("/")[2].strip()
    return f"attachment-{number}" if last in ("", ".", "..") else last
