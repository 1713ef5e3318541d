"""Word, Excel, OpenDocument text, EPUB and RTF: kreuzberg gives Markdown, whose headings are then found."""

import re
from typing import Final

from engines.extraction import kreuzberg
from engines.extraction.dates import changed
from engines.extraction.reading import Piece, Reading
from engines.extraction.text import markdown

_MARKUP: Final = re.compile(r"\\([!-/:-@\[-`{-~])|(\*{1,3})(?=\S)((?:\\.|[^*\\\n])+?)(?<=\S)\2")
"""An escaped character, or text between stars."""


def read(data: bytes, media_type: str) -> Reading:
    result = kreuzberg.read(data, media_type)
    return Reading([made_markdown(result.content)], title=result.metadata.get("title"), date=changed(result.metadata))


def made_markdown(content: str) -> Piece:
    """Markdown that kreuzberg made of another format: its emphasis and escapes are no text of the document."""
    return markdown(_MARKUP.sub(_unmarked, content))


def _unmarked(markup: re.Match[str]) -> str:
    escaped, _, emphasised = markup.groups()
    if escaped is None:
        return _MARKUP.sub(_unmarked, emphasised)
    return "\\|" if escaped == "|" else str(escaped)  # an escaped bar keeps its cell together
