"""Reading order, paragraphs, tables and joined words, from boxes alone."""

import random

import pytest

from engines.vision import Line, PageText
from engines.vision.layout import arranged, page_text

HEIGHT = 30
PITCH = 42


def line(text: str, left: int, row: float, *, height: int = HEIGHT, width: int | None = None) -> Line:
    """On the row of that number, as wide as its text is long."""
    top = round(row * PITCH)
    return Line(text, (left, top, left + (width or 15 * len(text)), top + height), 0.9)


def read(*lines: Line) -> str:
    """Whatever the order the engine found them in."""
    shuffled = random.Random(3).sample(lines, k=len(lines))
    found = arranged(shuffled)
    assert found == arranged(lines)
    return text_of(*found)


def text_of(*lines: Line) -> str:
    text, spans = page_text(PageText(lines, 2000, 2000))
    assert len(spans) == len(lines)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    return text


@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [
        ("Die Wärme-", "pumpe läuft", "Die Wärmepumpe läuft"),
        ("der Nord-", "Süd-Achse", "der Nord-Süd-Achse"),
        ("die Anlage TK-", "480 läuft", "die Anlage TK-480 läuft"),
        ("Ein-", "und Ausgang", "Ein- und Ausgang"),
        ("input-", "or output", "input- or output"),
        ("zwei Worte", "und mehr", "zwei Worte und mehr"),
        ("von 12-", "14 Uhr", "von 12- 14 Uhr"),
        ("oben -", "unten", "oben - unten"),
    ],
)
def test_words_cut_at_a_lines_end_become_whole(above: str, below: str, joined: str) -> None:
    lines = (Line(above, (0, 0, 300, 30), 0.9), Line(below, (0, 40, 300, 70), 0.9))
    text, spans = page_text(PageText(lines, 300, 100))
    assert text == joined
    assert [text[start:end] for start, end in spans] == [
        above if above in joined else above[:-1],
        below,
    ]


def test_paragraphs_have_a_blank_line_between() -> None:
    full = "a line that is as long as its column allows"
    assert read(line(full, 0, 0), line("and its short end.", 0, 1), line(full, 0, 2), line(full, 0, 3)) == (
        f"{full} and its short end.\n\n{full} {full}"
    )
    assert read(line(full, 0, 0), line(full, 0, 1), line(full, 0, 2.8), line(full, 0, 3.8)) == (
        f"{full} {full}\n\n{full} {full}"
    )


def test_a_heading_is_a_paragraph() -> None:
    text = "a line that is as long as its column allows it"
    assert read(line("A heading", 0, 0, height=50, width=690), line(text, 0, 1.4), line(text, 0, 2.4)) == (
        f"A heading\n\n{text} {text}"
    )


def test_columns_are_read_one_after_the_other() -> None:
    left = [line(f"the left column has line number {i}", 0, i) for i in range(6)]
    right = [line(f"the right column has its line {i}", 700, i + 0.4) for i in range(6)]
    across = line("a title that runs across both columns of this page, from left to right", 0, -2)
    text = read(across, *left, *right)
    assert text.startswith("a title")
    assert [word for word in text.split() if word.isdigit()] == [*"012345", *"012345"]
    assert text.index("left column") < text.index("number 5") < text.index("right column")


def test_a_sentence_goes_on_in_the_next_column() -> None:
    left = [line(f"the left column has line number {i}", 0, i) for i in range(6)]
    right = [line(f"and the right column has line {i}", 700, i) for i in range(6)]
    assert "number 5 and the right" in read(*left, *right)
    ended = [*left[:-1], line("the left column ends with this one.", 0, 5)]
    assert "this one.\n\nand the right" in read(*ended, *right)


def test_what_lies_between_two_columns_parts_them() -> None:
    upper = [line(f"upper left column, line number {i}", 0, i) for i in range(4)]
    upper += [line(f"upper right column, line number {i}", 700, i) for i in range(4)]
    across = [line("a heading across the two columns of the page, wider than either of them", 0, 5)]
    lower = [line(f"lower left column, line number {i}", 0, i + 7) for i in range(4)]
    lower += [line(f"lower right column, line number {i}", 700, i + 7) for i in range(4)]
    text = read(*upper, *across, *lower)
    order = ["upper left", "upper right", "a heading", "lower left", "lower right"]
    assert sorted(order, key=text.index) == order


def cells(*rows: tuple[str, ...]) -> list[Line]:
    return [
        line(cell, 400 * column, 1.6 * row) for row, some in enumerate(rows) for column, cell in enumerate(some) if cell
    ]


def test_a_table_keeps_its_cells() -> None:
    rows = [("Name", "2025", "2024"), ("Umsatz", "86,4", "78,9"), ("Gewinn", "", "5,8"), ("A|B", "1", "2")]
    assert read(*cells(*rows)).splitlines() == [
        "| Name | 2025 | 2024 |",
        "| --- | --- | --- |",
        "| Umsatz | 86,4 | 78,9 |",
        "| Gewinn |  | 5,8 |",
        r"| A\|B | 1 | 2 |",
    ]


def test_a_cell_of_two_lines_is_one() -> None:
    table = cells(("Kennzahl", "2025"), ("Ausgelieferte Wär-", "143"), ("Umsatz", "86"), ("Gewinn", "7"))
    assert read(*table[:4], line("mepumpen", 0, 2.5), *[
        Line(cell.text, (cell.box[0], cell.box[1] + PITCH, cell.box[2], cell.box[3] + PITCH), 0.9) for cell in table[4:]
    ]).splitlines() == [
        "| Kennzahl | 2025 |",
        "| --- | --- |",
        "| Ausgelieferte Wärmepumpen | 143 |",
        "| Umsatz | 86 |",
        "| Gewinn | 7 |",
    ]  # fmt: skip


def test_words_found_apart_are_one_line() -> None:
    text = read(line("found in", 0, 0), line("two pieces", 150, 0), line("and one more that is long", 0, 1))
    assert text == "found in two pieces and one more that is long"


def test_nothing_unprintable_passes_and_empty_lines_are_left_out() -> None:
    assert read(line("a\x00\u2028b  c\ufeff", 0, 0), line(" \t ", 0, 3), line("e\u0301", 0, 6)) == "a b c\n\né"


def test_any_boxes_give_each_line_once() -> None:
    chance = random.Random(11)
    for _ in range(200):
        lines = []
        for number in range(chance.randrange(25)):
            left, top = chance.randrange(900), chance.randrange(900)
            box = (left, top, left + chance.randrange(1, 400), top + chance.randrange(1, 60))
            lines.append(Line(f"w{number}", box, 0.5))
        words = read(*lines).replace("|", " ").replace("---", " ").split()
        assert sorted(words) == sorted(given.text for given in lines)
