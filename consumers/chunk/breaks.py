"""Where a text may be cut, and how well a cut would stand there. English and German abbreviations are known."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from engines.extraction import Extracted


class Strength(IntEnum):
    """The better of two places for a cut has the higher strength."""

    LINE_END = 1  # a line ends within a sentence
    SENTENCE = 2
    LINE = 3  # a line that begins something: a list item, a table row, a line after a full stop
    PARAGRAPH = 4
    HEADING = 5
    END = 6  # of the document


@dataclass(frozen=True, slots=True)
class Breaks:
    """Break i stands before the character at `positions[i]`, which is never white space. Positions rise.

    The last is the document's end. The document's beginning is none.
    """

    positions: Sequence[int]
    strengths: Sequence[Strength]
    headings: Sequence[int]
    """Positions of the breaks before headings."""


_LINE_GAP: Final = re.compile(r"\n\s*")
_ITEM: Final = re.compile(r"[-*+•–▪|>]|\(?\d{1,3}[.)]\s|\(?[a-zA-Z][.)]\s")  # noqa: RUF001
"""What a list item, a table row or a quotation begins with."""
_SENTENCE_END: Final = re.compile(
    r"[.!?…]{1,4}[\"'»«“”’)\]]{0,3}[ \t]+(?=[^\s\w]{0,3}[A-ZÄÖÜÉÀÇŠŽ0-9])|[。！？]"  # noqa: RUF001
)
"""Bounded everywhere: a megabyte of full stops costs no more than a megabyte of anything else."""
_STOPS: Final = frozenset(".!?…:;")
_GERMAN: Final = (
    "abb abs abschn allg anl anm art aufl bd begr bsp bspw bzgl bzw ca dgl dipl ebd einschl engl entspr etc evtl exkl "
    "fa fr frl gem ggf ggfs gez hg hl hr hrsg inkl insb insbes jh jhd kap lfd lt max min mind mio mrd mtl nachf nr "
    "nrn pos prof rd red rn sog std stellv str tab tel usf usw vgl vs wiss zb zt ztr zzgl zzt"
)
_ENGLISH: Final = (
    "al approx apr aug capt cf ch co corp dec dept dr ed eds eg est feb fig figs gen gov ie inc jan jr jul jun lt ltd "
    "mar messrs mr mrs ms nos nov oct op para pp prof ref rep rev sec sen sep sept sgt sr st vol vols viz"
)
_ABBREVIATIONS: Final = frozenset(f"{_GERMAN} {_ENGLISH}".split())
_LONGEST_ORDINAL: Final = 2
"""Digits. `3. Mai` is a date and `12. Abschnitt` a number, but `im Jahr 2025. Der` ends a sentence."""
_LONGEST_ABBREVIATION: Final = 8
_VISIBLE: Final = re.compile(r"\S")
_WORD_SPLIT: Final = re.compile(r"[\s.([{\"'„“‚‘»«]")  # noqa: RUF001


def find_breaks(extracted: Extracted) -> Breaks:
    """In one pass over the text for each kind; where two kinds meet, the stronger counts."""
    text = extracted.text
    found: dict[int, Strength] = {}
    for position in _sentence_starts(text):
        found[position] = Strength.SENTENCE
    for position, strength in _line_starts(text):
        found[position] = max(strength, found.get(position, strength))
    for heading in extracted.headings:
        found[heading.start] = Strength.HEADING
    for heading in extracted.headings:
        found.pop(next_visible(text, heading.end), None)  # a heading stays with what follows it
    first, end = next_visible(text, 0), len(text.rstrip())
    positions = sorted(position for position in found if first < position < end)
    return Breaks(
        positions=[*positions, end],
        strengths=[*(found[position] for position in positions), Strength.END],
        headings=[position for position in positions if found[position] is Strength.HEADING],
    )


def _line_starts(text: str) -> Iterator[tuple[int, Strength]]:
    for gap in _LINE_GAP.finditer(text):
        if gap[0].count("\n") > 1:
            yield gap.end(), Strength.PARAGRAPH
        elif text[gap.start() - 1 : gap.start()] in _STOPS or _ITEM.match(text, gap.end()):
            yield gap.end(), Strength.LINE
        else:
            yield gap.end(), Strength.LINE_END


def _sentence_starts(text: str) -> Iterator[int]:
    for end in _SENTENCE_END.finditer(text):
        if not _is_abbreviation(text, end.start()):
            yield next_visible(text, end.end())


def _is_abbreviation(text: str, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to the word before it: `Nr.`, `z. B.`, `J. Smith`, `3. Mai`."""
    if text[stop] != ".":
        return False
    word = _WORD_SPLIT.split(text[max(0, stop - _LONGEST_ABBREVIATION - 1) : stop])[-1].lower()
    if word.isdigit():
        return len(word) <= _LONGEST_ORDINAL
    return len(word) == 1 or word in _ABBREVIATIONS


def next_visible(text: str, position: int) -> int:
    """Where the first character from `position` on stands that is no space; the text's length if there is none."""
    found = _VISIBLE.search(text, position)
    return found.start() if found else len(text)
