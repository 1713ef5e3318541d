"""PowerPoint: a slide is a page, its first line its heading."""

import re
from typing import Final

from engines.extraction import ExtractedHeading, kreuzberg
from engines.extraction.dates import changed
from engines.extraction.reading import Piece, Reading, clean

_MARK: Final = re.compile(r"\ue000(\d+)\ue001")
_LONGEST_TITLE: Final = 200
"""Characters. A longer first line is a slide's text, not its title."""


def read(data: bytes, media_type: str) -> Reading:
    result = kreuzberg.read(data, media_type, output="plain", page_marks=True)
    # [before, number, slide, number, slide ...]; in plain output kreuzberg keeps the speaker's notes
    parts = _MARK.split(result.content)
    slides = [_slide(int(number), text) for number, text in zip(parts[1::2], parts[2::2], strict=True)]
    return Reading(
        slides or [Piece(clean(parts[0]))],
        title=result.metadata.get("title"),
        date=changed(result.metadata),
    )


def _slide(number: int, content: str) -> Piece:
    text = clean(content).strip()
    title = text.partition("\n")[0]
    headings = (ExtractedHeading(1, 0, len(title)),) if 0 < len(title) <= _LONGEST_TITLE else ()
    return Piece(text, headings, page=number)
