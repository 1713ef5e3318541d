"""Builds the binary example documents; two runs give identical bytes.

Needs reportlab, python-docx, openpyxl, python-pptx and pillow in an environment of its own:

    python examples/_make.py

Text-like documents (Markdown, HTML, mail, plain text) are kept as they are, and are not built here.
"""

from __future__ import annotations

import io
import random
import re
import textwrap
import zipfile
from datetime import date, datetime
from pathlib import Path

import reportlab
from docx import Document
from docx.shared import Pt
from openpyxl import Workbook
from openpyxl.styles import Font, PatternFill
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.util import Inches
from pptx.util import Pt as SlidePt
from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate, Paragraph, Spacer, Table

HERE = Path(__file__).parent
SOURCE = HERE / "_source"
STAMP = datetime(2026, 3, 2, 9, 0, 0)
COMPANY = "Brennlund Thermik GmbH"
PETROL = colors.HexColor("#0b5563")
PALE = colors.HexColor("#e6f0f1")


# ---- the small Markdown the sources are written in: headings, paragraphs, lists, tables


def blocks(text: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for raw in re.split(r"\n\s*\n", text.strip()):
        for line in raw.splitlines():
            if line.startswith("## "):
                found.append(("h2", line[3:]))
            elif line.startswith("# "):
                found.append(("h1", line[2:]))
            elif line.startswith("|"):
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if found and found[-1][0] == "table":
                    found[-1][1].append(cells)
                else:
                    found.append(("table", [cells]))
            elif line.startswith("- "):
                found.append(("item", line[2:]))
            else:
                found.append(("p", line))
    return found


# ---- PDF


def pdf(source: str, target: str, *, title: str, subject: str, language: str, page_word: str) -> None:
    pages = (SOURCE / source).read_text("utf-8").split("<!-- page -->")
    body = ParagraphStyle("body", fontName="Vera", fontSize=10, leading=17.5, alignment=TA_JUSTIFY, spaceAfter=8)
    tight = ParagraphStyle("tight", parent=body, leading=14, spaceAfter=6)  # beside a table
    h1 = ParagraphStyle("h1", fontName="VeraBd", fontSize=18, leading=24, textColor=PETROL, spaceAfter=12)
    cover = ParagraphStyle("cover", parent=h1, fontSize=27, leading=34, spaceBefore=18, spaceAfter=12)
    lead = ParagraphStyle("lead", parent=body, fontSize=12, leading=18, textColor=colors.HexColor("#444444"))
    lead.alignment = 0
    h2 = ParagraphStyle("h2", fontName="VeraBd", fontSize=11.5, leading=16, spaceBefore=10, spaceAfter=4)
    cell = ParagraphStyle("cell", fontName="Vera", fontSize=8.4, leading=10.8)
    head = ParagraphStyle("head", parent=cell, fontName="VeraBd", textColor=colors.white)
    width = A4[0] - 56 * mm

    def table(rows: list[list[str]]) -> Table:
        columns = len(rows[0])
        lengths = [max(len(row[i]) for row in rows) for i in range(columns)]
        shares = [max(length, 9) for length in lengths]
        made = Table(
            [[Paragraph(text, head if n == 0 else cell) for text in row] for n, row in enumerate(rows)],
            colWidths=[width * share / sum(shares) for share in shares],
            spaceBefore=4,
            spaceAfter=9,
        )
        made.setStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), PETROL),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, PALE]),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.HexColor("#9bb8bc")),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("TOPPADDING", (0, 0), (-1, -1), 2.6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6),
            ]
        )
        return made

    story: list[object] = []
    for number, page in enumerate(pages):
        first, found = True, blocks(page)
        usual = tight if any(kind == "table" for kind, _ in found) else body
        for kind, value in found:
            if kind == "h1" and number == 0:
                story += [Spacer(1, 22 * mm), Paragraph(value, cover)]
            elif kind == "h1":
                story.append(Paragraph(value, h1))
            elif kind == "h2":
                story.append(Paragraph(value, h2))
            elif kind == "table":
                story.append(table(value))
            else:
                story.append(Paragraph(value, lead if number == 0 and first else usual))
                first = False
        if number < len(pages) - 1:
            story.append(PageBreak())

    def frame(canvas: object, document: object) -> None:
        canvas.saveState()
        canvas.setStrokeColor(PETROL)
        canvas.setFillColor(PETROL)
        canvas.setFont("Vera", 8)
        canvas.line(28 * mm, A4[1] - 17 * mm, A4[0] - 28 * mm, A4[1] - 17 * mm)
        canvas.drawString(28 * mm, A4[1] - 15 * mm, COMPANY)
        canvas.drawRightString(A4[0] - 28 * mm, A4[1] - 15 * mm, title)
        canvas.drawCentredString(A4[0] / 2, 12 * mm, f"{page_word} {document.page}")
        if document.page == 1:
            canvas.rect(0, A4[1] - 9 * mm, A4[0], 9 * mm, stroke=0, fill=1)
        canvas.restoreState()

    document = BaseDocTemplate(
        str(HERE / target), pagesize=A4, invariant=1, title=title, author=COMPANY, subject=subject, lang=language
    )
    area = Frame(28 * mm, 19 * mm, width, A4[1] - 40 * mm, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    document.addPageTemplates(PageTemplate(frames=[area], onPage=frame))
    document.build(story)
    if document.page != len(pages):
        raise SystemExit(f"{target}: {document.page} pages for {len(pages)} in the source")


# ---- Office files are ZIP archives: written again with fixed dates and order


def repack(target: str, data: bytes) -> None:
    stamp = STAMP.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(HERE / target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp, content)
            if name == "docProps/thumbnail.jpeg":  # the template's, not ours
                continue
            if name == "_rels/.rels":
                content = re.sub(rb"<Relationship [^>]*thumbnail[^>]*/>", b"", content)
            put(new, name, content)


def put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, STAMP.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def properties(made: object, title: str, language: str) -> None:
    core = made.core_properties
    core.title, core.author, core.last_modified_by, core.language = title, COMPANY, COMPANY, language
    core.comments, core.created, core.modified, core.revision = "", STAMP, STAMP, 1


def docx(source: str, target: str, *, language: str) -> None:
    made = Document()
    made.styles["Normal"].font.name = "Calibri"
    made.styles["Normal"].font.size = Pt(11)
    found = blocks((SOURCE / source).read_text("utf-8"))
    for kind, value in found:
        if kind == "h1":
            made.add_heading(value, 0)
        elif kind == "h2":
            made.add_heading(value, 1)
        elif kind == "item":
            made.add_paragraph(value, style="List Bullet")
        elif kind == "table":
            grid = made.add_table(rows=0, cols=len(value[0]), style="Light Grid Accent 1")
            for row in value:
                for cell, text in zip(grid.add_row().cells, row, strict=True):
                    cell.text = text
            made.add_paragraph()
        else:
            made.add_paragraph(value)
    made.sections[0].footer.paragraphs[0].text = COMPANY
    properties(made, str(found[0][1]), language)
    buffer = io.BytesIO()
    made.save(buffer)
    repack(target, buffer.getvalue())


def xlsx(target: str, title: str, sheets: dict[str, tuple[list[int], list[list[object]]]]) -> None:
    made = Workbook()
    made.remove(made.active)
    for name, (widths, rows) in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for cell in sheet[1]:
            cell.font = Font(bold=True, color="FFFFFF")
            cell.fill = PatternFill("solid", fgColor="0B5563")
        for letter, width in zip("ABCDEFG", widths, strict=False):
            sheet.column_dimensions[letter].width = width
        for line in sheet.iter_rows(min_row=2):
            for cell in line:
                if isinstance(cell.value, float):
                    cell.number_format = "#,##0.00"
                elif isinstance(cell.value, date):
                    cell.number_format = "yyyy-mm-dd"
        sheet.freeze_panes = "A2"
    made.properties.title, made.properties.creator = title, COMPANY
    made.properties.created = made.properties.modified = STAMP
    buffer = io.BytesIO()
    made.save(buffer)
    repack(target, buffer.getvalue())


PRICES = [
    ["Part number", "Description", "Fits", "Price EUR", "Unit", "Delivery", "Remark"],
    ["480-WK1", "Wear kit, two years", "TK-480", 1186.00, "set", "from stock", "price unchanged from 2025"],
    ["320-WK1", "Wear kit, two years", "TK-320", 842.00, "set", "from stock", "price unchanged from 2025"],
    ["480-3307", "Oil filter element", "TK-480", 74.50, "piece", "from stock", "two per machine"],
    ["480-3310", "Filter drier core", "TK-320, TK-480", 129.80, "piece", "from stock", ""],
    [
        "480-5519",
        "Slip-ring seal, oil pump",
        "TK-480, TK-900",
        148.00,
        "piece",
        "3 days",
        "batch SR-2412 or later, or VS-55",
    ],
    [
        "480-6001",
        "Rotor block, reconditioned",
        "TK-480",
        21460.00,
        "piece",
        "6 weeks",
        "deposit 4,000 for the old block",
    ],
    ["900-6001", "Rotor block, new", "TK-900", 68900.00, "piece", "14 weeks", "single source"],
    ["700-2218", "Elastomer mount", "all", 63.20, "piece", "2 days", "eight per TK-480"],
    ["GD-114", "Measuring cell, gas detector", "all", 236.00, "piece", "from stock", "shelf life 12 months"],
    ["HK-12", "Flow switch kit", "all", 318.40, "set", "from stock", ""],
    ["HX-68-20", "Compressor oil HX-68, 20 litres", "all", 392.00, "can", "from stock", "open cans keep 45 minutes"],
    ["GW-8", "Gateway card", "Helm 3", 1275.00, "piece", "10 days", "Modbus TCP and BACnet/IP"],
    [
        "HELM3-RET",
        "Retrofit set Helm 3",
        "TK-320, TK-480 before 2025",
        9400.00,
        "set",
        "5 weeks",
        "fitting takes one day",
    ],
    [
        "900-7750",
        "Resonator for discharge pipe",
        "TK-900 from 2016",
        3890.00,
        "piece",
        "4 weeks",
        "reduces 190 Hz tone by 8 dB",
    ],
]

SERVICES = [
    ["Service", "Level", "Price EUR", "Basis", "Included"],
    ["Maintenance contract", "Bronze", 2940.00, "per machine and year", "two inspections, hotline 06:00 to 22:00"],
    [
        "Maintenance contract",
        "Silver",
        5180.00,
        "per machine and year",
        "as Bronze, standby at night, on site within 12 hours",
    ],
    [
        "Maintenance contract",
        "Gold",
        9650.00,
        "per machine and year",
        "as Silver, on site within 4 hours, wear parts free",
    ],
    ["Technician, working hour", "", 118.00, "per hour", "weekdays 07:00 to 18:00"],
    ["Technician, night or Sunday", "", 189.00, "per hour", "minimum three hours"],
    ["Travel", "", 1.15, "per kilometre", "from the nearest depot"],
    ["Leuchtfeuer subscription", "", 89.00, "per machine and month", "cancel at one month's notice"],
    ["Operator seminar", "", 690.00, "per person", "two days in Eschenfurt, ten places"],
]

PLAN = [
    ["Termin", "Kunde", "Ort", "Maschine", "Arbeiten", "Technik", "Dauer in Stunden"],
    [
        date(2026, 4, 9),
        "Thermalbad Haselroda",
        "Haselroda",
        "320-0195",
        "Jahreswartung, Verflüssiger spülen",
        "Asmussen",
        8,
    ],
    [date(2026, 4, 21), "Molkerei Wiesengrund", "Moorbek", "480-0377", "Ölprobe, Dichtheitsprüfung", "Lüning", 4],
    [date(2026, 5, 5), "Käserei Almgrund", "Tannstetten", "480-0455", "Erste Wartung nach Inbetriebnahme", "Gruber", 6],
    [date(2026, 5, 6), "Käserei Almgrund", "Tannstetten", "480-0456", "Erste Wartung nach Inbetriebnahme", "Gruber", 6],
    [date(2026, 6, 16), "Brauerei Hopfensee", "Lindenau", "480-0318", "Vollständiger Ölwechsel, Filter", "Petrov", 10],
    [date(2026, 7, 14), "Hotel Sprudelhaus", "Bad Quellheim", "320-0240", "Messzelle GD-114 tauschen", "Nwosu", 2],
    [
        date(2026, 8, 11),
        "Wäschereipark Tannstetten",
        "Tannstetten",
        "900-0066",
        "Resonator nachrüsten, Schallmessung",
        "Gruber",
        14,
    ],
    [
        date(2026, 9, 22),
        "Papierfabrik Erlwinkel",
        "Lindenau",
        "480-0471",
        "Kontrolle nach vier Monaten Betrieb",
        "Petrov",
        5,
    ],
    [
        date(2026, 10, 8),
        "Thermalbad Haselroda",
        "Haselroda",
        "320-0195",
        "Halbjahreswartung, Messzelle GD-114",
        "Asmussen",
        5,
    ],
    [date(2026, 11, 3), "Molkerei Wiesengrund", "Moorbek", "480-0377", "Sicherheitsventile erneuern", "Lüning", 7],
]

PLAN_NOTES = [
    ["Thema", "Hinweis"],
    ["Werksferien", "Vom 20. Juli bis 7. August 2026 finden nur Störungseinsätze statt."],
    [
        "Zutritt Hopfensee",
        "Anmeldung an Tor 3, Sicherheitsschuhe S3 und Haarnetz sind Pflicht; Öl darf nur vor 6 Uhr angeliefert werden.",
    ],
    [
        "Zutritt Sprudelhaus",
        "Der Technikraum ist nur zwischen 10 und 12 Uhr zugänglich, weil darüber Massagen stattfinden.",
    ],
    [
        "Leihgerät",
        "Das Absauggerät für Niederdruck-Kältemittel gibt es dreimal; Reservierung bei der Disposition in Moorbek.",
    ],
]

SLIDES = [
    (
        "Product roadmap 2026 to 2028",
        [
            "Brennlund Thermik GmbH, development department",
            "Dr. Sunniva Rehbock, 4 February 2026",
            "For partners in Austria and Switzerland",
        ],
        "Welcome and a short look back: 143 machines were delivered in 2025.",
    ),
    (
        "Where we stand",
        [
            "Three series: TK-320, TK-480 and TK-900",
            "1,186 machines installed, 529 connected to Leuchtfeuer",
            "Average delivery time: 19 weeks small, 41 weeks large",
            "Most wanted by partners: higher temperature, lower noise, faster quotes",
        ],
        "The partner survey had 37 answers from 12 companies.",
    ),
    (
        "Project Glut: steam at 140 degrees",
        [
            "Two-stage machine for saturated steam at 3.6 bar",
            "Prototype ran 310 hours in December, COP 2.4 at a lift of 75 K",
            "Open point: oil turns to resin above 150 °C",
            "Series decision in autumn 2026, first deliveries not before mid-2027",
        ],
        "Two candidate oils are on the endurance rig; results by the end of May.",
    ),
    (
        "Project Tanne: natural refrigerants",
        [
            "TK-N 600 with ammonia, 600 kW, up to 90 °C",
            "Charge only 48 kg thanks to plate heat exchangers",
            "Pentane variant for outdoor installation, up to 125 °C",
            "Field test from November 2026 at a cold store in Skovhavn",
        ],
        "Partners need an ammonia certificate; courses start in September.",
    ),
    (
        "Helm 3 software plan",
        [
            "Release 3.2 in April: day-ahead tariff import for Austria and Switzerland",
            "Release 3.3 in October: cascade of up to six machines",
            "Updates stay free of charge for ten years",
            "Helm 2 receives security fixes until 31 December 2029",
        ],
        "The retrofit set costs 9,400 euros; partners buy at 22 percent discount.",
    ),
    (
        "What we ask of you",
        [
            "Name one field test site per partner by 30 April",
            "Send two technicians to the course in week 38",
            "Report noise complaints with a recording, not just a number",
            "Contact: partner@brennlund.example",
        ],
        "Next partner day: 17 November 2026 in Eschenfurt.",
    ),
]


def pptx(target: str) -> None:
    made = Presentation()
    made.slide_width, made.slide_height = Inches(13.333), Inches(7.5)
    for number, (title, lines, notes) in enumerate(SLIDES):
        slide = made.slides.add_slide(made.slide_layouts[1])
        heading, text = slide.shapes.title, slide.placeholders[1]
        heading.left, heading.top, heading.width, heading.height = Inches(0.8), Inches(0.5), Inches(11.7), Inches(1.2)
        text.left, text.top, text.width, text.height = Inches(0.8), Inches(1.9), Inches(11.7), Inches(4.8)
        heading.text = title
        run = heading.text_frame.paragraphs[0].runs[0]
        run.font.size, run.font.bold = SlidePt(44 if number == 0 else 36), True
        run.font.color.rgb = RGBColor(0x0B, 0x55, 0x63)
        text.text_frame.text = lines[0]
        for line in lines[1:]:
            text.text_frame.add_paragraph().text = line
        for paragraph in text.text_frame.paragraphs:
            paragraph.font.size, paragraph.space_after = SlidePt(26), SlidePt(12)
        slide.notes_slide.notes_text_frame.text = notes
    properties(made, "Product roadmap 2026 to 2028", "en-GB")
    buffer = io.BytesIO()
    made.save(buffer)
    repack(target, buffer.getvalue())


# ---- scans: a page set in type, then laid on the glass a little askew


DPI = 200


def scanned(text: str, *, skew: float, seed: int) -> Image.Image:
    """A page of A4 in shades of grey, with the specks and the soft edges of a scanner."""
    width, height = round(A4[0] / 72 * DPI), round(A4[1] / 72 * DPI)
    page = Image.new("L", (width, height), 246)
    draw = ImageDraw.Draw(page)
    body, bold = (
        ImageFont.truetype(str(Path(reportlab.__file__).parent / "fonts" / name), size)
        for name, size in (("Vera.ttf", DPI * 11 // 72), ("VeraBd.ttf", DPI * 17 // 72))
    )
    left, top = DPI, DPI
    for kind, value in blocks(text):
        font = bold if kind == "h1" else body
        for line in textwrap.wrap(value, 66):
            draw.text((left, top), line, font=font, fill=38)
            top += font.size * 3 // 2
        top += body.size
    page = page.rotate(skew, Image.Resampling.BICUBIC, fillcolor=246).filter(ImageFilter.GaussianBlur(0.6))
    chance = random.Random(seed)
    for _ in range(900):
        page.putpixel((chance.randrange(width), chance.randrange(height)), chance.randrange(90, 200))
    return page


def picture(source: str, target: str, *, skew: float) -> None:
    """A scan as a scanner saves it."""
    page = scanned((SOURCE / source).read_text("utf-8"), skew=skew, seed=1)
    page.quantize(16).save(HERE / target, "PNG", optimize=True, dpi=(DPI, DPI))


def mixed_pdf(source: str, target: str, *, title: str, skew: float) -> None:
    """Pages of text; each with a scanned one behind it, where the source has one."""
    canvas = Canvas(str(HERE / target), pagesize=A4, invariant=1, lang="en-GB")
    canvas.setTitle(title)
    canvas.setAuthor(COMPANY)
    for page in (SOURCE / source).read_text("utf-8").split("<!-- page -->"):
        text, _, scan = page.partition("<!-- scan -->")
        top = A4[1] - 30 * mm
        for kind, value in blocks(text):
            canvas.setFont(*(("VeraBd", 17) if kind == "h1" else ("Vera", 10.5)))
            for line in textwrap.wrap(("\u2022 " if kind == "item" else "") + value, 80):
                canvas.drawString(25 * mm, top, line)
                top -= 9 * mm if kind == "h1" else 5.5 * mm
            top -= 3 * mm
        canvas.showPage()
        if scan:
            packed = io.BytesIO()
            scanned(scan, skew=skew, seed=2).save(packed, "JPEG", quality=55)
            canvas.drawImage(ImageReader(packed), 0, 0, *A4)
            canvas.showPage()
    canvas.save()


def archive(target: str, members: list[str]) -> None:
    with zipfile.ZipFile(HERE / target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name in members:
            put(made, name, (SOURCE / "zip" / name).read_bytes())


def main() -> None:
    for font in ("Vera", "VeraBd"):  # come with reportlab; embedded, so that pages look alike everywhere
        pdfmetrics.registerFont(TTFont(font, f"{font}.ttf"))
    pdf(
        "tk-480-technical-manual.md",
        "tk-480-technical-manual.pdf",
        title="TK-480 Technical Manual",
        subject="Installation, operation and maintenance",
        language="en-GB",
        page_word="Page",
    )
    pdf(
        "geschaeftsbericht-2025.md",
        "Geschäftsbericht 2025.pdf",
        title="Geschäftsbericht 2025",
        subject="Geschäftsjahr 2025",
        language="de-DE",
        page_word="Seite",
    )
    docx("warranty-terms.md", "warranty-terms.docx", language="en-GB")
    docx("betriebsvereinbarung.md", "betriebsvereinbarung-mobiles-arbeiten.docx", language="de-DE")
    xlsx(
        "price-list-2026.xlsx",
        "Price list 2026",
        {
            "Parts": ([14, 34, 28, 12, 9, 13, 36], PRICES),
            "Services": ([30, 10, 12, 24, 54], SERVICES),
        },
    )
    xlsx(
        "service/wartungsplan-2026.xlsx",
        "Wartungsplan 2026",
        {"Termine": ([12, 27, 16, 12, 40, 12, 18], PLAN), "Hinweise": ([22, 100], PLAN_NOTES)},
    )
    pptx("product-roadmap-2026.pptx")
    archive("supplier-audit-velmora.zip", ["auditbericht-velmora.md", "audit-checklist.csv"])
    scans()


def scans() -> None:
    picture("lieferschein-kranichfeld.md", "service/lieferschein-kranichfeld.png", skew=1.3)
    mixed_pdf(
        "vessel-certificate-480-0377.md",
        "service/vessel-certificate-480-0377.pdf",
        title="Pressure vessel certificate, machine 480-0377",
        skew=-0.9,
    )


if __name__ == "__main__":
    main()
