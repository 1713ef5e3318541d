"""The corpus as flat OpenDocument: what LibreOffice turns into all that it can write. See `libreoffice.py`."""
# ruff: noqa: E501, RUF001

from typing import Final
from xml.sax.saxutils import escape

from tests.engines.formats.truth import COMPANY, DAY, MANUAL, PRICES, SLIDES

_SPACES: Final = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{urn}:1.0"'
    for name, urn in (
        ("office", "office"), ("style", "style"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
        ("fo", "xsl-fo-compatible"), ("svg", "svg-compatible"), ("number", "datastyle"), ("meta", "meta"),
        ("presentation", "presentation"),
    )
)  # fmt: skip


def _file(kind: str, title: str, styles: str, automatic: str, master: str, body: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {_SPACES} '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.3" '
        f'office:mimetype="application/vnd.oasis.opendocument.{kind}">'
        f"<office:meta><dc:title>{title}</dc:title><meta:creation-date>{DAY}T09:00:00</meta:creation-date>"
        f"<dc:date>{DAY}T09:00:00</dc:date></office:meta>"
        f"<office:styles>{styles}</office:styles><office:automatic-styles>{automatic}</office:automatic-styles>"
        f"<office:master-styles>{master}</office:master-styles><office:body>{body}</office:body></office:document>"
    ).encode()


def _style(name: str, family: str, properties: str, **more: str) -> str:
    given = "".join(f' style:{key.replace("_", "-")}="{value}"' for key, value in more.items())
    return f'<style:style style:name="{name}" style:family="{family}"{given}>{properties}</style:style>'


def _text(properties: str) -> str:
    return f"<style:text-properties {properties}/>"


_PRINTED: Final = (
    '<style:list-level-properties text:space-before="0.5cm" text:min-label-width="0.6cm"/>',
    '<style:list-level-properties text:space-before="1.1cm" text:min-label-width="0.6cm"/>',
    '<style:header-footer-properties fo:margin-top="0.5cm" fo:margin-bottom="0.5cm"/>',
    _style(
        "Overleaf",
        "paragraph",
        '<style:paragraph-properties fo:break-before="page"/>',
        parent_style_name="Heading_20_2",
    ),
)
"""Of both depths of lists, of headers and footers, and of the heading that begins a page."""


def manual(*, printed: bool = False) -> bytes:
    """`printed`: on two pages, and with room beside its lists' numbers, as people set what they print."""
    first, second, third, last = (escape(sentence) for sentence in MANUAL.sentences)
    note = f'<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body><text:p>{MANUAL.notes[0]}</text:p></text:note-body></text:note>'
    first = first.replace("jährlich", "jährlich" + note)
    second = second.replace("Wärmepumpe", "Wärme\u00adpumpe")
    white, tiny, vanished = MANUAL.hidden
    titles = iter(MANUAL.headings)

    def heading(style: str = "") -> str:
        level, title = next(titles)
        return (
            f'<text:h text:style-name="{style or f"Heading_20_{level}"}" text:outline-level="{level}">{title}</text:h>'
        )

    one, nested_a, nested_b, two, three = (item.strip().partition(" ")[2] for item in MANUAL.items)
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in MANUAL.tables[0]
    )
    body = (
        f"<office:text>{heading()}<text:p>{first}</text:p>{heading()}<text:p>{second}</text:p>{heading()}"
        f'<text:list text:style-name="Numbered"><text:list-item><text:p>{one}</text:p>'
        f"<text:list><text:list-item><text:p>{nested_a}</text:p></text:list-item>"
        f"<text:list-item><text:p>{nested_b}</text:p></text:list-item></text:list></text:list-item>"
        f"<text:list-item><text:p>{two}</text:p></text:list-item>"
        f"<text:list-item><text:p>{three}</text:p></text:list-item></text:list>"
        f"{heading('Overleaf' if printed else '')}<text:p>{third}</text:p>"
        f'<table:table table:name="T"><table:table-column table:number-columns-repeated="3"/>{rows}</table:table>'
        f'<text:p><text:span text:style-name="White">{white}</text:span></text:p>'
        f'<text:p><text:span text:style-name="Tiny">{tiny}</text:span></text:p>'
        f'<text:p><text:span text:style-name="Vanished">{vanished}</text:span></text:p>'
        f'<text:p text:style-name="Dark"><text:span text:style-name="White">{MANUAL.seen[0]}</text:span></text:p>'
        f"<text:p>{last}</text:p></office:text>"
    )
    styles = _style("Standard", "paragraph", _text('fo:font-size="11pt"')) + "".join(
        _style(f"Heading_20_{level}", "paragraph", _text('fo:font-size="14pt"'), display_name=f"Heading {level}",
               parent_style_name="Standard", default_outline_level=str(level))
        for level in (1, 2, 3)
    )  # fmt: skip
    room, more_room, margin, overleaf = _PRINTED if printed else ("", "", "", "")
    automatic = (
        overleaf
        + _style("White", "text", _text('fo:color="#ffffff"'))
        + _style("Tiny", "text", _text('fo:font-size="1pt"'))
        + _style("Vanished", "text", _text('text:display="none"'))
        + _style("Dark", "paragraph", '<style:paragraph-properties fo:background-color="#103050"/>')
        + '<text:list-style style:name="Numbered"><text:list-level-style-number text:level="1" style:num-format="1" '
        'style:num-suffix=".">'
        f'{room}</text:list-level-style-number><text:list-level-style-bullet text:level="2" text:bullet-char="•">{more_room}'
        "</text:list-level-style-bullet></text:list-style>"
        '<style:page-layout style:name="Page"><style:page-layout-properties fo:page-width="21cm" '
        f'fo:page-height="29.7cm"/><style:header-style>{margin}</style:header-style>'
        f"<style:footer-style>{margin}</style:footer-style></style:page-layout>"
    )
    master = (
        '<style:master-page style:name="Standard" style:page-layout-name="Page"><style:header><text:p>'
        f"{COMPANY}</text:p></style:header><style:footer><text:p><text:page-number>1</text:page-number></text:p>"
        "</style:footer></style:master-page>"
    )
    return _file("text", MANUAL.title or "", styles, automatic, master, body)


def prices() -> bytes:
    def cell(value: str, style: str = "") -> str:
        style = f' table:style-name="{style}"' if style else ""
        if value.endswith(" €"):
            return f'<table:table-cell table:style-name="Euro" office:value-type="float" office:value="{value[:-2]}"/>'
        if value.endswith("%"):
            share = float(value[:-1]) / 100
            return f'<table:table-cell table:style-name="Share" office:value-type="percentage" office:value="{share}"/>'
        if value[:2] == "20" and value.count("-") == 2:
            return f'<table:table-cell table:style-name="Day" office:value-type="date" office:date-value="{value}"/>'
        return f'<table:table-cell{style} office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    def row(*cells: str, more: str = "") -> str:
        return f"<table:table-row{more}>{''.join(cells)}</table:table-row>"

    away = ' table:visibility="collapse"'
    row_away, _, sheet_away, white = PRICES.hidden
    head, *lines, _ = PRICES.tables[0]
    first = (
        row(cell(PRICES.sentences[0]))
        + row(*map(cell, head))
        + "".join(row(*map(cell, line)) for line in lines)
        + row(cell(row_away), more=away)
        + row("<table:table-cell/>")
        + row(cell(PRICES.sentences[1]))
        + row(cell(white, "White"))
    )
    columns = f'<table:table-column table:number-columns-repeated="5"/><table:table-column{away}/>'
    second = "".join(row(*map(cell, line)) for line in PRICES.tables[1])
    body = (
        "<office:spreadsheet>"
        f'<table:table table:name="Preise">{columns}{first}</table:table>'
        f'<table:table table:name="Termine"><table:table-column/>{second}</table:table>'
        f'<table:table table:name="Geheim" table:style-name="Away"><table:table-column/>{row(cell(sheet_away))}</table:table>'
        "</office:spreadsheet>"
    )
    automatic = (
        '<number:number-style style:name="N1"><number:number number:decimal-places="2" '
        'number:min-integer-digits="1"/><number:text> €</number:text></number:number-style>'
        '<number:percentage-style style:name="N2"><number:number number:decimal-places="0" '
        'number:min-integer-digits="1"/><number:text>%</number:text></number:percentage-style>'
        '<number:date-style style:name="N3"><number:year number:style="long"/><number:text>-</number:text>'
        '<number:month number:style="long"/><number:text>-</number:text><number:day number:style="long"/>'
        "</number:date-style>"
        + _style("Euro", "table-cell", "", data_style_name="N1")
        + _style("Share", "table-cell", "", data_style_name="N2")
        + _style("Day", "table-cell", "", data_style_name="N3")
        + _style("White", "table-cell", _text('fo:color="#ffffff"'))
        + _style("Away", "table", '<style:table-properties table:display="false"/>')
    )
    return _file("spreadsheet", PRICES.title or "", "", automatic, "", body)


def slides() -> bytes:
    def frame(text: str, place: str, kind: str = "") -> str:
        kind = f' presentation:class="{kind}"' if kind else ""
        return f'<draw:frame{kind} draw:style-name="Clear" {place} svg:width="20cm" svg:height="4cm"><draw:text-box>{text}</draw:text-box></draw:frame>'

    def page(name: str, content: str, style: str = "Shown") -> str:
        return f'<draw:page draw:name="{name}" draw:style-name="{style}" draw:master-page-name="Plain">{content}</draw:page>'

    titles = [frame(f"<text:p>{title}</text:p>", 'svg:x="2cm" svg:y="1cm"', "title") for _, title in SLIDES.headings]
    away, white = (escape(text) for text in SLIDES.hidden[1:])
    big, nested, quiet = (item.strip()[2:] for item in SLIDES.items)
    points = (
        '<text:list text:style-name="Points"><text:list-item>'
        f"<text:p>{big}</text:p><text:list><text:list-item><text:p>{nested}</text:p></text:list-item></text:list>"
        f"</text:list-item><text:list-item><text:p>{quiet}</text:p></text:list-item></text:list>"
    )
    rows = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
        + "</table:table-row>"
        for row in SLIDES.tables[0]
    )
    table = (
        '<draw:frame svg:x="2cm" svg:y="5cm" svg:width="12cm" svg:height="4cm"><table:table>'
        f'<table:table-column table:number-columns-repeated="2"/>{rows}</table:table></draw:frame>'
    )
    dark = (
        '<draw:custom-shape draw:style-name="Dark" svg:x="2cm" svg:y="15cm" svg:width="12cm" svg:height="2cm">'
        f'<text:p><text:span text:style-name="White">{SLIDES.seen[0]}</text:span></text:p>'
        "</draw:custom-shape>"
    )
    notes = (
        '<presentation:notes><draw:frame presentation:class="notes" svg:x="2cm" svg:y="14cm" svg:width="15cm" '
        f'svg:height="5cm"><draw:text-box><text:p>{SLIDES.sentences[1]}</text:p></draw:text-box></draw:frame>'
        "</presentation:notes>"
    )
    body = (
        "<office:presentation>"
        + page("a", titles[0] + frame(points, 'svg:x="2cm" svg:y="5cm"', "outline")
               + frame(f"<text:p>{SLIDES.sentences[0]}</text:p>", 'svg:x="2cm" svg:y="12cm"') + notes)
        + page("b", titles[1] + table + dark
               + frame(f'<text:p><text:span text:style-name="White">{white}</text:span></text:p>', 'svg:x="2cm" svg:y="10cm"')
               + frame(f"<text:p>{away}</text:p>", 'svg:x="-40cm" svg:y="-30cm"'))
        + page("c", titles[2], "Away")
        + "</office:presentation>"
    )  # fmt: skip
    automatic = (
        _style("Shown", "drawing-page", "")
        + _style("Away", "drawing-page", '<style:drawing-page-properties presentation:visibility="hidden"/>')
        + _style("White", "text", _text('fo:color="#ffffff"'))
        + _style("Clear", "graphic", '<style:graphic-properties draw:fill="none" draw:stroke="none"/>')
        + _style("Dark", "graphic", '<style:graphic-properties draw:fill="solid" draw:fill-color="#103050"/>')
        + '<text:list-style style:name="Points"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/>'
        '<text:list-level-style-bullet text:level="2" text:bullet-char="–"/></text:list-style>'
        '<style:page-layout style:name="PL"><style:page-layout-properties fo:page-width="28cm" fo:page-height="21cm"/>'
        "</style:page-layout>"
    )
    master = '<style:master-page style:name="Plain" style:page-layout-name="PL"/>'
    return _file("presentation", SLIDES.title or "", "", automatic, master, body)
