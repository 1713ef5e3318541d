"""How a spreadsheet shows a number: what its format code says of decimals, units, days and percent.

ECMA-376 part 1, 18.8.31. Thousands are not parted, since how they are depends on the reader's country; days are
written as ISO 8601 has them.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

BUILT_IN: Final = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm", 19: "h:mm:ss", 20: "h:mm", 21: "h:mm:ss",
    22: "yyyy-mm-dd h:mm", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss",
    47: "mm:ss", 48: "0.0E+0", 49: "@",
}  # fmt: skip
_TOKEN: Final = re.compile(r'"([^"]*)"|\\(.)|\[([^\]]*)\]|_.|\*.|([0#?.,%/Ee+@]+)|([A-Za-z:]+)|(.)', re.S)
_EPOCH: Final = datetime(1899, 12, 30)
_EPOCH_1904: Final = datetime(1904, 1, 1)
_LAST_DAY: Final = 2_958_466
"""In Excel's count, 31 December 9999 is the day before."""


@dataclass(frozen=True, slots=True)
class Format:
    prefix: str = ""
    suffix: str = ""
    decimals: int | None = None
    """None: as many as the number has."""
    is_percent: bool = False
    has_day: bool = False
    has_time: bool = False
    has_seconds: bool = False
    is_duration: bool = False
    shows_nothing: bool = False
    """`;;;`, which hides every number."""

    def shown(self, number: float, *, from_1904: bool = False) -> str:
        if self.is_duration:
            return _duration(number)
        if self.has_day or self.has_time:
            return self._moment(number, from_1904)
        if self.is_percent:
            number *= 100
        digits = plain(number) if self.decimals is None else f"{number:.{self.decimals}f}"
        return f"{self.prefix}{digits}{'%' if self.is_percent else ''}{self.suffix}".strip()

    def _moment(self, number: float, from_1904: bool) -> str:
        if not 0 <= number < _LAST_DAY:
            return plain(number)
        seconds = round(number * 86_400)
        moment = (_EPOCH_1904 if from_1904 else _EPOCH) + timedelta(seconds=seconds)
        day = moment.strftime("%Y-%m-%d") if self.has_day else ""
        time = moment.strftime("%H:%M:%S" if self.has_seconds else "%H:%M") if self.has_time else ""
        return f"{day} {time}".strip()


def plain(number: float) -> str:
    """Fifteen digits, as spreadsheets count with, and no `.0`."""
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.15g}"


def _duration(number: float) -> str:
    minutes, seconds = divmod(round(abs(number) * 86_400), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if number < 0 else ''}{hours}:{minutes:02d}:{seconds:02d}"


@lru_cache(maxsize=1024)
def parsed(code: str) -> Format:
    """Of the first section, which is for positive numbers."""
    sections = _sections(code)
    if len(sections) > 1 and not any(section.strip() for section in sections):
        return Format(shows_nothing=True)
    before: list[str] = []
    after: list[str] = []
    pattern = letters = ""
    is_duration = False
    for quoted, escaped, bracket, digits, letter, other in _TOKEN.findall(sections[0]):
        literal = quoted or escaped
        if bracket:
            is_duration |= bracket.lower() in ("h", "hh", "m", "mm", "s", "ss")
            literal = bracket[1:].partition("-")[0] if bracket.startswith("$") else ""
        elif digits:
            pattern += digits
        elif letter and letter.lower() != "general":
            letters += letter.lower()
        elif other and other in "€$£¥ -()":
            literal = other
        (after if pattern else before).append(literal)
    if letters and not set(pattern) & set("0#?"):
        return _of_moments(letters, is_duration)
    is_percent = "%" in pattern
    decimals = len(re.findall(r"[0?#]", pattern.partition(".")[2])) if pattern.strip("@%") else None
    if set(pattern) & set("E/"):
        decimals = None
    return Format("".join(before), "".join(after).rstrip(), decimals, is_percent)


def _of_moments(letters: str, is_duration: bool) -> Format:
    has_time = "h" in letters or "s" in letters
    has_day = "y" in letters or "d" in letters or ("m" in letters and not has_time)
    if not (has_day or has_time or is_duration):
        return Format()
    return Format(has_day=has_day, has_time=has_time, has_seconds="s" in letters, is_duration=is_duration)


def _sections(code: str) -> list[str]:
    """Parted by semicolons outside quotes."""
    parts = [""]
    quoted = False
    for character in code:
        quoted ^= character == '"'
        if character == ";" and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
