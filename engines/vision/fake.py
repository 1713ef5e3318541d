"""An engine for tests: a page's one line names its size and the sum of its pixels. A page of one colour is empty."""

from collections.abc import Sequence
from typing import Final

from engines.extraction import PageImage
from engines.vision import Line, PageText, VisionIdentity
from schemas.parameters import VisionConfig

IDENTITY: Final = VisionIdentity(name="fake", weights="none", program="none")
CONFIDENCE: Final = 0.9


class FakeEngine:
    identity = IDENTITY

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        return [_recognise(page) for page in pages]


def _recognise(page: PageImage) -> PageText:
    lines: tuple[Line, ...] = ()
    if page.pixels != page.pixels[:3] * (page.width * page.height):
        text = f"picture {page.width} x {page.height} sum {sum(page.pixels)}"
        lines = (Line(text, (0, 0, page.width, page.height), CONFIDENCE),)
    return PageText(lines, page.width, page.height)


def identify(config: VisionConfig) -> VisionIdentity:
    return IDENTITY


def load(config: VisionConfig) -> FakeEngine:
    return FakeEngine()
