"""Turns and straightens pictures of pages, for engines that expect upright, level lines. The same on every machine.

Three things are told from where the letters lie, without reading them. Rows of letters make a profile of sharp steps
when looked at along them: the angle with the sharpest profile is the skew, and rows that run from top to bottom mean a
page on its side. Most letters stand on the base line, but rise to two heights (x and k): where the upper edges make
the sharper profile, the page stands on its head.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.extraction import PageImage
from engines.vision import Line, PageText
from engines.vision.layout import arranged

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Box = tuple[int, int, int, int]

LOOKED_AT: Final = 2400
"""Pixels of the longer side at which letters are looked for."""
LARGEST: Final = 0.05
"""Of the longer side: what is larger than this is no letter, but a rule, a frame or a picture."""
SMALLEST: Final = 3
"""Pixels; smaller specks are noise."""
FEWEST: Final = 12
"""Letters; with fewer a page is left as it is."""
MOST: Final = 4000
"""Letters that are looked at; a page has no more, noise may."""
WIDEST_SKEW: Final = 15.0
"""Degrees to either side."""
LEAST_SKEW: Final = 0.15
"""Degrees; a smaller skew is left, since turning blurs."""
STRIPES: Final = 8
"""From left to right, in which a page's upper and lower edges are compared."""
MOST_LINES: Final = 1000
"""Of a page; a page of print has a tenth of that. Putting them in order takes time by their square."""
LEFT, TOP, RIGHT, BOTTOM = range(4)
HEADSTAND: Final = 1.05
"""How much sharper the letters' upper edges have to be than their lower ones."""
DOUBTFUL: Final = 0.8
"""Mean confidence of a page below which it may have been read upside down."""
CLEARLY: Final = 0.05
"""By how much the other way round has to be better."""


@dataclass(frozen=True, slots=True)
class UprightPage:
    pixels: Pixels = field(repr=False)
    """(height, width, 3), red, green, blue; upright and straight."""
    rotation: int
    """Degrees clockwise by which the picture was turned: 0, 90, 180 or 270."""
    skew: float
    """Degrees clockwise by which it was turned besides, about its middle; its size stayed."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def box(self, corners: Points) -> Box:
        """The box around corners (n, 2) of the straight page, in the page as `rotation` alone turned it."""
        width, height = self.size
        if self.skew:
            back = cv2.getRotationMatrix2D((width / 2, height / 2), self.skew, 1.0)
            corners = corners @ back[:, :2].T + back[:, 2]
        left, top = np.floor(corners.min(axis=0))
        right, bottom = np.ceil(corners.max(axis=0))
        return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))

    def at_most(self, side: int) -> tuple[Pixels, float]:
        """The pixels, their longer side shrunk to `side` where it is longer, and by how much they were shrunk."""
        scale = min(1.0, side / max(self.size))
        if scale == 1:
            return self.pixels, scale
        shrunk = cv2.resize(self.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return shrunk.astype(np.uint8, copy=False), scale


def read_upright(page: PageImage, read: Callable[[UprightPage], Iterable[Line]]) -> PageText:
    """The page's lines in reading order, read from the page turned upright.

    `read` gives the lines of the page it is shown, in any order, boxes by `UprightPage.box`. What comes out doubtful
    is read upside down as well: capitals and figures do not tell which way is up, their recognition does.
    """
    found = upright(page)
    text = _page_text(found, read)
    if not text.lines or text.confidence >= DOUBTFUL:
        return text
    other = _page_text(_on_its_head(found), read)
    return other if other.confidence > text.confidence + CLEARLY else text


def _page_text(page: UprightPage, read: Callable[[UprightPage], Iterable[Line]]) -> PageText:
    width, height = page.size
    lines = list(islice(read(page), MOST_LINES + 1))
    return PageText(arranged(lines[:MOST_LINES]), width, height, page.rotation, is_whole=len(lines) <= MOST_LINES)


def _on_its_head(page: UprightPage) -> UprightPage:
    turned = np.ascontiguousarray(page.pixels[::-1, ::-1])
    return UprightPage(turned, (page.rotation + 180) % 360, page.skew)


def upright(page: PageImage) -> UprightPage:
    """The page turned so that its text can be read, and its lines level to within LEAST_SKEW degrees."""
    pixels = as_array(page)
    letters = _letters(pixels)
    rotation, skew = _turn(letters) if len(letters) >= FEWEST else (0, 0.0)
    turned = np.ascontiguousarray(np.rot90(pixels, -(rotation // 90)))
    return UprightPage(_levelled(turned, skew) if skew else turned, rotation, skew)


def as_array(page: PageImage) -> Pixels:
    """(height, width, 3) of uint8 over the page's own bytes."""
    return np.frombuffer(page.pixels, dtype=np.uint8).reshape(page.height, page.width, 3)


def _letters(pixels: Pixels) -> Points:
    """(n, 4): left, top, right, bottom of dark spots as large as letters, about the picture's middle."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    longer = max(grey.shape)
    if longer > LOOKED_AT:
        scale = LOOKED_AT / longer
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    ink = cv2.adaptiveThreshold(smooth, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 41, 15)
    _, _, spots, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    widths, heights = spots[1:, cv2.CC_STAT_WIDTH], spots[1:, cv2.CC_STAT_HEIGHT]
    sizes = np.maximum(widths, heights)
    fits = (sizes >= SMALLEST) & (sizes <= LARGEST * max(grey.shape)) & (np.minimum(widths, heights) >= 2)
    chosen = spots[1:][fits]
    chosen = chosen[:: max(1, len(chosen) // MOST)].astype(np.float64)
    lefts, tops = chosen[:, cv2.CC_STAT_LEFT] - grey.shape[1] / 2, chosen[:, cv2.CC_STAT_TOP] - grey.shape[0] / 2
    return np.stack([lefts, tops, lefts + chosen[:, cv2.CC_STAT_WIDTH], tops + chosen[:, cv2.CC_STAT_HEIGHT]], axis=1)


def _turn(letters: Points) -> tuple[int, float]:
    """Degrees clockwise that make the letters upright and level: quarter turns, and the rest."""
    choices = []
    for rotation in (0, 90):
        turned = _turned(letters, rotation)
        skew = _skew(turned)
        choices.append((_rows_sharpness(turned, skew), -rotation, skew))
    _, negative, skew = max(choices)
    rotation = -negative
    if _stands_on_head(_turned(letters, rotation), skew):
        rotation += 180
    return rotation, skew if abs(skew) >= LEAST_SKEW else 0.0


def _turned(letters: Points, rotation: int) -> Points:
    """The letters after quarter turns clockwise."""
    for _ in range(rotation // 90):
        left, top, right, bottom = letters.T
        letters = np.stack([-bottom, left, -top, right], axis=1)
    return letters


def _skew(letters: Points) -> float:
    """Degrees clockwise that level the rows: first roughly, then to a twentieth of a degree."""
    best = 0.0
    for reach, step in ((WIDEST_SKEW, 0.5), (0.5, 0.05)):
        angles = best + np.arange(-reach, reach + step / 2, step)
        # of equally sharp angles the smallest, so that a page without rows stays as it is
        best = max(angles, key=lambda angle: (_rows_sharpness(letters, angle), -abs(angle)))
    return round(float(best), 2)


def _rows_sharpness(letters: Points, skew: float) -> float:
    return sum(_sharpness(edges) for edges in _edges(letters, skew))


def _stands_on_head(letters: Points, skew: float) -> bool:
    """Each stripe of the page is looked at by itself: the rows of two columns need not be level with each other."""
    middle = (letters[:, LEFT] + letters[:, RIGHT]) / 2
    reach = np.abs(middle).max() + 1
    stripe = ((middle + reach) * STRIPES / (2 * reach)).astype(np.int64)
    tops, bottoms = (
        sum(_sharpness(edges[stripe == i]) for i in range(STRIPES) if (stripe == i).any())
        for edges in _edges(letters, skew)
    )
    return tops > HEADSTAND * bottoms


def _edges(letters: Points, skew: float) -> tuple[Points, Points]:
    """How far down the upper and the lower edges are once the page is turned by so many degrees clockwise."""
    across = (letters[:, LEFT] + letters[:, RIGHT]) / 2 * np.sin(np.radians(skew))
    down = np.cos(np.radians(skew))
    return across + letters[:, TOP] * down, across + letters[:, BOTTOM] * down


def _sharpness(edges: Points) -> float:
    """How much edges gather in few rows: the sum of squares of the counts in each two neighbouring rows of pixels."""
    rows = np.rint(edges).astype(np.int64)
    counts = np.bincount(rows - rows.min()).astype(np.float64)
    return float(((counts[:-1] + counts[1:]) ** 2).sum())


def _levelled(pixels: Pixels, skew: float) -> Pixels:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -skew, 1.0)
    levelled = cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return levelled.astype(np.uint8, copy=False)
