"""What is hidden in HTML and RTF, and what only looks so."""

import pytest

from engines.extraction import extract
from engines.extraction.visibility import contrast


def marked(data: str, media_type: str = "text/html") -> list[str]:
    found = extract(data.encode("cp1252"), media_type)
    return [found.text[mark.start : mark.end] for mark in found.marks]


@pytest.mark.parametrize(
    "style",
    [
        "display:none",
        "DISPLAY : None !important",
        "visibility:hidden",
        "opacity:0",
        "font-size:0px",
        "font-size:1px",
        "color:#fff",
        "color:#FEFEFE",
        "color:rgb(255,255,255)",
        "color:rgba(0,0,0,0)",
        "color:transparent",
        "background:#000;color:#000",
        "position:absolute;left:-9999px",
        "text-indent:-9999px",
        "height:0;overflow:hidden",
        "position:absolute;clip:rect(0,0,0,0)",
    ],
)
def test_styles_that_hide(style: str) -> None:
    assert marked(f"<p>seen</p><p style='{style}'>not seen</p>") == ["not seen"]


@pytest.mark.parametrize(
    "style",
    [
        "color:#fff;background:#003",
        "color:white;background-image:url(x.png)",
        "color:white;background:linear-gradient(red,blue)",
        "font-size:80%",
        "font-size:6pt",
        "color:#ccc",
        "margin-left:-20px",
        "opacity:.8",
        "overflow:hidden;height:300px",
        "display:block",
        "color:inherit",
        "color:var(--x)",
    ],
)
def test_styles_that_do_not(style: str) -> None:
    assert marked(f"<p>seen</p><p style='{style}'>seen too</p>") == []


def test_rules_of_the_page_and_a_child_that_shows_itself() -> None:
    page = (
        "<style>/* x */ @media print {.a {display:none}} .b, p#c {display:none} .d {visibility:hidden} "
        ".d em {color:red}</style><p class=a>a</p><p class='x b'>b</p><p id=c>c</p>"
        "<p class=d>d <em style='visibility:visible'>e</em></p>"
    )
    assert marked(page) == ["b\n\nc\n\nd "]


def test_old_html() -> None:
    assert marked("<body bgcolor='#000000'><font color=black>a</font> <font color=white>b</font>") == ["a"]


RTF = r"{\rtf1\ansi\ansicpg1252{\colortbl;\red255\green255\blue255;\red0\green0\blue128;}"


@pytest.mark.parametrize(
    ("body", "hidden"),
    [
        (r"a {\v b} c\par", ["b "]),
        (r"a {\cf1 b} c\par", ["b "]),
        (r"a {\cf1\chcbpat2 b} c\par", []),
        (r"a {\fs2 b} c\par", ["b "]),
        (r"a {\v b\v0 c}\par", ["b"]),
    ],
)
def test_rtf(body: str, hidden: list[str]) -> None:
    assert [text.strip() for text in marked(RTF + body + "}", "application/rtf")] == [text.strip() for text in hidden]


def test_contrast_is_wcags() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)
    assert contrast("777777", "ffffff") == pytest.approx(4.48, abs=0.01)
