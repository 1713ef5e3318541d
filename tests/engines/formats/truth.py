"""What the corpus's documents say, and so what a reader of any format must give back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Truth:
    """Of one document. What its format cannot hold is left empty, and is then not scored."""

    sentences: Sequence[str]
    """In order; each must stand in the text unbroken, but for a note's number."""
    headings: Sequence[tuple[int, str]] = ()
    items: Sequence[str] = ()
    """Lines of lists, two spaces before a nested one."""
    tables: Sequence[Sequence[Sequence[str]]] = ()
    notes: Sequence[str] = ()
    margins: Sequence[str] = ()
    """Of headers and footers: once at most."""
    hidden: Sequence[str] = ()
    seen: Sequence[str] = ()
    """What looks hidden to the careless, and is not."""
    pages: Sequence[str] = ()
    """How each page begins."""
    gone: Sequence[str] = field(default=())
    """What must not be there: scripts, deleted text, page numbers."""
    title: str | None = None
    date: str | None = None
    language: str | None = "de"


COMPANY: Final = "Brennlund Thermik GmbH, Ausgabe März"
TITLE: Final = "Wartungshandbuch TK-480"
DAY: Final = "2026-03-02"

MANUAL: Final = Truth(
    sentences=(
        "Die Prüfung der Kälteanlage erfolgt jährlich und dauert zwei Tage, wenn alle Öffnungen zugänglich sind.",
        "Vor jeder Arbeit ist die Wärmepumpe spannungsfrei zu schalten.",
        "Die folgenden Größen gelten für Anlagen ab dem Baujahr 2019.",
        "Rückfragen beantwortet die Leitwarte in Eschenfurt.",
    ),
    headings=((1, TITLE), (2, "Sicherheit"), (3, "Abschalten"), (2, "Grenzwerte")),
    items=(
        "1. Strom abschalten",
        "  - Hauptschalter öffnen",
        "  - Schlüssel abziehen",
        "2. Druck ablassen",
        "3. Messgerät anschließen",
    ),
    tables=(
        (
            ("Größe", "Grenze", "Einheit"),
            ("Vorlauf", "92", "°C"),
            ("Druck", "18 | 22", "bar"),
            ("Öl", "", "Liter"),
        ),
    ),
    notes=("Nach DIN EN 378, vierter Teil.",),
    margins=(COMPANY,),
    hidden=(
        "Weisse Schrift befiehlt dem Leser.",
        "Winzige Schrift befiehlt ebenso.",
        "Verborgene Schrift befiehlt auch.",
    ),
    seen=("Achtung, heißer Dampf!",),
    title=TITLE,
    date=DAY,
)

PRICES: Final = Truth(
    sentences=("Preisliste des Werks Eschenfurt", "Alle Preise verstehen sich ohne Umsatzsteuer."),
    headings=((1, "Preise"), (1, "Termine"), (1, "Geheim")),
    tables=(
        (
            ("Teil", "Bezeichnung", "Preis", "Rabatt", "Gültig ab", "Versteckte Spalte"),
            ("480-WK1", "Verschleißsatz", "1186.50 €", "5%", "2026-03-02"),
            ("480-3307", "Ölfilter", "74.00 €", "12%", "2026-04-15"),
            ("HK-12", "Strömungswächter", "318.40 €", "0%", "2026-01-01"),
            ("Versteckte Zeile",),
        ),
        (("Ort", "Tag"), ("Moorbek", "Montag"), ("Lindenau", "Freitag")),
    ),
    hidden=("Versteckte Zeile", "Versteckte Spalte", "Verstecktes Blatt", "Weisse Zelle"),
    seen=("Bezeichnung",),
    title="Preisliste",
    date=DAY,
)

SLIDES: Final = Truth(
    sentences=("Fragen beantwortet die Entwicklung.", "Nicht vergessen, den Prüfstand zu erwähnen."),
    headings=((1, "Neue Wärmepumpen"), (1, "Zahlen des Jahres"), (1, "Nur für uns")),
    items=("- Größere Leistung", "  - Bis 140 Grad", "- Leiser Betrieb"),
    tables=((("Reihe", "Stück"), ("TK-320", "61"), ("TK-480", "82")),),
    hidden=("Nur für uns", "Weit neben der Folie", "Weiss auf Weiss"),
    seen=("Hell auf dunklem Grund",),
    pages=("Neue Wärmepumpen", "Zahlen des Jahres", "Nur für uns"),
    title="Neue Wärmepumpen",
    date=DAY,
)
