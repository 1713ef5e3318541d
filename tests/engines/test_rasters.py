"""Picture files, frame by frame."""

import io
from collections.abc import Sequence

import pytest
from PIL import Image

from engines.extraction import PageImage, pictures, probe, readable
from engines.extraction.rasters import FORMATS, MOST_SHOWN
from schemas.errors import Permanent

WIDTH, HEIGHT = 40, 20


def picture(mode: str = "RGB") -> Image.Image:
    """White, its upper left quarter black."""
    made = Image.new("RGB", (WIDTH, HEIGHT), "white")
    made.paste("black", (0, 0, WIDTH // 2, HEIGHT // 2))
    return made.convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def read(data: bytes, media_type: str) -> list[PageImage]:
    return list(pictures(data, media_type, dpi=300))


def corners(image: PageImage) -> list[bool]:
    """Which corners are dark: upper left, upper right, lower left, lower right."""
    shown = Image.frombytes("RGB", (image.width, image.height), image.pixels)
    right, lower = image.width - 3, image.height - 3
    return [shown.getpixel(at)[1] < 128 for at in ((2, 2), (right, 2), (2, lower), (right, lower))]  # type: ignore[index]


@pytest.mark.parametrize("media_type", FORMATS)
def test_every_format_is_told_and_decoded(media_type: str) -> None:
    data = saved(picture(), FORMATS[media_type])
    assert probe(data, "a.bin").media_type == media_type
    assert probe(data, "a.bin").route == "ocr"
    (image,) = read(data, media_type)
    assert (image.number, image.width, image.height) == (1, WIDTH, HEIGHT)
    assert corners(image) == [True, False, False, False]
    assert readable(data, media_type).pieces == []


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_pixel_is_shown_as_it_looks(mode: str) -> None:
    image = picture("I").point(lambda value: value * 257, "I;16") if mode == "I;16" else picture(mode)  # type: ignore[operator]
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    (read_back,) = read(saved(image, kind), "image/tiff" if kind == "TIFF" else "image/png")
    assert corners(read_back) == [True, False, False, False]


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0))
    (image,) = read(saved(clear, "PNG"), "image/png")
    assert set(image.pixels) == {255}


@pytest.mark.parametrize(
    ("orientation", "dark"),
    [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2)],
)
def test_a_photograph_is_turned_as_its_header_says(orientation: int, dark: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (image,) = read(saved(picture(), "JPEG", exif=exif, quality=95), "image/jpeg")
    assert corners(image) == [place == dark for place in range(4)]
    assert (image.width < image.height) == (orientation >= 5)


def test_each_frame_of_a_tiff_is_a_page() -> None:
    frames: Sequence[Image.Image] = [picture(), picture().rotate(180), picture("1")]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:], dpi=(200, 200))
    images = read(data, "image/tiff")
    assert [image.number for image in images] == [1, 2, 3]
    assert [image.dpi for image in images] == [200, 200, 200]
    assert corners(images[1]) == [False, False, False, True]


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    data = saved(picture(), "GIF", save_all=True, append_images=[picture().rotate(180)])
    assert len(read(data, "image/gif")) == 1


def test_a_large_picture_is_handed_on_smaller() -> None:
    data = saved(Image.new("1", (7_000, 5_000), 1), "PNG", dpi=(600, 600))
    (image,) = read(data, "image/png")
    assert image.width * image.height <= MOST_SHOWN
    assert image.dpi < 600


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    data = bytearray(saved(picture("L"), "PNG"))
    data[16:24] = (100_000).to_bytes(4, "big") * 2  # the header's width and height
    crc = __import__("zlib").crc32(data[12:29])
    data[29:33] = crc.to_bytes(4, "big")
    with pytest.raises(Permanent) as refusal:
        read(bytes(data), "image/png")
    assert refusal.value.code == "document.costly"


@pytest.mark.parametrize("media_type", FORMATS)
def test_a_cut_picture_is_read_or_refused(media_type: str) -> None:
    data = saved(picture(), FORMATS[media_type])
    for cut in range(0, len(data), max(len(data) // 30, 1)):
        try:
            read(data[:cut], media_type)
        except Permanent as error:
            assert error.code in ("document.broken", "document.costly")


def test_one_format_in_the_name_of_another_is_refused() -> None:
    with pytest.raises(Permanent) as refusal:
        read(saved(picture(), "BMP"), "image/png")
    assert refusal.value.code == "document.broken"


def test_the_day_it_was_taken_is_told() -> None:
    exif = Image.Exif()
    exif[0x0132] = "2026:02:03 10:11:12"
    assert readable(saved(picture(), "JPEG", exif=exif), "image/jpeg").date == "2026-02-03"
