"""Whether a person sees a text: its size, and its colour on what lies behind it."""

import re
from typing import Final

WHITE: Final = "ffffff"
UNKNOWN: Final = "?"
"""A background that cannot be told: a picture, a pattern, another shape. Nothing on it is called hidden."""
LEAST_CONTRAST: Final = 1.2
"""Below this nobody reads a text. WCAG 2.2 asks for 4.5, and calls equal colours 1."""
LEAST_POINTS: Final = 2.0
"""Type of a legal notice has five or more."""
_HEX: Final = re.compile(r"[0-9a-f]{6}")


def is_hidden(colour: str | None = None, background: str = WHITE, *, points: float | None = None) -> bool:
    """Whether text of that size, in that colour on that background (`rrggbb`, in lower case), cannot be read.

    A colour of None or of another form is one that the reader chooses: it can be seen. So is one on `UNKNOWN`.
    """
    if points is not None and points < LEAST_POINTS:
        return True
    if colour is None or not _HEX.fullmatch(colour) or not _HEX.fullmatch(background):
        return False
    return contrast(colour, background) < LEAST_CONTRAST


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
