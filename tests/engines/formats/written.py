"""The corpus as this code writes it: formats that LibreOffice does not write, or that others write otherwise."""
# ruff: noqa: E501

import json
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from typing import Final

from tests.engines import samples
from tests.engines.formats.compound import compound, fixed_properties, property_streams
from tests.engines.formats.truth import COMPANY, DAY, MANUAL, PRICES, Truth

SUBJECT: Final = "Grenzwerte für den Prüfstand"
_LINES: Final = (f"Subject: {SUBJECT}", "From: Radka Zemanová <radka@velmora.example>")
_BODY: Final = ("Anbei die Größen, über die wir gestern sprachen.", "Mit freundlichen Grüßen")
MAIL: Final = Truth(
    sentences=(*_LINES, "To: nele@brennlund.example", "Date: Mon, 02 Mar 2026 09:12:00 +0100", *_BODY),
    tables=MANUAL.tables,
    title=SUBJECT,
    date=DAY,
)
OUTLOOK: Final = replace(MAIL, sentences=(*_LINES, "To: Nele Grün", "Date: 2026-03-02 08:12 UTC", *_BODY))
ATTACHED: Final = b"a;b\r\n" * 1000
STOCK: Final = Truth(
    sentences=("teile:",),
    tables=(
        (
            ("teil", "bezeichnung", "preis"),
            ("480-WK1", "Verschleißsatz", "1186.50"),
            ("HK-12", "Strömungswächter", "318.40"),
        ),
    ),
    items=("- werk: Eschenfurt", "- leitung:", "  - name: Änne Grün"),
    title=None,
)
STOCK_XML: Final = replace(STOCK, sentences=("lager:", "teil:"))
PLAIN: Final = Truth(sentences=MANUAL.sentences, title=None, date=None)
VALUES: Final = Truth(sentences=(), tables=PRICES.tables[:1], language=None)


def word() -> bytes:
    """As Word writes it: styles by reference, properties where LibreOffice has others, a change that is tracked."""
    first, second, third, last = MANUAL.sentences
    before, _, after = first.partition("jährlich")
    white, tiny, vanished = MANUAL.hidden
    cut = '<w:r><w:softHyphen/></w:r><w:r><w:t xml:space="preserve">'
    pale, small = '<w:color w:val="FFFFFF"/>', '<w:sz w:val="2"/>'
    titles = iter(MANUAL.headings)

    def title() -> str:
        return samples.heading(*next(titles))

    def run(properties: str, text: str) -> str:
        return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'

    def item(text: str, depth: int) -> str:
        return (
            f'<w:p><w:pPr><w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="1"/></w:numPr></w:pPr>'
            f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        )

    table = "".join(
        "<w:tr>" + "".join(f"<w:tc>{samples.paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in MANUAL.tables[0]
    )
    items = "".join(item(one.strip().partition(" ")[2], 1 if one.startswith(" ") else 0) for one in MANUAL.items)
    body = (
        title()
        + f'<w:p><w:r><w:t xml:space="preserve">{before}jähr</w:t></w:r><w:del><w:r><w:delText>gelöscht</w:delText></w:r></w:del>'
        f'<w:ins><w:r><w:t>lich</w:t></w:r></w:ins><w:r><w:footnoteReference w:id="2"/></w:r>'
        f'<w:r><w:t xml:space="preserve">{after}</w:t></w:r></w:p>'
        + title()
        + samples.paragraph(second.replace("Wärmepumpe", f"Wärme</w:t></w:r>{cut}pumpe"))
        + title() + items + title() + samples.paragraph(third) + f"<w:tbl>{table}</w:tbl>"
        + f"<w:p>{run(pale, white)}</w:p>"
        + f"<w:p>{run(small, tiny)}</w:p>"
        + f"<w:p>{run('<w:vanish/>', vanished)}</w:p>"
        + f'<w:p><w:pPr><w:shd w:val="clear" w:fill="103050"/></w:pPr>{run(pale, MANUAL.seen[0])}</w:p>'
        + samples.paragraph(last)
        + '<w:sectPr><w:headerReference w:type="default" r:id="rId5"/><w:headerReference w:type="first" r:id="rId5"/></w:sectPr>'
    )  # fmt: skip
    return samples.docx(body, parts=_word_parts())


def _word_parts() -> dict[str, str]:
    level = '<w:lvl w:ilvl="{}"><w:start w:val="1"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'
    return {
        "numbering": f'<w:abstractNum w:abstractNumId="0">{level.format(0, "decimal", "%1.")}'
        f'{level.format(1, "bullet", "o")}</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>',
        "footnotes": f'<w:footnote w:id="2">{samples.paragraph(MANUAL.notes[0])}</w:footnote>',
        "header": samples.paragraph(COMPANY)
        + '<w:p><w:fldSimple w:instr=" PAGE "><w:r><w:t>1</w:t></w:r></w:fldSimple></w:p>',
        "core": f"<dc:title>{MANUAL.title}</dc:title><dcterms:modified>{DAY}T09:00:00Z</dcterms:modified>",
    }


def page() -> bytes:
    """HTML as people write it, in Windows-1252, unclosed here and there."""
    first, second, third, last = MANUAL.sentences
    note = "<sup><a href='#n1'>1</a></sup>"
    one, nested_a, nested_b, two, three = (item.strip().partition(" ")[2] for item in MANUAL.items)
    titles = [f"<h{level}>{title}</h{level}>" for level, title in MANUAL.headings]
    rows = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in MANUAL.tables[0])
    white, tiny, vanished = MANUAL.hidden
    source = (
        f"<html><head><meta charset='windows-1252'><title>{MANUAL.title}</title><meta name='last-modified' content='{DAY}'>"
        "<style>.dark {background: #103050} .w, b.x {color: white}</style><script>boese()</script></head><body>"
        f"<header><p>{COMPANY}</p></header><nav><a href='/'>Start</a></nav>"
        f"{titles[0]}<p>{first.replace('jährlich', 'jährlich' + note)}{titles[1]}"
        f"<p>{second.replace('Wärmepumpe', 'W&auml;rme&shy;pumpe')}</p>{titles[2]}"
        f"<ol><li>{one}<ul><li>{nested_a}<li>{nested_b}</ul><li>{two}<li><p>{three}</p></ol>{titles[3]}<p>{third}</p>"
        f"<table>{rows}</table><p class=w>{white}</p><p style='font-size:0'>{tiny}</p><div hidden>{vanished}</div>"
        f"<div class=dark><p class=w>{MANUAL.seen[0]}</p></div><p>{last}</p>"
        f"<p id=n1><a href='#r1'>1</a> {MANUAL.notes[0]}</p></body></html>"
    )
    return source.encode("cp1252")


def book() -> bytes:
    """EPUB: the page above as its chapters, cut before the second heading."""
    source = page().decode("cp1252").replace("<meta charset='windows-1252'>", "")
    head, body = source.split("<body>")
    begin, rest = body.split("<h2>", 1)
    return samples.zipped(
        {
            "mimetype": b"application/epub+zip",
            "META-INF/container.xml": b"<container><rootfiles><rootfile full-path='o/b.opf'/></rootfiles></container>",
            "o/b.opf": (
                "<package xmlns:dc='http://purl.org/dc/elements/1.1/'><metadata>"
                f"<dc:title>{MANUAL.title}</dc:title><meta property='dcterms:modified'>{DAY}T09:00:00Z</meta></metadata>"
                "<manifest><item id='n' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/>"
                "<item id='a' href='t/a%20b.xhtml' media-type='application/xhtml+xml'/>"
                "<item id='c' href='c.xhtml' media-type='application/xhtml+xml'/></manifest>"
                "<spine><itemref idref='n'/><itemref idref='a'/><itemref idref='c'/></spine></package>"
            ).encode(),
            "o/nav.xhtml": b"<html><body><ol><li>Inhalt</li></ol></body></html>",
            "o/c.xhtml": f"{head}<body><h2>{rest}".encode(),
            "o/t/a b.xhtml": f"{head}<body>{begin}</body></html>".encode(),
        }
    )


def markdown() -> bytes:
    first, second, third, last = MANUAL.sentences
    titles = [f"{'#' * level} {title}" for level, title in MANUAL.headings]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in MANUAL.tables[0]]
    rows.insert(1, "| --- | --- | --- |")
    parts = [
        titles[0],
        first,
        titles[1],
        second,
        titles[2],
        "\n".join(MANUAL.items),
        titles[3],
        third,
        "\n".join(rows),
        last,
    ]
    return "\n\n".join(parts).encode()


def typeset() -> bytes:
    """A PDF as TeX makes it: two columns to a page, justified, words cut at their lines' ends. Two pages."""
    import typst

    first, second, third, last = MANUAL.sentences
    white, tiny, _ = MANUAL.hidden
    titles = [f"{'=' * level} {title}" for level, title in MANUAL.headings]
    one, nested_a, nested_b, two, three = (item.strip().partition(" ")[2] for item in MANUAL.items)
    cells = ", ".join(f"[{cell}]" for row in MANUAL.tables[0] for cell in row)
    year, month, day = map(int, DAY.split("-"))
    source = f"""
#set document(title: "{MANUAL.title}", date: datetime(year: {year}, month: {month}, day: {day}))
#set page(width: 150mm, height: 70mm, columns: 2, header: [{COMPANY}], numbering: "1")
#set text(font: "Libertinus Serif", size: 10pt, lang: "de", hyphenate: true)
#set par(justify: true)
{titles[0]}
{first.replace("jährlich", f"jährlich#footnote[{MANUAL.notes[0]}]")}
{titles[1]}
{second}
{titles[2]}
+ {one}
  - {nested_a}
  - {nested_b}
+ {two}
+ {three}
#pagebreak()
{titles[3]}
{third}
#table(columns: 3, {cells})
#text(fill: white)[{white}]

#text(size: 1pt)[{tiny}]

#block(fill: rgb("#103050"), text(fill: white)[{MANUAL.seen[0]}])

{last}
"""
    return bytes(typst.compile(source.encode()))


def article() -> bytes:
    """XML of a text: DocBook."""
    first, second, third, last = MANUAL.sentences
    rows = ["<row>" + "".join(f"<entry>{cell}</entry>" for cell in row) + "</row>" for row in MANUAL.tables[0]]
    body = (
        f"<article><title>{MANUAL.title}</title><para>{first.replace('jährlich', '<emphasis>jährlich</emphasis>')}</para>"
        f"<section><title>Sicherheit</title><para>{second}</para><section><title>Abschalten</title></section></section>"
        f"<section><title>Grenzwerte</title><para>{third}</para><informaltable><tgroup cols='3'><tbody>{''.join(rows)}</tbody>"
        f"</tgroup></informaltable><para>{last}</para></section></article>"
    )
    return f"<?xml version='1.0' encoding='iso-8859-1'?>{body}".encode("iso-8859-1")


def data_json() -> bytes:
    head, *lines = STOCK.tables[0]
    parts = [dict(zip(head, line, strict=True)) for line in lines]
    return json.dumps(
        {"werk": "Eschenfurt", "leitung": {"name": "Änne Grün"}, "teile": parts}, ensure_ascii=False
    ).encode()


def data_xml() -> bytes:
    head, *lines = STOCK.tables[0]
    parts = "".join(
        "<teil>" + "".join(f"<{name}>{value}</{name}>" for name, value in zip(head, line, strict=True)) + "</teil>"
        for line in lines
    )
    return f"<lager><werk>Eschenfurt</werk><leitung><name>Änne Grün</name></leitung>{parts}</lager>".encode()


def values() -> bytes:
    return "\r\n".join(";".join(row) for row in VALUES.tables[0]).encode("cp1252")


def _mail_page() -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in MAIL.tables[0])
    return f"<html><body><p>{_BODY[0]}</p><table>{rows}</table><p>{_BODY[1]}</p></body></html>"


def mail() -> bytes:
    """As a mail program sends it: plain text that lost the table, and HTML that has it."""
    message = EmailMessage(policy.SMTP)
    message["From"] = "Radka Zemanová <radka@velmora.example>"
    message["To"] = "nele@brennlund.example"
    message["Subject"] = SUBJECT
    message["Date"] = "Mon, 02 Mar 2026 09:12:00 +0100"
    message["Message-ID"] = "<1@velmora.example>"
    message.set_content("\n".join([_BODY[0], *(cell for row in MAIL.tables[0] for cell in row), _BODY[1]]))
    message.add_alternative(_mail_page(), subtype="html")
    message.set_boundary("fixed")
    return bytes(message)


def outlook() -> bytes:
    """With a picture of the sender's, which is hidden, a table of values, and a message within."""
    inner = {
        **property_streams({0x0037: "Ältere Frage", 0x1000: "Wie groß ist die Öffnung?", 0x0C1A: "Nele Grün"}),
        "__properties_version1.0": fixed_properties(24, {0x0039: (0x40, _ticks())}),
    }
    attached = {"__attach_version1.0_#00000000": {
        **property_streams({0x3707: "../größen.csv", 0x3701: ATTACHED}),
        "__properties_version1.0": fixed_properties(8, {}),
    }, "__attach_version1.0_#00000001": {
        **property_streams({0x3707: "logo.png", 0x3701: b"\x89PNG" * 2000}),
        "__properties_version1.0": fixed_properties(8, {0x7FFE: (0x0B, 1)}),
    }, "__attach_version1.0_#00000002": {
        **property_streams({0x3001: "Ältere Frage"}),
        "__properties_version1.0": fixed_properties(8, {}),
        "__substg1.0_3701000D": inner,
    }}  # fmt: skip
    return compound(
        {
            **property_streams({
                0x0037: SUBJECT, 0x0C1A: "Radka Zemanová", 0x5D01: "radka@velmora.example", 0x0E04: "Nele Grün",
                0x1000: f"{_BODY[0]}\r\n{_BODY[1]}", 0x1013: _mail_page().encode(),
            }),
            "__properties_version1.0": fixed_properties(32, {0x0039: (0x40, _ticks()), 0x3FDE: (3, 65001)}),
            **attached,
        }
    )  # fmt: skip


def _ticks() -> int:
    """2 March 2026, 08:12 UTC, as Windows counts."""
    return 134_169_127_200_000_000


def plain(encoding: str) -> bytes:
    """Paragraphs wrapped as mail programs did, one word cut at a line's end."""
    text = "\n\n".join(MANUAL.sentences).replace("spannungsfrei", "spannungs-\nfrei")
    return text.encode(encoding)
