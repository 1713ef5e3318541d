"""HTML: what a reader of the page would see, headings kept, navigation and scripts left out."""

import html
import re
from typing import Final

from engines.extraction import kreuzberg
from engines.extraction.office import made_markdown
from engines.extraction.reading import Reading
from engines.extraction.text import decode

_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>([^<]{0,1000})</title\s*>", re.IGNORECASE)
_HEAD: Final = re.compile(r"<head[\s>].*?</head\s*>", re.IGNORECASE | re.DOTALL)


def read(data: bytes, media_type: str) -> Reading:
    source = decode_html(data)
    title = _TITLE.search(source)
    body = _HEAD.sub("", source, count=1)  # kreuzberg would print the head's fields as if they were text
    return Reading(
        [made_markdown(kreuzberg.read(body.encode(errors="replace"), "text/html").content)],
        title=" ".join(html.unescape(title[1]).split()) if title else None,
    )


def decode_html(data: bytes) -> str:
    declared = _CHARSET.search(data[:2048])
    if declared is not None:
        try:
            return data.decode(declared[1].decode())
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data)
