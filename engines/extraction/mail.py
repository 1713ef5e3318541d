"""Mail: its subject as title, a few header lines, and the body; attachments are documents of their own."""

import re
from collections.abc import Iterator, Sequence
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import EmailPolicy
from itertools import islice
from typing import Any, Final, Literal, cast

from engines.extraction import Member
from engines.extraction.blocks import Paragraph, Run, Verbatim, write
from engines.extraction.encodings import decode
from engines.extraction.limits import MOST_OF_ONE, Tally, too_large
from engines.extraction.names import Names
from engines.extraction.reading import Piece, Reading
from schemas.errors import Permanent

MAIL: Final = "message/rfc822"
MEMBER: Final = "an attachment"
"""What an error calls the type of an attachment that cannot be got out."""
_SHOWN: Final = ("Subject", "From", "To", "Cc", "Date")
_TABLE: Final = "\n| --- | --- "

_BOUNDARY: Final = re.compile(rb'boundary="([^"\r\n]{1,200})"|boundary=([^";\s]{1,200})', re.I)
_LONGEST_HEADER: Final = 16_384
"""Characters: some five hundred addresses."""
_MOST_BOUNDARIES: Final = 100
"""That are looked for. What has more is small parts within each other, and few."""


def read(data: bytes, media_type: str) -> Reading:
    try:
        mail = _parse(data)
        lines = [(name, str(mail[name])) for name in _SHOWN if mail[name]]
        plain, page = _shown(mail, "plain"), _shown(mail, "html")
        return Reading([message(lines, plain, page)], title=mail["Subject"], date=_date(mail))
    except (Permanent, MemoryError):
        raise
    except Exception:  # the parser lets more than its own errors through, such as too deep a recursion
        raise Permanent("document.broken", kind=MAIL) from None


def attachments(data: bytes) -> Iterator[Member]:
    """All that is neither the body nor a picture shown in it, in the mail's order; an attached mail is one of them."""
    try:
        mail = _parse(data)
        names, tally = Names(), Tally(len(data))
        parts = []
        for part in _attached(mail, _body(mail)):
            tally.member()
            parts.append(part)
        for number, part in enumerate(parts, 1):
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
    """Raises Permanent `document.costly` before its parts are made, where they are too many."""
    tally = Tally(len(data))
    for boundary in {found[1] or found[2] for found in islice(_BOUNDARY.finditer(data), _MOST_BOUNDARIES)}:
        tally.member(data.count(b"\n--" + boundary))
    return cast(EmailMessage, BytesParser(policy=_Bounded()).parsebytes(data))


class _Bounded(EmailPolicy):
    """Of a header, only so much is understood: Python takes a time that grows with the square of its length."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return super().header_fetch_parse(name, value[:_LONGEST_HEADER])


# -- the body ---------------------------------------------------------------------------------------------------------


def _body(mail: EmailMessage) -> EmailMessage | None:
    part = mail.get_body(preferencelist=("plain", "html"))
    return part if isinstance(part, EmailMessage) else None


def message(lines: Sequence[tuple[str, str]], plain: str, page: str) -> Piece:
    """The header's lines, then the body: as plain text says it; as the HTML page does where plain text is lacking, or
    has lost a table."""
    header = Paragraph([Run("\n".join(f"{name}: {' '.join(value.split())}" for name, value in lines))])
    if page:
        from engines.extraction import html  # which attachments need not

        shown = write([header, *html.blocks(html.parsed(page))]) if page.strip() else write([header])
        if not plain.strip() or _TABLE in shown.text:
            return shown
    return write([header, Verbatim([Run(plain)])])


def _shown(mail: EmailMessage, kind: Literal["plain", "html"]) -> str:
    """A body's text; empty if there is none of that kind."""
    part = mail.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    text = decode(payload if isinstance(payload, bytes) else b"", part.get_content_charset())
    return _unflowed(text, part) if part.get_param("format") == "flowed" else text


def _unflowed(text: str, part: Message) -> str:
    """A line that ends in a space goes on in the next (RFC 3676)."""
    joint = "" if str(part.get_param("delsp")).lower() == "yes" else " "
    signed, mark, rest = text.replace("\r\n", "\n").partition("\n-- \n")
    return re.sub(r" \n(?![>\n])", joint, signed) + mark + rest


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
