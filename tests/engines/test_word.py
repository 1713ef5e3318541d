"""What Word documents hold that the corpus of formats does not."""

from engines.extraction import Extracted, extract
from tests.engines import samples
from tests.engines.samples import paragraph


def read(body: str, **parts: str) -> Extracted:
    return extract(samples.docx(body, parts=parts), samples.DOCX)


def hidden(found: Extracted) -> list[str]:
    return [found.text[mark.start : mark.end] for mark in found.marks]


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def p(*runs: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{''.join(runs)}</w:p>"


def cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"


WHITE = '<w:color w:val="FFFFFF"/>'


def test_hidden_text_within_a_sentence_alone_is_marked() -> None:
    found = read(p(run("Der Preis "), run("(gelogen) ", "<w:vanish/>"), run("steht fest.")))
    assert found.text == "Der Preis (gelogen) steht fest."
    assert hidden(found) == ["(gelogen) "]


def test_a_style_hides_and_a_run_may_show_again() -> None:
    styles = '<w:style w:type="character" w:styleId="S"><w:rPr><w:vanish/></w:rPr></w:style>'
    off = '<w:rStyle w:val="S"/><w:vanish w:val="0"/>'
    found = read(p(run("a ", '<w:rStyle w:val="S"/>'), run("b", off)), styles=styles)
    assert hidden(found) == ["a "]


def test_white_text_on_a_dark_cell_or_in_a_coloured_tables_style_is_seen() -> None:
    styles = (
        '<w:style w:type="table" w:styleId="T"><w:tblStylePr w:type="firstRow"><w:tcPr>'
        '<w:shd w:val="clear" w:fill="4472C4"/></w:tcPr></w:tblStylePr></w:style>'
    )
    shaded = cell(p(run("dunkel", WHITE)), '<w:shd w:val="clear" w:fill="000080"/>')
    plain = cell(p(run("weiss", WHITE)))
    styled = f'<w:tbl><w:tblPr><w:tblStyle w:val="T"/></w:tblPr><w:tr>{plain}{plain}</w:tr></w:tbl>'
    found = read(f"<w:tbl><w:tr>{shaded}{plain}</w:tr></w:tbl>{styled}", styles=styles)
    assert hidden(found) == ["weiss"]


def test_a_pages_own_colour_is_what_white_text_lies_on() -> None:
    assert hidden(read(p(run("weiss", WHITE)))) == ["weiss"]
    found = extract(samples.docx(p(run("weiss", WHITE)), background="102030"), samples.DOCX)
    assert hidden(found) == []


def test_headings_have_the_numbers_that_their_style_gives_them() -> None:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="N{level}"><w:name w:val="heading {level + 1}"/><w:pPr><w:numPr>'
        f'<w:ilvl w:val="{level}"/><w:numId w:val="7"/></w:numPr></w:pPr></w:style>'
        for level in (0, 1)
    )
    numbering = (
        '<w:abstractNum w:abstractNumId="3">'
        '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1"/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>'
        '</w:abstractNum><w:num w:numId="7"><w:abstractNumId w:val="3"/></w:num>'
    )
    levels = [0, 1, 1, 0, 1]
    body = "".join(
        p(run(f"T{place}"), properties=f'<w:pStyle w:val="N{level}"/>') for place, level in enumerate(levels)
    )
    found = read(body, styles=styles, numbering=numbering)
    assert found.text.split("\n\n") == ["1 T0", "1.1 T1", "1.2 T2", "2 T3", "2.1 T4"]


def test_merged_cells_keep_the_columns() -> None:
    below = '<w:vMerge w:val="restart"/>'
    wide = '<w:gridSpan w:val="2"/>'
    body = (
        f"<w:tbl><w:tr>{cell(paragraph('breit'), wide)}{cell(paragraph('c'))}</w:tr>"
        f"<w:tr>{cell(paragraph('hoch'), below)}{cell(paragraph('b'))}{cell(paragraph('c'))}</w:tr>"
        f"<w:tr>{cell(paragraph('hoch'), '<w:vMerge/>')}{cell(paragraph('y'))}{cell(paragraph('z'))}</w:tr></w:tbl>"
    )
    assert read(body).text.split("\n")[2:] == ["| hoch | b | c |", "|  | y | z |"]


def test_a_text_box_follows_its_paragraph_once() -> None:
    box = (
        "<mc:AlternateContent><mc:Choice><w:drawing><wp:anchor><wps:wsp><wps:txbx><w:txbxContent>"
        f"{paragraph('Kasten')}</w:txbxContent></wps:txbx></wps:wsp></wp:anchor></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{paragraph('Kasten')}</w:pict></mc:Fallback></mc:AlternateContent>"
    )
    assert read(f"<w:p>{run('Vor ')}<w:r>{box}</w:r>{run('nach.')}</w:p>").text == "Vor nach.\n\nKasten"


def test_a_text_box_off_the_page_is_hidden() -> None:
    box = (
        "<w:drawing><wp:anchor><wp:positionH><wp:posOffset>-99999999</wp:posOffset></wp:positionH>"
        '<wp:extent cx="100" cy="100"/><wps:wsp><wps:spPr/><w:txbxContent>'
        f"{paragraph('weit weg')}</w:txbxContent></wps:wsp></wp:anchor></w:drawing>"
    )
    assert hidden(read(f"<w:p>{run('Hier.')}<w:r>{box}</w:r></w:p>")) == ["weit weg"]


def test_fields_show_their_results_and_no_page_numbers() -> None:
    def field(instruction: str, result: str) -> str:
        return (
            '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
            f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
            f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{run(result)}<w:r><w:fldChar w:fldCharType="end"/></w:r>'
        )

    assert read(p(run("Siehe "), field(" REF x ", "Abschnitt 3"), field("PAGE", "17"))).text == "Siehe Abschnitt 3"


def test_a_letter_and_its_accent_in_two_runs_are_one_letter() -> None:
    found = read(p(run("gru"), run("\u0308n", "<w:vanish/>")))
    assert found.text == "gr\u00fcn"
    assert hidden(found) == ["\u00fcn"]


def test_styles_in_a_circle_end() -> None:
    styles = (
        '<w:style w:type="paragraph" w:styleId="A"><w:basedOn w:val="B"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="B"><w:basedOn w:val="A"/></w:style>'
    )
    assert read(p(run("Text"), properties='<w:pStyle w:val="A"/>'), styles=styles).text == "Text"
