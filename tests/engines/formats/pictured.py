"""Pictures of pages, and what of each reaches recognition. How well it is then read, docs/quality.md shows."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageChops, ImageOps

from engines.extraction import PageImage, pictures, probe
from tests.engines.pictures import image, page

DPI: Final = 100
_ALIKE: Final = 32
"""Of 255 in lightness: what lossy formats may change beside a letter's edge. Of colours they keep less."""
_ORIENTATION: Final = 0x0112
_ON_ITS_SIDE: Final = 8


@dataclass(frozen=True)
class Picture:
    format: str
    holds: str
    make: Callable[[], bytes]
    frames: Callable[[], Sequence[Image.Image]]
    """As a person sees them, upright."""
    dpi: int | None = DPI
    """None where the file does not say."""


def reaching(picture: Picture) -> Sequence[PageImage]:
    data = picture.make()
    found = probe(data, "no-suffix")
    return list(pictures(data, found.media_type, dpi=DPI)) if found.route == "ocr" else []


# -- scores -----------------------------------------------------------------------------------------------------------


def frames(got: Sequence[PageImage], picture: Picture) -> float | None:
    return len(got) / len(picture.frames())


def alike(got: Sequence[PageImage], picture: Picture) -> float | None:
    """Share of the frames that came, which are as light and dark as they were, but for what nobody sees."""
    return _share(_lightness(image(one), wanted) <= _ALIKE for one, wanted in _pairs(got, picture))


def exact(got: Sequence[PageImage], picture: Picture) -> float | None:
    """Share of the frames that came, whose every pixel is what it was."""
    return _share(image(one).tobytes() == wanted.tobytes() for one, wanted in _pairs(got, picture))


def resolution(got: Sequence[PageImage], picture: Picture) -> float | None:
    return None if picture.dpi is None else _share(one.dpi == picture.dpi for one in got)


SCORES: Final[Mapping[str, Callable[[Sequence[PageImage], Picture], float | None]]] = {
    "pages": frames,
    "whole and upright": alike,
    "exact to the pixel": exact,
    "dots per inch": resolution,
}


def _pairs(got: Sequence[PageImage], picture: Picture) -> Iterable[tuple[PageImage, Image.Image]]:
    return ((one, wanted.convert("RGB")) for one, wanted in zip(got, picture.frames(), strict=False))


def _lightness(one: Image.Image, wanted: Image.Image) -> int:
    """The largest difference of any pixel; 256 where the sizes differ."""
    if one.size != wanted.size:
        return 256
    return int(ImageChops.difference(one.convert("L"), wanted.convert("L")).getextrema()[1])  # type: ignore[arg-type]


def _share(kept: Iterable[bool]) -> float:
    all_of = list(kept)
    return sum(all_of) / max(len(all_of), 1)


# -- the corpus -------------------------------------------------------------------------------------------------------


def _page() -> Image.Image:
    """Gray letters on white, 500 x 500 pixels."""
    return image(page(width=127, height=127, dpi=DPI))


def _black() -> Image.Image:
    return _page().convert("1", dither=Image.Dither.NONE)


def _colored() -> Image.Image:
    return ImageOps.colorize(_page().convert("L"), "#103050", "#fff8e0")


def _clear() -> Image.Image:
    """Letters on nothing."""
    letters = Image.new("RGBA", _page().size, "black")
    letters.putalpha(ImageOps.invert(_page().convert("L")))
    return letters


def _turned() -> Image.Image:
    return _page().transpose(Image.Transpose.ROTATE_180)


def _saved(kind: str, *shown: Callable[[], Image.Image], **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        first, *others = [one() for one in shown]
        file = io.BytesIO()
        more = {"save_all": True, "append_images": others} if others else {}
        first.save(file, kind, **more, **options)
        return file.getvalue()

    return make


def _photograph() -> bytes:
    """Its camera lay on its side, and says so."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _ON_ITS_SIDE
    lying = _page().transpose(Image.Transpose.ROTATE_270)
    return _saved("JPEG", lambda: lying, exif=exif, dpi=(DPI, DPI), quality=90)()


def _of(*shown: Callable[[], Image.Image]) -> Callable[[], Sequence[Image.Image]]:
    return lambda: [one() for one in shown]


_SAID: Final = {"dpi": (DPI, DPI)}
_THREE: Final = (_black, _page, _colored)

PICTURES: Final[Sequence[Picture]] = (
    Picture("PNG", "colour", _saved("PNG", _colored, **_SAID), _of(_colored)),
    Picture("PNG", "black and white", _saved("PNG", _black, **_SAID), _of(_black)),
    Picture("PNG", "letters on nothing", _saved("PNG", _clear, **_SAID), _of(_page)),
    Picture("JPEG", "colour", _saved("JPEG", _colored, quality=90, **_SAID), _of(_colored)),
    Picture("JPEG", "a photograph, on its side", _photograph, _of(_page)),
    Picture("TIFF", "3 pages: black, gray, colour", _saved("TIFF", *_THREE, compression="tiff_lzw", **_SAID),
            _of(*_THREE)),
    Picture("TIFF", "a fax of 2 pages", _saved("TIFF", _black, _black, compression="group4", **_SAID),
            _of(_black, _black)),
    Picture("WebP", "lossless", _saved("WEBP", _colored, lossless=True), _of(_colored), dpi=None),
    Picture("WebP", "lossy", _saved("WEBP", _page, quality=90), _of(_page), dpi=None),
    Picture("BMP", "colour", _saved("BMP", _colored, **_SAID), _of(_colored)),
    Picture("GIF", "gray", _saved("GIF", _page), _of(_page), dpi=None),
    Picture("GIF", "2 pictures in turn", _saved("GIF", _page, _turned), _of(_page, _turned), dpi=None),
    Picture("PDF", "a scan of 2 pages", _saved("PDF", _page, _turned, resolution=DPI, quality=90), _of(_page, _turned)),
)  # fmt: skip
