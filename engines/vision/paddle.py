"""The two networks of PP-OCR: one finds lines on a page, one reads a line. Run by onnxruntime, with one thread.

PaddleOCR's own preparation of pictures, threshold for threshold (its configuration PP-OCRv6 small): the networks were
trained on it. Memory is bounded by what they are shown at a time: a strip of a page, one line.

Lines are read one at a time. On one core a batch gains nothing (1600 pixels wide: 0.13 s a line alone, 0.15 s in
fours, 0.20 s in eights) and rounds differently, so that a line's text would depend on its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.vision.strips import is_blank, strips
from engines.vision.upright import Pixels, Points

MEAN: Final = 127.5
"""Pixels are shown as -1 to 1."""
MULTIPLE: Final = 32
"""Of pixels: what sides the first network wants."""
SHORT_SIDE: Final = 960
WIDEST: Final = 1600
TALLEST: Final = 4000
"""A page is shrunk until it is within all three, and never magnified beyond twice its size."""
STRIP: Final = 600_000
"""Pixels of a page that the first network sees at once: it takes 0.35 KiB of memory a pixel."""

INK: Final = 0.3
"""A pixel that is this likely within a line."""
LIKELY: Final = 0.5
"""How likely, on average, a line's pixels have to be."""
GROWN: Final = 1.6
"""The network marks the cores of lines. They are grown by area / circumference times this."""
THINNEST: Final = 3
"""Pixels of a line's core."""
MARGIN: Final = 0.2
"""Of a line's height, on each side, that lines so grown are larger than their letters; measured."""
MOST_LINES: Final = 1000
"""Of a page; the largest count. A page of print has a tenth of that, noise may have any number."""

LINE_HEIGHT: Final = 48
PRINTED: Final = 0.35
"""Of a line's contrast: a column of pixels with less is blank."""
GAP: Final = 0.6
"""Of LINE_HEIGHT, about the height of a capital: as wide a gap parts a line. Between words it is a third of that."""
UPWARDS: Final = 3.0
"""Times as high as wide: a line that runs from bottom to top. A single letter is less."""
NARROWEST: Final = 320
LONGEST: Final = 3200
"""Pixels of a line's width, at the height that the second network reads."""


class Detector:
    def __init__(self, session: Any) -> None:
        self._session = session

    def lines(self, pixels: Pixels) -> list[Points]:
        """Of each line found its corners (4, 2), from the upper left one on clockwise; in no order."""
        height, width = pixels.shape[:2]
        short = min(height, width)
        scale = min(max(1.0, min(2.0, SHORT_SIDE / 2 / short)), SHORT_SIDE / short, WIDEST / width, TALLEST / height)
        columns, rows = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in (width, height))
        shown = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        found = _boxes(self._likelihood(np.asarray(shown, dtype=np.uint8)))
        return [box * (width / columns, height / rows) for box in found]

    def _likelihood(self, pixels: Pixels) -> NDArray[np.float32]:
        """(height, width): how likely each pixel is within a line."""
        likelihood = np.zeros(pixels.shape[:2], dtype=np.float32)
        for top, bottom in strips(pixels, STRIP // pixels.shape[1] // MULTIPLE * MULTIPLE):
            strip = pixels[top:bottom]
            if not is_blank(strip):  # the network sees text in plain white
                missing = -len(strip) % MULTIPLE
                filled = cv2.copyMakeBorder(strip, 0, missing, 0, 0, cv2.BORDER_REPLICATE)
                likelihood[top:bottom] = self._session.run(None, {"x": _shown(filled)})[0][0, 0, : bottom - top]
        return likelihood


def _boxes(likelihood: NDArray[np.float32]) -> list[Points]:
    mask = cv2.dilate((likelihood > INK).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cores = [cv2.minAreaRect(contour) for contour in contours]
    cores = [core for core in cores if min(core[1]) >= THINNEST]
    cores.sort(key=lambda core: (-core[1][0] * core[1][1], core[0]))
    return [_grown(core) for core in cores[:MOST_LINES] if _likely(likelihood, cv2.boxPoints(core))]


def _likely(likelihood: NDArray[np.float32], corners: NDArray[Any]) -> bool:
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = likelihood[top:bottom, left:right]
    mask = np.zeros(part.shape, dtype=np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], 1)
    return bool(cv2.mean(part, mask)[0] >= LIKELY)


def _grown(core: tuple[Sequence[float], Sequence[float], float]) -> Points:
    middle, (width, height), angle = core
    more = width * height * GROWN / (width + height)
    corners = cv2.boxPoints((middle, (width + more, height + more), angle)).astype(np.float64)
    by_side = corners[np.lexsort((corners[:, 1], corners[:, 0]))]
    left, right = by_side[:2][np.argsort(by_side[:2, 1])], by_side[2:][np.argsort(by_side[2:, 1])]
    return np.stack([left[0], right[0], right[1], left[1]])


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line that was found: the whole, unless it has a gap as wide as between columns."""

    corners: Points
    """(4, 2), with the margin that it is read with."""
    picture: Pixels = field(repr=False)
    """LINE_HEIGHT high."""

    def around_letters(self) -> Points:
        """Its corners without the margin."""
        middle = self.corners.mean(axis=0)
        ways = self.corners - middle
        return np.asarray(middle + np.sign(ways) * np.maximum(np.abs(ways) - MARGIN * min(_sides(self.corners)), 0))


def parts(pixels: Pixels, corners: Points) -> list[Part]:
    """The line cut out of the page, in pieces where nothing is printed for about a letter's height: the first network
    takes two cells of a table, or lines of two columns, for one line where they are close."""
    picture = _cut(pixels, corners)
    width = picture.shape[1]
    pieces = _pieces(picture)
    if len(pieces) == 1 or _runs_upwards(corners):
        return [Part(corners, picture)]
    return [Part(_between(corners, left / width, right / width), picture[:, left:right]) for left, right in pieces]


def _pieces(picture: Pixels) -> list[tuple[int, int]]:
    """From which to which column of pixels something is printed, with a margin."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int16)
    lowest, highest = np.percentile(grey, (1, 99))
    printed = np.flatnonzero(grey.max(axis=0) - grey.min(axis=0) > PRINTED * (highest - lowest))
    gaps = np.flatnonzero(np.diff(printed) > GAP * LINE_HEIGHT)
    margin = round(MARGIN * LINE_HEIGHT)
    starts = [0, *(int(printed[i + 1]) - margin for i in gaps)]
    ends = [*(int(printed[i]) + 1 + margin for i in gaps), picture.shape[1]]
    return list(zip(starts, ends, strict=True))


def _between(corners: Points, start: float, end: float) -> Points:
    """The corners of a stretch of the line, from and to these parts of its length."""
    upper, lower = corners[1] - corners[0], corners[2] - corners[3]
    return np.stack(
        [corners[0] + upper * start, corners[0] + upper * end, corners[3] + lower * end, corners[3] + lower * start]
    )


def _sides(corners: Points) -> tuple[float, float]:
    """Width and height."""
    wide = max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))
    high = max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    return float(wide), float(high)


def _runs_upwards(corners: Points) -> bool:
    wide, high = _sides(corners)
    return high >= UPWARDS * wide


@dataclass(frozen=True, slots=True)
class Recogniser:
    session: Any = field(repr=False)
    characters: Sequence[str] = field(repr=False)
    """What the network's classes stand for; the first is no character."""

    def read(self, line: Pixels) -> tuple[str, float]:
        """Of a picture LINE_HEIGHT high its text and the mean confidence of its characters, 0 to 1; '' and 0 where
        there is none."""
        chances = self.session.run(None, {"x": _shown(_padded(line))})[0][0]
        best = chances.argmax(axis=1)
        # a class that repeats is one character; the same character twice has none between
        kept = (best != 0) & np.concatenate([[True], best[1:] != best[:-1]])
        if not kept.any():
            return "", 0.0
        text = "".join(self.characters[character] for character in best[kept])
        return text, round(float(chances.max(axis=1)[kept].mean()), 4)


def _cut(pixels: Pixels, corners: Points) -> Pixels:
    """The line as a picture LINE_HEIGHT high, upright where it ran from bottom to top."""
    width, height = (max(1, int(side)) for side in _sides(corners))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    cut = cv2.warpPerspective(pixels, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if _runs_upwards(corners):
        cut = np.rot90(cut, -1)
    rows, columns = cut.shape[:2]
    length = min(LONGEST, max(1, round(columns * LINE_HEIGHT / rows)))
    way = cv2.INTER_AREA if rows > LINE_HEIGHT else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), (length, LINE_HEIGHT), interpolation=way), dtype=np.uint8)


def _padded(line: Pixels) -> NDArray[np.float32]:
    """With grey at its end: the network's widths are multiples, from NARROWEST on."""
    length = line.shape[1]
    wanted = max(NARROWEST, -(-length // MULTIPLE) * MULTIPLE)
    padded = np.full((LINE_HEIGHT, wanted, 3), MEAN, dtype=np.float32)
    padded[:, :length] = line
    return padded


def _shown(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(1, 3, height, width), blue, green, red, from -1 to 1."""
    scaled = pixels[:, :, ::-1].astype(np.float32) / np.float32(MEAN) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
