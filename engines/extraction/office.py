"""Word, Excel, OpenDocument text, EPUB and RTF: kreuzberg gives Markdown, whose headings are then found."""

import re
from typing import Final

from engines.extraction import kreuzberg
from engines.extraction.reading import Piece, Reading
from engines.extraction.text import markdown

_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_EMPHASIS: Final = re.compile(r"(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1")


def read(data: bytes, media_type: str) -> Reading:
    result = kreuzberg.read(data, media_type)
    return Reading([made_markdown(result.content)], title=result.metadata.get("title"))


def made_markdown(content: str) -> Piece:
    """Markdown that kreuzberg made of another format: its emphasis and escapes are no text of the document."""
    return markdown(_ESCAPE.sub(_unescaped, _EMPHASIS.sub(r"\2", content)))


def _unescaped(escape: re.Match[str]) -> str:
    return escape[0] if escape[1] == "|" else escape[1]  # an escaped bar keeps its cell together
