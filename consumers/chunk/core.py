"""Splits a text into chunks, and chunks into messages. Pure: the tokenizer's answers are arguments.

A document that was recognised comes in pages, which are one text first.

A chunk begins where the one before it ended, or at most `overlap_tokens` earlier. It ends

1. before the first heading, once it is a quarter full: a section is not mixed with the next for the sake of size;
2. else where the text ends, if that fits;
3. else at the strongest break in the second half of what fits, the last among equals;
4. else at white space; else, within a word that is longer than a chunk, between two of its tokens.

Time is linear in the text: every break is looked at by a bounded number of chunks.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consumers.chunk.breaks import Breaks, Strength, find_breaks, next_visible
from engines.extraction import Extracted, ExtractedHeading, ExtractedMark
from engines.extraction.reading import Piece, Reading, compose
from engines.tokenizer import Tokenizer
from infra.ledger import Counted
from schemas.messages import Chunk, ChunksMade, Document, DocumentRecognised, PageSpan, RecognisedPage
from schemas.messages.chunks import Mark

MAX_CHUNK_CHARACTERS: Final = 16_000
"""Code points, whatever their tokens: some tokenizers make one token of a word of any length."""
MAX_CHUNKS_PER_MESSAGE: Final = 32
"""With vectors of 4096 float32 numbers these are 512 KiB, which leaves room in a record for the text."""
MAX_TEXT_BYTES_PER_MESSAGE: Final = 300 * 1024
"""UTF-8 bytes of text and heading paths."""
MAX_HEADING_CHARACTERS: Final = 200
"""Of each heading in a path, and of the title."""
_WORD_START: Final = re.compile(r"(?<=\s)\S")
_SPACE: Final = " \n\t"
"""White space at which every additive tokenizer parts words."""


def composed(made: DocumentRecognised, pages: Sequence[RecognisedPage]) -> Extracted:
    """One text of pages that have theirs. Raises Permanent `document.no-text`."""
    pieces = [
        Piece(
            text=page.text,
            headings=tuple(ExtractedHeading(one.level, one.start, one.end) for one in page.headings),
            page=page.number,
            marks=tuple(ExtractedMark(mark.kind, mark.start, mark.end) for mark in page.marks),
            confidence=page.confidence,
            runs_on=page.runs_on,
        )
        for page in pages
    ]
    return compose(Reading(pieces, title=made.title, date=made.date))


@dataclass(frozen=True, slots=True)
class Measure:
    """How long passages of one text are in the model's tokens."""

    starts: NDArray[np.int64]
    """Where each token of the whole text begins; rising."""
    around: int
    """Tokens that every chunk has besides its own: special ones and the passage prefix."""
    additive: bool
    """Whether a passage cut at white space has exactly the tokens that begin in it (engines.tokenizer)."""
    count: Callable[[str], int]
    """A passage encoded alone, with all that is around it."""

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer, *, prefix: str) -> "Measure":
        """Runs the tokenizer over the text, once. `prefix` stands before every chunk when it is encoded."""
        return cls(
            starts=tokenizer.token_starts(text),
            around=tokenizer.special_tokens + len(tokenizer.token_starts(prefix)),
            additive=tokenizer.additive and prefix[-1:] in ("", *_SPACE),
            count=lambda passage: tokenizer.count(prefix + passage),
        )

    def index(self, position: int) -> int:
        """How many tokens begin before `position`."""
        return int(np.searchsorted(self.starts, position))

    def position(self, index: int, *, otherwise: int) -> int:
        """Where the token of that index begins, or `otherwise` if there are fewer."""
        return int(self.starts[index]) if index < len(self.starts) else otherwise


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int
    tokens: int


def split(extracted: Extracted, measure: Measure, *, max_tokens: int, overlap_tokens: int) -> list[Chunk]:
    """The text's chunks in reading order; every visible character is in at least one.

    None has more than `max_tokens` when encoded alone (but for a single character that alone has more), and none
    repeats more than `overlap_tokens` of the one before it: at most half of `max_tokens`. A chunk neither begins nor
    ends with white space.
    """
    spans = _Packing(extracted.text, find_breaks(extracted), measure, max_tokens, overlap_tokens).spans()
    page_starts = [page.start for page in extracted.pages]
    headings = _HeadingPaths(extracted)
    marks = _Marks(extracted)
    return [
        Chunk(
            ordinal=ordinal,
            start=span.start,
            end=span.end,
            tokens=span.tokens,
            page=extracted.pages[bisect_right(page_starts, span.start) - 1].number if page_starts else None,
            headings=headings.at(span.start),
            marks=marks.meeting(span.start, span.end),
        )
        for ordinal, span in enumerate(spans)
    ]


@dataclass(frozen=True, slots=True)
class _Packing:
    text: str
    breaks: Breaks
    measure: Measure
    max_tokens: int
    overlap_tokens: int

    def spans(self) -> Iterator[Span]:
        position, previous = next_visible(self.text, 0), -1
        while position < len(self.text):
            span = self._fitting(position, previous)
            yield span
            position, previous = next_visible(self.text, span.end), span.start

    def _fitting(self, position: int, previous: int) -> Span:
        """The chunk whose new text begins at `position`, after a chunk that began at `previous`.

        A first attempt goes by the tokens of the whole text. Where a chunk encoded alone turns out longer, it is
        tried again without overlap and with an eighth less, until it fits.
        """
        room = max(1, self.max_tokens - self.measure.around)
        start = self._overlap_start(position, previous, room)
        while True:
            end = self._end(start, position, room)
            span = Span(start, end, self._tokens(start, end))
            if span.tokens <= self.max_tokens or end - position <= 1:
                return span
            start, room = position, max(1, room * 7 // 8)

    def _end(self, start: int, position: int, room: int) -> int:
        """Where a chunk from `start` ends whose text from `position` on is new: after it, and within `room` tokens."""
        first_token = self.measure.index(start)
        fits = self.measure.position(first_token + room, otherwise=len(self.text))
        fits = max(min(fits, start + MAX_CHUNK_CHARACTERS), position + 1)
        low = bisect_right(self.breaks.positions, position)
        high = bisect_right(self.breaks.positions, fits)
        if low == high:
            return self._within_sentence(position, fits)
        heading = self._first_heading(position, self.measure.position(first_token + room // 4, otherwise=fits))
        if heading <= fits:
            return self._trimmed(heading)
        half = bisect_left(self.breaks.positions, self.measure.position(first_token + room // 2, otherwise=fits))
        low = low if half >= high else max(low, half)
        best = max(range(low, high), key=lambda i: (self.breaks.strengths[i], i))
        return self._trimmed(self.breaks.positions[best])

    def _first_heading(self, position: int, at_least: int) -> int:
        """The first heading after `position` and not before `at_least`; past the text if there is none."""
        index = max(bisect_right(self.breaks.headings, position), bisect_left(self.breaks.headings, at_least))
        return self.breaks.headings[index] if index < len(self.breaks.headings) else len(self.text) + 1

    def _within_sentence(self, position: int, fits: int) -> int:
        if fits == len(self.text) or self.text[fits] in _SPACE:
            return self._trimmed(fits)
        space = max(self.text.rfind(character, position, fits) for character in _SPACE)
        return self._trimmed(space) if space > position else fits

    def _overlap_start(self, position: int, previous: int, room: int) -> int:
        """Where a chunk begins that repeats the end of the one before: whole sentences if any fit, else whole words.

        Nothing is repeated across a heading, and never so much that the sentence to come would no longer fit.
        """
        earliest = self._earliest_overlap(position, previous, room)
        first = bisect_left(self.breaks.positions, earliest)
        last = bisect_left(self.breaks.positions, position)
        for index in range(first, last):
            if self.breaks.strengths[index] >= Strength.SENTENCE:
                return self.breaks.positions[index]
        word = _WORD_START.search(self.text, earliest, position)
        return word.start() if word else position

    def _earliest_overlap(self, position: int, previous: int, room: int) -> int:
        if previous < 0 or self.overlap_tokens == 0:
            return position
        here = self.measure.index(position)
        token = here - self.overlap_tokens
        sentence_end = self.breaks.positions[bisect_right(self.breaks.positions, position)]
        if self.measure.index(sentence_end) - here <= room:
            token = max(token, self.measure.index(sentence_end) - room)
        section = bisect_right(self.breaks.headings, position) - 1
        section_start = self.breaks.headings[section] if section >= 0 else 0
        earliest = self.measure.position(max(token, 0), otherwise=position)
        if self.measure.index(earliest) < token:  # several tokens begin at one character
            earliest += 1
        return max(earliest, previous + 1, section_start, position - MAX_CHUNK_CHARACTERS // 2)

    def _tokens(self, start: int, end: int) -> int:
        """Exact, of the chunk encoded alone. Counted afresh only where its edges could change its tokens."""
        own = self.measure.index(end) - self.measure.index(start)
        if self.measure.additive and own > 0 and self._at_space(start - 1) and self._at_space(end):
            return own + self.measure.around
        return self.measure.count(self.text[start:end])

    def _at_space(self, position: int) -> bool:
        return not 0 <= position < len(self.text) or self.text[position] in _SPACE

    def _trimmed(self, end: int) -> int:
        while self.text[end - 1].isspace():
            end -= 1
        return end


class _HeadingPaths:
    """The headings above each place of a text, outermost first; a heading stands above itself."""

    def __init__(self, extracted: Extracted) -> None:
        self._starts: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        above: list[tuple[int, str]] = []
        for heading in extracted.headings:
            name = " ".join(extracted.text[heading.start : heading.end].split())[:MAX_HEADING_CHARACTERS]
            above = [(level, outer) for level, outer in above if level < heading.level]
            above.append((heading.level, name))
            self._starts.append(heading.start)
            self._paths.append(tuple(outer for _, outer in above))

    def at(self, position: int) -> tuple[str, ...]:
        index = bisect_right(self._starts, position) - 1
        return self._paths[index] if index >= 0 else ()


class _Marks:
    """Which kinds of marks a stretch of text meets."""

    def __init__(self, extracted: Extracted) -> None:
        kinds = sorted({mark.kind for mark in extracted.marks})
        spans = {kind: [mark for mark in extracted.marks if mark.kind == kind] for kind in kinds}
        self._starts = {kind: [mark.start for mark in marks] for kind, marks in spans.items()}
        self._ends = {kind: [mark.end for mark in marks] for kind, marks in spans.items()}

    def meeting(self, start: int, end: int) -> tuple[Mark, ...]:
        return tuple(kind for kind in self._starts if self._meets(kind, start, end))

    def _meets(self, kind: Mark, start: int, end: int) -> bool:
        """Marks of a kind do not overlap, so the first one that ends after `start` decides."""
        index = bisect_right(self._ends[kind], start)
        return index < len(self._starts[kind]) and self._starts[kind][index] < end


def messages(document: Document, extracted: Extracted, chunks: Sequence[Chunk]) -> Iterator[ChunksMade]:
    """The chunks in messages that stay well below a record's 1 MiB, with their vectors too (see the limits above).

    The first message's text begins at 0, each next one's where the one before ended or at its first chunk if that is
    earlier, and the last one's runs to the end. Extraction leaves no long gap between chunks.
    """
    groups = list(_groups(extracted.text, chunks))
    previous_end = 0
    for number, group in enumerate(groups, 1):
        start = min(previous_end, group[0].start)
        end = group[-1].end if number < len(groups) else len(extracted.text)
        yield ChunksMade(
            document=document,
            title=extracted.title[:MAX_HEADING_CHARACTERS] if extracted.title else None,
            language=extracted.language,
            date=extracted.date,
            text_length=len(extracted.text),
            text_start=start,
            text=extracted.text[start:end],
            pages=tuple(
                PageSpan(number=page.number, start=page.start, end=page.end, confidence=page.confidence)
                for page in extracted.pages
                if page.start < end and start < page.end
            ),
            chunks=tuple(group),
        )
        previous_end = end


def counts(made: Sequence[ChunksMade]) -> Mapping[Counted, int]:
    """How many chunks hold text that a reader of the document does not see."""
    return {Counted.HIDDEN: sum("hidden" in chunk.marks for message in made for chunk in message.chunks)}


def _groups(text: str, chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    group: list[Chunk] = []
    size = covered = 0
    for chunk in chunks:
        added = _utf8(text[covered : chunk.end]) + sum(map(_utf8, chunk.headings))
        if group and (len(group) == MAX_CHUNKS_PER_MESSAGE or size + added > MAX_TEXT_BYTES_PER_MESSAGE):
            yield group
            group, size = [], _utf8(text[chunk.start : covered])
        group.append(chunk)
        size, covered = size + added, chunk.end
    if group:
        yield group


def _utf8(text: str) -> int:
    return len(text.encode())
