"""Which pages of a PDF must be recognised, and what is handed on of the others."""

import pytest

from engines.extraction import PageImage, pictures, probe, readable
from engines.extraction.pdf import legible, pdfium
from schemas.errors import Permanent
from tests.engines.pdfs import PICTURE, Page, lines, made, text

PDF = "application/pdf"
WORDS = lines([f"This is line {number} of a page with a text layer of its own." for number in range(12)])
STAMP = text("Received 2026-02-03 No. 4711", size=8)
SHIFTED = lines(["".join(chr((ord(c) - 90) % 26 + 97) if c.isalpha() else c for c in line) for line in (
    "the vapour passes a suction gas superheater and enters two hermetic compressors",
    "which are driven in parallel through separate frequency converters behind the",
    "separator the hot gas condenses in the upper exchanger and warms the sink water",
    "a subcooler below it preheats the return flow and thereby contributes a tenth",
)])  # fmt: skip
OUTLINES = "".join(f"{72 + 9 * n} 700 m {76 + 9 * n} 710 l {80 + 9 * n} 700 l f\n" for n in range(45))


@pytest.mark.parametrize(
    ("drawn", "needed"),
    [
        (WORDS, False),
        (WORDS + PICTURE, False),
        ("", False),
        (PICTURE, True),
        (PICTURE + STAMP, True),
        (PICTURE + text("Chapter one", before="3 Tr"), False),
        (lines(["abcdefg hijklmnop qrstuv"] * 12).replace("/F1", "/F3"), True),
        (SHIFTED, True),
        (OUTLINES, True),
        (text("Slide 1 of the deck"), False),
        (text("- 2 -") + "q 200 0 0 200 72 400 cm /P Do Q", True),
        (lines(["480-3307  74.50  129.80  0x7f3a  BT-TM-480  900-6001  21460.00"] * 12), False),
        (lines(["Introduction ..................................... 4"] * 12), False),
    ],
    ids=[
        "text", "text on a picture", "blank", "scan", "scan with a stamp", "scan with its own layer", "no unicode map",
        "shifted alphabet", "outlines", "few words", "page number beside a picture", "figures", "table of contents",
    ],
)  # fmt: skip
def test_a_page_is_recognised_that_shows_text_which_it_does_not_say(drawn: str, needed: bool) -> None:
    data = made([Page(WORDS), Page(drawn)])
    assert probe(data, "a.pdf").route == ("ocr" if needed else "text")
    assert [picture.number for picture in pictures(data, PDF, dpi=36)] == ([2] if needed else [])
    assert [piece.page for piece in readable(data, PDF).pieces] == ([1] if needed else [1, 2])


@pytest.mark.parametrize(
    "prose",
    [
        "Der Dampf durchströmt einen Überhitzer und gelangt in zwei Verdichter, die über Umrichter laufen. " * 4,
        "Lämpöpumppu ottaa energiaa ulkoilmasta ja siirtää sen rakennuksen lämmitysverkkoon talven aikana. " * 4,
        "Pompa ciepła pobiera energię z powietrza i przekazuje ją do sieci grzewczej budynku przez całą zimę. " * 4,
        "Isı pompası dış havadan enerji alır ve bunu kış boyunca binanın ısıtma şebekesine aktarır, sessizce. " * 4,  # noqa: RUF001
        "Тепловой насос берёт энергию из воздуха и передаёт её в систему отопления здания в течение всей зимы. " * 4,
        "for (int i = 0; i < count; ++i) { total += values[i] * weight[i]; if (total > limit) return false; } " * 4,
    ],
    ids=["German", "Finnish", "Polish", "Turkish", "Russian", "code"],
)
def test_no_language_is_noise(prose: str) -> None:
    assert not legible.is_spoilt(list(map(ord, prose)), 0)


@pytest.mark.parametrize(
    "noise", ["\ufffd\ufffd\ufffda" * 80, "\ue123\ue124x" * 80, "\x01\x02\x03b" * 80, "(*&^%$#@!<>|~" * 40]
)
def test_characters_that_are_none_are_noise(noise: str) -> None:
    assert legible.is_spoilt(list(map(ord, noise)), 0)


def test_a_page_is_drawn_at_the_resolution_that_is_asked_for() -> None:
    (picture,) = pictures(made([Page(PICTURE, box=(0, 0, 144, 72))]), PDF, dpi=100)
    assert (picture.width, picture.height, picture.dpi) == (200, 100, 100)
    assert len(picture.pixels) == 3 * 200 * 100


def test_a_drawn_page_is_in_color_on_white_and_upright() -> None:
    red = "1 0 0 rg 0 0 30 30 re f\n" + OUTLINES
    (picture,) = pictures(made([Page(red, box=(0, 0, 60, 30), rotation=90)]), PDF, dpi=72)
    assert (picture.width, picture.height) == (30, 60)
    assert pixel(picture, 5, 5) == (255, 0, 0)
    assert pixel(picture, 5, 55) == (255, 255, 255)


def pixel(picture: PageImage, x: int, y: int) -> tuple[int, ...]:
    start = 3 * (y * picture.width + x)
    return tuple(picture.pixels[start : start + 3])


def test_a_huge_page_is_drawn_smaller() -> None:
    (picture,) = pictures(made([Page(PICTURE, box=(0, 0, 14400, 14400))]), PDF, dpi=300)
    assert picture.width * picture.height <= pdfium.MOST_PIXELS
    assert picture.dpi < 300


def test_a_long_thin_page_is_drawn_at_all() -> None:
    (picture,) = pictures(made([Page(PICTURE, box=(0, 0, 14400, 0.5))]), PDF, dpi=300)
    assert picture.height >= 1


def test_a_picture_that_would_not_fit_into_memory_is_refused() -> None:
    data = made([Page(PICTURE)], picture=(100_000, 2_000))
    with pytest.raises(Permanent) as refusal:
        list(pictures(data, PDF, dpi=72))
    assert refusal.value.code == "document.costly"


@pytest.mark.parametrize("function", [readable, lambda data, kind: list(pictures(data, kind, dpi=72))])
@pytest.mark.parametrize(
    ("data", "media_type", "code"),
    [(b"%PDF-1.4 nothing", PDF, "document.broken"), (b"a", "text/plain", "document.type")],
)
def test_what_cannot_be_read_is_refused(function, data: bytes, media_type: str, code: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Permanent) as refusal:
        function(data, media_type)
    assert refusal.value.code == code


@pytest.mark.parametrize("cut", range(40))
def test_a_cut_file_is_read_or_refused(cut: int) -> None:
    data = made([Page(WORDS), Page(PICTURE)])
    part = data[: len(data) * cut // 40]
    try:
        readable(part, PDF)
        list(pictures(part, PDF, dpi=20))
    except Permanent as error:
        assert error.code in ("document.broken", "document.no-text")
