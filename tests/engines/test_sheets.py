"""What spreadsheets hold that the corpus of formats does not."""

import pytest

from engines.extraction import Extracted, cellformats, extract, probe, sheets
from schemas.errors import Permanent
from tests.engines import samples

_SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def xlsx(
    *sheets: str, styles: str = "", names: tuple[str, ...] = ("Eins", "Zwei"), sheet_properties: str = ""
) -> bytes:
    entries = "".join(
        f'<sheet name="{names[place]}" sheetId="{place + 1}" r:id="r{place}" {sheet_properties if place else ""}/>'
        for place in range(len(sheets))
    )
    relations = "".join(
        f'<Relationship Id="r{place}" Type="{_OFFICE}/worksheet" Target="worksheets/{place}.xml"/>'
        for place in range(len(sheets))
    )
    files = {
        "xl/workbook.xml": f'<workbook {_SPACE} xmlns:r="{_OFFICE}"><sheets>{entries}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'{relations}<Relationship Id="s" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
        ),
        "xl/styles.xml": f"<styleSheet {_SPACE}>{styles}</styleSheet>",
        **{
            f"xl/worksheets/{place}.xml": f"<worksheet {_SPACE}>{sheet}</worksheet>"
            for place, sheet in enumerate(sheets)
        },
    }
    return samples.zipped({name: content.encode() for name, content in files.items()})


def rows(*lines: list[str], first: int = 1) -> str:
    cells = (
        f'<row r="{number}">' + "".join(f'<c t="str"><v>{cell}</v></c>' for cell in line) + "</row>"
        for number, line in enumerate(lines, first)
    )
    return f"<sheetData>{''.join(cells)}</sheetData>"


def read(data: bytes) -> Extracted:
    return extract(data, XLSX)


def test_an_empty_row_parts_tables() -> None:
    sheet = rows(["a", "b"], ["1", "2"]).replace("</sheetData>", "") + rows(["c", "d"], ["3", "4"], first=4).replace(
        "<sheetData>", ""
    )
    assert read(xlsx(sheet)).text.split("\n\n")[1:] == [
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "| c | d |\n| --- | --- |\n| 3 | 4 |",
    ]


def test_cells_keep_their_columns() -> None:
    sheet = (
        '<sheetData><row r="1"><c r="B1" t="str"><v>Kopf</v></c><c r="D1" t="str"><v>Rand</v></c></row>'
        '<row r="2"><c r="D2" t="b"><v>1</v></c></row></sheetData>'
    )
    assert read(xlsx(sheet)).text.split("\n")[2:] == ["| Kopf | Rand |", "| --- | --- |", "|  | TRUE |"]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_marked_as_a_whole(state: str) -> None:
    found = read(xlsx(rows(["a", "b"]), rows(["c", "d"]), sheet_properties=f'state="{state}"'))
    assert [found.text[mark.start : mark.end] for mark in found.marks] == ["Zwei\n\n| c | d"]


@pytest.mark.parametrize(
    ("code", "number", "shown"),
    [
        ("General", 0.1 + 0.2, "0.3"),
        ("General", 1186.0, "1186"),
        ("General", 1e21, "1e+21"),
        ("0.00", 1186.5, "1186.50"),
        ('#,##0.00\\ "\u20ac"', 1186.5, "1186.50 \u20ac"),
        ("[$\u20ac-407]#,##0.00", 1186.5, "\u20ac1186.50"),
        ('#,##0.00_-;[Red]-#,##0.00;"-"', 12.0, "12.00"),
        ("0.0%", 0.125, "12.5%"),
        ("yyyy-mm-dd", 46083, "2026-03-02"),
        ("dd.mm.yyyy hh:mm", 46083.5, "2026-03-02 12:00"),
        ("[h]:mm:ss", 1.5, "36:00:00"),
        ("h:mm", 0.75, "18:00"),
        ("mmm-yy", 46083, "2026-03-02"),
        ("0.00E+00", 12345.0, "12345"),
        ("@", 7.0, "7"),
        ("yyyy", -5.0, "-5"),
        ('"Nr. "0', 5.0, "Nr. 5"),
    ],
)
def test_numbers_are_shown_as_their_format_says(code: str, number: float, shown: str) -> None:
    assert cellformats.parsed(code).shown(number) == shown


def test_a_format_of_nothing_hides() -> None:
    styles = '<numFmts><numFmt numFmtId="200" formatCode=";;;"/></numFmts><cellXfs><xf/><xf numFmtId="200"/></cellXfs>'
    sheet = '<sheetData><row><c s="1"><v>42</v></c><c><v>43</v></c></row></sheetData>'
    found = read(xlsx(sheet, styles=styles))
    assert [found.text[mark.start : mark.end] for mark in found.marks] == ["42"]


def test_a_sheet_of_too_many_cells_is_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_CELLS", 1000)
    sheet = "<sheetData>" + "<row>" + "<c><v>1</v></c>" * 1001 + "</row></sheetData>"
    with pytest.raises(Permanent) as refusal:
        read(xlsx(sheet))
    assert refusal.value.code == "document.costly"


def test_formulas_are_not_worked_out() -> None:
    sheet = '<sheetData><row><c t="str"><f>WEBSERVICE("http://x")</f><v>alt</v></c><c><f>1+1</f></c></row></sheetData>'
    assert read(xlsx(sheet)).text == "Eins\n\nalt"


def test_macros_are_no_reason_to_refuse() -> None:
    data = xlsx(rows(["a", "b"]))
    types = b'<Types><Override ContentType="application/vnd.ms-excel.sheet.macroEnabled.main+xml"/></Types>'
    assert probe(data, "a").media_type == XLSX
    assert probe(samples.zipped({"[Content_Types].xml": types, "xl/book.xml": b""}), "a").media_type == XLSX
