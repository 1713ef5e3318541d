"""Picture files, decoded frame by frame: PNG, JPEG, TIFF, WebP, BMP and GIF, by Pillow.

Nothing is decoded before its header has told its size, and no other format is tried, whatever the bytes look like.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any, Final

from engines.extraction import PageImage
from engines.extraction.dates import first_day
from engines.extraction.kinds import in_words
from engines.extraction.reading import Reading
from schemas.errors import Permanent

FORMATS: Final[Mapping[str, str]] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/gif": "GIF",
}
"""Media type to the name of Pillow's reader."""
MOST_PIXELS: Final = 60_000_000
"""Of a frame in the file: A3 at 600 dpi has 70 million, A4 35 million. At four bytes a pixel it takes 240 MB."""
MOST_SHOWN: Final = 26_000_000
"""Of a frame as it is handed on; a larger one is made smaller."""
MOST_FRAMES: Final = 2_000
_ORIENTATION: Final = 0x0112
_CHANGED: Final = 0x0132
_WHOLE_BIT_DEPTH: Final = 256


def readable(data: bytes, media_type: str) -> Reading:
    """No text; the day it was taken, where its header has one. Raises Permanent `document.broken`."""
    with _opened(data, media_type) as picture:
        with _Guard(media_type):  # of some formats, all is read to find it
            taken = picture.getexif().get(_CHANGED)
        return Reading([], date=first_day(taken.replace(":", "-", 2)) if isinstance(taken, str) else None)


def pictures(data: bytes, media_type: str, *, dpi: int) -> Iterator[PageImage]:
    """Each frame of a TIFF, and the first of any other: upright as its header says, on white, not more than MOST_SHOWN
    pixels. A picture has the pixels that it has: `dpi` is for what is drawn.

    Raises Permanent `document.broken`, or `document.costly` for more than MOST_PIXELS or MOST_FRAMES.
    """
    with _opened(data, media_type) as picture:
        with _Guard(media_type):
            frames = getattr(picture, "n_frames", 1) if media_type == "image/tiff" else 1
        if frames > MOST_FRAMES:
            raise Permanent("document.costly", limit=f"{MOST_FRAMES} pages")
        for number in range(frames):
            yield _frame(picture, number, media_type)


class _Guard:
    """What Pillow raises of a file that it cannot read is `document.broken`; its warnings are not told."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None:
        self._warnings.__exit__(kind, error, at)
        if isinstance(error, Exception) and not isinstance(error, (Permanent, MemoryError)):
            raise Permanent("document.broken", kind=in_words(self._media_type)) from None


def _opened(data: bytes, media_type: str) -> Any:
    from PIL import Image, ImageFile

    if media_type not in FORMATS:
        raise Permanent("document.type", kind=in_words(media_type))
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None  # ours is the limit, and it is asked before anything is decoded
    with _Guard(media_type):
        return Image.open(io.BytesIO(data), formats=[FORMATS[media_type]])


def _frame(picture: Any, number: int, media_type: str) -> PageImage:
    with _Guard(media_type):
        if number or getattr(picture, "n_frames", 1) > 1:
            picture.seek(number)
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise Permanent("document.costly", limit=f"{MOST_PIXELS} pixels a page")
        dpi = _dpi(picture)
        orientation = picture.getexif().get(_ORIENTATION, 1)
        upright, scale = _upright(picture, orientation)
        return PageImage(number + 1, upright.width, upright.height, upright.tobytes(), round(dpi * scale))


def _upright(picture: Any, orientation: object) -> tuple[Any, float]:
    """(the picture in three channels, how much smaller it is)"""
    from PIL import Image

    scale = min(1.0, sqrt(MOST_SHOWN / max(picture.width * picture.height, 1)))
    if scale < 1:
        picture.draft("RGB", (int(picture.width * scale), int(picture.height * scale)))  # JPEG decodes to less
    shown = _on_white(picture)
    if shown.width * shown.height > MOST_SHOWN:
        shown = shown.resize((int(shown.width * scale), int(shown.height * scale)), Image.Resampling.BOX)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation if isinstance(orientation, int) else 1)
    return (shown if turn is None else shown.transpose(turn)), scale


def _on_white(picture: Any) -> Any:
    from PIL import Image

    if picture.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        return _from_deep(picture).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        white = Image.new("RGB", seen.size, "white")
        white.paste(seen, mask=seen.getchannel("A"))
        return white
    return picture.convert("RGB")


def _from_deep(picture: Any) -> Any:
    """Gray of more than 8 bits: scaled to what there is."""
    low, high = picture.convert("F").getextrema()
    span = (high - low) or 1.0
    if low >= 0 and high < _WHOLE_BIT_DEPTH and picture.mode != "F":
        return picture.convert("L")
    return picture.convert("F").point(lambda value: value * (255.0 / span) - low * 255.0 / span).convert("L")


def _dpi(picture: Any) -> float:
    stated = picture.info.get("dpi")
    try:
        dpi = float(min(stated)) if stated else 0.0
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return dpi if 20 <= dpi <= 5_000 else 0.0
