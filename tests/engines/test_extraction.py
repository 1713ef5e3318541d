from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.extraction import Extracted, extract, probe
from engines.extraction.reading import clean
from schemas.errors import Permanent
from tests.engines import samples

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENTS = sorted(
    path
    for path in EXAMPLES.rglob("*")
    if path.is_file() and not any(part.startswith(("_", ".")) for part in path.relative_to(EXAMPLES).parts)
)
READ = [path for path in DOCUMENTS if probe(path.read_bytes(), path.name).route in ("text", "mail")]


def named(extracted: Extracted) -> list[tuple[int, str]]:
    return [(heading.level, extracted.text[heading.start : heading.end]) for heading in extracted.headings]


def of(path: Path) -> Extracted:
    data = path.read_bytes()
    return extract(data, probe(data, path.name).media_type)


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_example_keeps_the_contract(path: Path) -> None:
    extracted = of(path)
    text = extracted.text
    assert text == clean(text)
    assert len(text) > 500
    assert extracted.language in ("de", "en")
    edges = [edge for heading in extracted.headings for edge in (heading.start, heading.end)]
    assert edges == sorted(edges)
    assert all(name == name.strip() != "" for _, name in named(extracted))
    starts = [page.start for page in extracted.pages]
    ends = [page.end for page in extracted.pages]
    if starts:
        assert [0, *ends] == [*starts, len(text)], "pages cover the text"
        assert [page.number for page in extracted.pages] == list(range(1, len(starts) + 1))


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_the_same_bytes_give_the_same_result_also_side_by_side(path: Path) -> None:
    data = path.read_bytes()
    media_type = probe(data, path.name).media_type
    alone = extract(data, media_type)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: extract(data, media_type), range(8))) == {alone}


def test_leaves_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in READ:
        of(path)
    assert list(tmp_path.iterdir()) == []


def test_pdf_pages_hold_their_own_text() -> None:
    extracted = extract(
        samples.pdf([["First page, erste Seite."], ["Second page."], [], ["Fourth."]]), "application/pdf"
    )
    pages = [extracted.text[page.start : page.end].strip() for page in extracted.pages]
    assert pages == ["First page, erste Seite.", "Second page.", "", "Fourth."]


def test_running_heads_of_a_pdf_are_left_out_and_its_text_is_not() -> None:
    words = ["eins", "zwei", "drei", "vier", "f\u00fcnf"]
    pages = [["Manual TK-480", f"Page {n}", f"Wort {word}.", "Confidential"] for n, word in enumerate(words, 1)]
    extracted = extract(samples.pdf(pages), "application/pdf")
    shown = [extracted.text[page.start : page.end].strip() for page in extracted.pages]
    assert shown == [f"Wort {word}." for word in words]


def test_headings_of_the_long_manual_are_found() -> None:
    extracted = of(EXAMPLES / "tk-480-technical-manual.pdf")
    assert len(extracted.pages) >= 20
    assert (3, "2.4 Emergency stop") in named(extracted)
    assert not [name for _, name in named(extracted) if name.endswith(".")]
    assert "Quantity Value Unit" not in [name for _, name in named(extracted)], "a table's head is no heading"


def test_word() -> None:
    table = "".join(
        f"<w:tr>{''.join(f'<w:tc>{samples.paragraph(cell)}</w:tc>' for cell in row)}</w:tr>"
        for row in (["Part", "Price"], ["480-WK1", "1186"])
    )
    body = (
        samples.heading(1, "Handbuch")
        + samples.paragraph("Ein **Satz** mit 2 * 3.")
        + samples.heading(2, "Wartung")
        + f"<w:tbl>{table}</w:tbl>"
        + samples.paragraph("Ende")
    )
    extracted = extract(samples.docx(body), samples.DOCX)
    assert named(extracted) == [(1, "Handbuch"), (2, "Wartung")]
    assert "| 480-WK1 | 1186 |" in extracted.text
    assert "Ein **Satz** mit 2 * 3." in extracted.text, "what the author wrote is no markup"
    assert extracted.text.rstrip().endswith("Ende")


def test_sheet_names_are_headings_and_rows_are_table_rows() -> None:
    extracted = of(EXAMPLES / "price-list-2026.xlsx")
    assert [name for _, name in named(extracted)] == ["Parts", "Services"]
    assert "| 480-5519 | Slip-ring seal, oil pump |" in extracted.text


def test_slides_are_pages_with_their_notes() -> None:
    extracted = of(EXAMPLES / "product-roadmap-2026.pptx")
    third = extracted.pages[2]
    assert named(extracted)[2] == (1, "Project Glut: steam at 140 degrees")
    assert extracted.text[third.start :].startswith("Project Glut: steam at 140 degrees")
    assert "results by the end of May." in extracted.text[third.start : third.end]


def test_html() -> None:
    page = (
        "<html><head><title>Reise &amp; Spesen</title><meta charset='iso-8859-1'><script>bad()</script></head><body>"
        "<h1>Titel</h1><p>Gr\u00fc\u00dfe und <b>fett</b>, ein <a href='http://x'>Verweis</a>.</p><ul><li>a</li><li>b<ul>"
        "<li>c</li></ul></li></ul><blockquote>Zitat</blockquote><table><tr><th>x</th></tr><tr><td>1</td></tr></table>"
        "lose<div>Block</div><h3>Unten</h3></body></html>"
    )
    extracted = extract(page.encode("iso-8859-1"), "text/html")
    assert extracted.title == "Reise & Spesen"
    assert named(extracted) == [(1, "Titel"), (3, "Unten")]
    assert "Gr\u00fc\u00dfe und fett, ein Verweis." in extracted.text
    for shown in ("a", "b", "c", "Zitat", "| 1 ", "lose", "Block"):
        assert shown in extracted.text
    assert "bad()" not in extracted.text
    assert "<" not in extracted.text


def test_markdown_keeps_all_but_heading_marks() -> None:
    listed = "text\n- a\n- b\n  - c\n\n```\n# no heading\n```\n"
    source = f"# Eins #\n\n{listed}Zwei\n----\n\n---\n\n### Drei\n\n| a |\n|---|\n| 1 |\n"
    extracted = extract(source.encode(), "text/markdown")
    assert named(extracted) == [(1, "Eins"), (2, "Zwei"), (3, "Drei")]
    assert extracted.title == "Eins"
    for kept in (listed, "| a |\n|---|\n| 1 |", "\n---\n"):
        assert kept in extracted.text


def test_tables_of_values() -> None:
    extracted = extract(b'lot;"a|b"\r\nVS55;"two\nlines"\r\n;\r\n', "text/csv")
    assert extracted.text == "| lot | a\\|b |\n| --- | --- |\n| VS55 | two lines |"


def test_mail() -> None:
    extracted = extract(samples.MAIL, "message/rfc822")
    assert extracted.title == "Lieferplan f\u00fcr VS-55"
    assert extracted.text.startswith(
        "Subject: Lieferplan f\u00fcr VS-55\nFrom: Radka Zemanova <radka@velmora.example>\n"
    )
    assert "Der Plan liegt bei. Gr\u00fc\u00dfe" in extracted.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_plain_text_in_any_usual_encoding(encoding: str) -> None:
    text = "Gr\u00f6\u00dfe \u201ezwei\u201c: 3 \u20ac"
    assert extract(f"{text}\r\nEnde".encode(encoding), "text/plain").text == f"{text}\nEnde"


@given(st.text())
def test_clean_text_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["text/plain", "text/markdown", "text/csv", "text/html"]))
def test_any_bytes_are_read_or_refused(data: bytes, media_type: str) -> None:
    try:
        extracted = extract(data, media_type)
    except Permanent as error:
        assert error.code in ("document.no-text", "document.broken")
    else:
        assert extracted.text.encode()


def test_long_gaps_are_shortened_at_little_cost() -> None:
    data = b"a" + b" " * 2_000_000 + b"b" + b"\n" * 2_000_000 + b"c" + b" " * 2_000_000 + b"\x00"
    assert extract(data, "text/plain").text.strip() == "a b\n\nc"


@pytest.mark.parametrize(
    ("data", "media_type", "code"),
    [
        (b"%PDF-1.4 and then nothing", "application/pdf", "document.broken"),
        (samples.pdf([["Some text"]], encrypted=True), "application/pdf", "document.encrypted"),
        (samples.pdf([[], []]), "application/pdf", "document.no-text"),
        (b"PK\x03\x04 no zip", samples.DOCX, "document.broken"),
        (b" \n\t ", "text/plain", "document.no-text"),
        (b"", "text/markdown", "document.no-text"),
        (b"x", "application/x-unheard-of", "document.type"),
    ],
)
def test_refuses_what_it_cannot_read(data: bytes, media_type: str, code: str) -> None:
    with pytest.raises(Permanent) as refusal:
        extract(data, media_type)
    assert refusal.value.code == code


CREATED, CHANGED = b"<< /CreationDate (D:20240102030405+01'00') ", b"/ModDate (D:20250304050607Z) "


@pytest.mark.parametrize(
    ("data", "media_type", "day"),
    [
        (samples.pdf([["Hello"]]), "application/pdf", None),
        (samples.pdf([["Hello"]], info=CREATED + b">>"), "application/pdf", "2024-01-02"),
        (samples.pdf([["Hello"]], info=CREATED + CHANGED + b">>"), "application/pdf", "2025-03-04"),
        (samples.pdf([["Hello"]], info=CREATED + b"/ModDate (D:20251399) >>"), "application/pdf", "2024-01-02"),
        (samples.pdf([["Hello"]], info=b"<< /CreationDate (nonsense) >>"), "application/pdf", None),
        (rb"{\rtf1{\info{\creatim\yr2020\mo3\dy4}{\revtim\yr2021\mo7\dy8}}Hello}", "application/rtf", "2021-07-08"),
        (b"From: a@b\nDate: Tue, 14 Oct 2025 23:42:17 -0700\n\nHello", "message/rfc822", "2025-10-14"),
        (b"From: a@b\nDate: yesterday\n\nHello", "message/rfc822", None),
        (b"From: a@b\n\nHello", "message/rfc822", None),
        (b"Hello on 2025-01-01", "text/plain", None),
    ],
)
def test_a_document_says_when_it_was_last_changed(data: bytes, media_type: str, day: str | None) -> None:
    assert extract(data, media_type).date == day


@pytest.mark.parametrize(
    ("name", "day"), [("warranty-terms.docx", "2026-03-02"), ("price-list-2026.xlsx", "2026-03-02")]
)
def test_an_office_document_says_so_too(name: str, day: str) -> None:
    assert of(EXAMPLES / name).date == day


def test_letters_that_no_font_shows_are_marked_hidden() -> None:
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    text = f"Scotland {flag} and nothing more{tags}."
    extracted = extract(text.encode(), "text/plain")
    (mark,) = extracted.marks
    assert (mark.kind, extracted.text[mark.start : mark.end]) == ("hidden", tags)
