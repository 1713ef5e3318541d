"""Outlook's messages: what is attached, bodies in RTF alone, and files that are broken."""

import pytest

from engines.extraction import extract, members, probe
from engines.extraction.msg import MSG, unpacked
from schemas.errors import Permanent
from tests.engines.formats import written
from tests.engines.formats.compound import compound, fixed_properties, property_streams


def test_attachments_are_documents_and_a_message_within_is_a_mail() -> None:
    found = dict(members(written.outlook(), MSG))
    assert [*found] == ["größen.csv", "Ältere Frage.eml"], "the sender's logo is none"
    assert found["größen.csv"] == b"a;b\r\n" * 1000
    inner = found["Ältere Frage.eml"]
    assert isinstance(inner, bytes)
    assert probe(inner, "x").media_type == "message/rfc822"
    read = extract(inner, "message/rfc822")
    assert read.title == "Ältere Frage"
    assert "Wie groß ist die Öffnung?" in read.text
    assert read.date == "2026-03-02"


def test_the_same_message_gives_the_same_attachments() -> None:
    assert list(members(written.outlook(), MSG)) == list(members(written.outlook(), MSG))


def test_a_body_in_rtf_alone_is_read() -> None:
    packed = (
        b"\x2d\x00\x00\x00\x2b\x00\x00\x00LZFu\xf1\xc5\xc7\xa7"
        b"\x03\x00\x0a\x00rcpg125\x42\x32\x0a\xf3 hel\x09\x00 bw\x05\xb0ld}\x0a\x80\x0f\xa0"
    )  # [MS-OXRTFCP] 3.1.1
    assert unpacked(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    data = compound(
        {
            **property_streams({0x0037: "Betreff", 0x1009: packed}),
            "__properties_version1.0": fixed_properties(32, {}),
        }
    )
    assert extract(data, MSG).text == "Subject: Betreff\n\nhello world"


def test_narrow_strings_are_read_in_the_messages_code_page() -> None:
    data = compound(
        {
            "__substg1.0_0037001E": "Größe".encode("cp1252"),
            "__substg1.0_1000001E": "Łódź".encode("cp1250"),
            "__properties_version1.0": fixed_properties(32, {0x3FFD: (3, 1252), 0x3FDE: (3, 1250)}),
        }
    )
    assert extract(data, MSG).text == "Subject: Größe\n\nŁódź"


@pytest.mark.parametrize("length", [0, 8, 512, 600, 5000, 20_000])
def test_a_cut_message_is_read_or_refused(length: int) -> None:
    try:
        extract(written.outlook()[:length], MSG)
        list(members(written.outlook()[:length], MSG))
    except Permanent as error:
        assert error.code in ("document.broken", "document.no-text", "document.costly")
