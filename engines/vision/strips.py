"""Cuts a page into strips, for networks that see only so many pixels at a time."""

from collections.abc import Iterator
from typing import Final

from engines.vision.upright import Pixels

BLANK: Final = 24
"""Levels of brightness, of 255: what has less contrast has no text."""


def strips(pixels: Pixels, height: int) -> Iterator[tuple[int, int]]:
    """Rows from-to of strips at most so high, that follow each other. They are parted in the last third, at the row of
    least contrast: between lines of an upright, straight page."""
    contrast = pixels.std(axis=1).mean(axis=1)
    top = 0
    while len(pixels) - top > height:
        first = top + max(1, height * 2 // 3)
        bottom = first + int(contrast[first : top + height].argmin()) if height > 1 else first
        yield top, bottom
        top = bottom
    yield top, len(pixels)


def is_blank(pixels: Pixels) -> bool:
    return int(pixels.max()) - int(pixels.min()) < BLANK
