import pytest

from engines.extraction import extract
from engines.extraction.rtf import read


def text_of(source: bytes) -> str:
    return extract(source, "application/rtf").text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"\ansicpg1252 Gr\'fc\'dfe", "Gr\u00fc\u00dfe"),
        (rb"\ansicpg1250 \'b3\'f3d\'9f", "\u0142\u00f3d\u017a"),
        (rb"{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset204 B;}}\f0 a {\f1 \'cc\'e8\'f0}", "a \u041c\u0438\u0440"),
        (rb"{\fonttbl{\f0\fcharset128 M;}}\f0 \'93\'fa\'96\'7b", "\u65e5\u672c"),
        (rb"\uc1 \u252?\u8364 ? \uc0\u252 x", "\u00fc\u20ac \u00fcx"),
        (rb"\uc1\u-10179?\u-8704?!", "\U0001f600!"),
        (rb"a\~b\_c\emdash d\{e\}", "a b-c\u2014d{e}"),
        (rb"a\line b\par c\tab d", "a\nb\n\nc d"),
        (rb"a{\*\unknown secret}b{\pict 89504e47}c{\object\objemb{\*\objdata 0105}{\result d}}", "abc"),
        (rb"a\bin5 }}}}}b", "ab"),
        (rb"x{\field{\*\fldinst HYPERLINK \"http://a\"}{\fldrslt link}} y", "xlink y"),
        (rb"{\header kopf\par}text\par{\headerf kopf\par}", "kopf\n\ntext"),
        (rb"{\deleted weg}da{\annotation nein}", "da"),
    ],
)
def test_words(body: bytes, text: str) -> None:
    assert text_of(rb"{\rtf1\ansi " + body + b"}") == text


def test_a_table_in_a_text() -> None:
    source = (
        rb"{\rtf1 vor\par\trowd\cellx1\cellx2\pard\intbl a\cell b\cell\row\trowd\cellx1\cellx2\intbl c\cell d\cell\row"
        rb"\pard nach\par}"
    )
    assert text_of(source) == "vor\n\n| a | b |\n| --- | --- |\n| c | d |\n\nnach"


@pytest.mark.parametrize(
    "source", [b"{\\rtf1" + b"{" * 100_000, b"{\\rtf1 a}}}}}b", b"{\\rtf1 \\", b"{\\rtf1 \\'", b"{\\rtf1 \\u"]
)
def test_broken_groups_end(source: bytes) -> None:
    from schemas.errors import Permanent

    try:
        read(source, "application/rtf")
    except Permanent as error:
        assert error.code == "document.broken"


def test_a_megabyte_of_codes_costs_little() -> None:
    assert len(text_of(b"{\\rtf1\\ansi " + b"\\'fc" * 300_000 + b"}")) == 300_000
