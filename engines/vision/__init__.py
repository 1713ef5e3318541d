"""The vision port: pictures of pages to lines of text with boxes and confidence.

An engine gets pixels, never a file: files are decoded in the sandbox. What it gets is upright or turned, straight or
skewed; `engines.vision.upright` turns and straightens pages for engines that do not do it themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from engines.adapters import engine_module
from engines.extraction import PageImage
from schemas.parameters import VisionConfig

ADAPTERS: Final = {
    "rapidocr": "engines.vision.rapidocr",
    "tesseract": "engines.vision.tesseract",
    "florence-2": "engines.vision.florence",
    "fake": "engines.vision.fake",
}
"""Each module has `identify(config)` and `load(config)`."""
NONE: Final = "none"
"""The name of having no engine."""


@dataclass(frozen=True, slots=True)
class VisionIdentity:
    """What of an engine can change its text; part of the fingerprint."""

    name: str
    weights: str
    """SHA-256 of the weights, or `repository@revision` of a hub model."""
    program: str
    """The library or program that runs them, and its version."""
    languages: tuple[str, ...] = ()
    """ISO 639-1, where the engine must be told; empty: those of its model."""

    def __str__(self) -> str:
        return f"{self.name} weights={self.weights} program={self.program} languages={'+'.join(self.languages)}"


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    box: tuple[int, int, int, int]
    """Left, top, right, bottom, in pixels of the page as `rotation` turned it."""
    confidence: float
    """0 to 1."""
    paragraph: int = 0
    """Lines of one paragraph share a number; it never falls."""


@dataclass(frozen=True, slots=True)
class PageText:
    lines: tuple[Line, ...]
    """In reading order: columns one after the other."""
    width: int
    height: int
    """Pixels of the page as `rotation` turned it: what the boxes count in."""
    rotation: int = 0
    """0, 90, 180 or 270 degrees clockwise, by which the picture was turned to be read."""
    is_whole: bool = True
    """False where more was found than the engine reads of a page: what is smallest is left out."""

    @property
    def confidence(self) -> float:
        """Mean over the lines, each weighed by its characters; 0 where nothing was found."""
        characters = sum(len(line.text) for line in self.lines)
        return sum(line.confidence * len(line.text) for line in self.lines) / characters if characters else 0.0


class VisionEngine(Protocol):
    identity: VisionIdentity

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        """The text of each page, in the order given; they share an engine batch and nothing else.

        A page's text does not depend on the others. A page without text has no lines. Blocking: call it off the event
        loop, one call at a time. Raises Retryable `engine.busy` where it lacks something just now.
        """


def identify(config: VisionConfig) -> VisionIdentity:
    """The identity of the configured engine, without loading its weights (it may read them once, to hash them).

    Raises Permanent `engine.unknown`, `engine.missing` or `engine.revision`. `none` has one too.
    """
    if config.engine == NONE:
        return VisionIdentity(NONE, weights=NONE, program=NONE)
    identity: VisionIdentity = engine_module("vision", config.engine, ADAPTERS).identify(config)
    return identity


def load_engine(config: VisionConfig) -> VisionEngine:
    """Raises Permanent `engine.unknown`, `engine.missing`, `engine.revision` or `engine.weights`, Retryable
    `engine.busy`."""
    engine: VisionEngine = engine_module("vision", config.engine, ADAPTERS).load(config)
    return engine
