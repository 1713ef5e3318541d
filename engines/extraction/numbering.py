"""Numbers of lists and headings, as their formats say: `3.`, `b)`, `IV`, `2.4`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_LARGEST: Final = 32_767
"""Beyond it a number is written in digits, whatever the format."""


def roman(number: int) -> str:
    letters = ""
    for value, numeral in _ROMAN:
        while number >= value:
            letters += numeral
            number -= value
    return letters


def letter(number: int) -> str:
    """a to z, then aa to zz: how word processors count on."""
    return chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)


FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "lowerRoman": roman,
    "upperRoman": lambda number: roman(number).upper(),
    "lowerLetter": letter,
    "upperLetter": lambda number: letter(number).upper(),
    "decimalZero": "{:02d}".format,
}


def written(number: int, form: str) -> str:
    """In a format by its name in WordprocessingML; in digits if it is another."""
    if not 0 < number <= _LARGEST:
        return str(number)
    return FORMATS.get(form, str)(number)


@dataclass(frozen=True, slots=True)
class Level:
    """How one level of a list is numbered."""

    form: str = "decimal"
    """`bullet` and `none` have no number."""
    pattern: str = "%1."
    """`%1` to `%9` stand for the numbers of the levels."""
    start: int = 1


@dataclass(slots=True)
class Counter:
    """Where a list has come to."""

    levels: Mapping[int, Level]
    numbers: dict[int, int] = field(default_factory=dict)

    def next(self, depth: int) -> str:
        """Counts an item on that level, from 0, and writes its marker: `-` for a bullet, empty for none."""
        level = self.levels.get(depth, Level("bullet"))
        self.numbers[depth] = self.numbers.get(depth, level.start - 1) + 1
        for deeper in [one for one in self.numbers if one > depth]:
            del self.numbers[deeper]
        if level.form in ("bullet", "none"):
            return "-" if level.form == "bullet" else ""
        return self._written(level.pattern)

    def _written(self, pattern: str) -> str:
        for depth in range(9):
            place = f"%{depth + 1}"
            if place in pattern:
                level = self.levels.get(depth, Level())
                pattern = pattern.replace(place, written(self.numbers.get(depth, level.start), level.form))
        return pattern.strip()
