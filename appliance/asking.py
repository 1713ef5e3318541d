"""What a question asks of the words: which to look for, and which parts of it have to stand in a passage verbatim."""

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.format import TOKENIZER

# Question and function words: rare ones ("how" in a manual) would otherwise outrank what is asked about.
_NOISE_ENGLISH: Final = """
a an and are as at be by can did do does for from had has have how i if in is it its many may me much must my no not of
on or our shall should so than that the their them then there these they this to was we were what when where which who
whom whose why will with would you your
"""
_NOISE_GERMAN: Final = """
aber alle als am an auch auf aus bei beim bin bis bist da das dass dem den der des dessen die dies diese diesem diesen
dieser dieses durch ein eine einem einen einer eines er es euch für gibt habe haben hat hatte ich ihm ihn ihr ihre im in
ist ja kann können man mein mich mir mit muss müssen nach nicht noch nur ob oder sein seine sich sie sind so soll sollen
sowie über um und uns unser unter vom von vor war waren warum was welche welchem welchen welcher welches wem wen wenn
wer werden wie viel viele wir wird wo wurde wurden zu zum zur
"""
_QUOTED: Final = re.compile(r'(?<!\w)["„“»«]([^"„“”»«]+)["“”«»](?!\w)')
"""English and German quotation marks; not the inch of `a 5" pipe`."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word that a passage may hold."""

    word: bytes
    """As the index has it, UTF-8."""
    beginning: bool
    """Whether it stands for all words that begin so."""


@dataclass(frozen=True, slots=True)
class Asked:
    terms: tuple[Term, ...]
    """Each once. A word's beginning follows the word."""
    verbatim: tuple[str, ...]
    """FTS5 queries, each for one quoted part, each once."""


class Reader:
    """Reads questions with the index's own tokenizer, so that both agree on what a word is. `close()` it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(f"CREATE VIRTUAL TABLE question USING fts5(text, content='', tokenize='{TOKENIZER}')")
        self._database.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab(question, instance)")
        self._noise = frozenset(self.words(_NOISE_ENGLISH + _NOISE_GERMAN))

    def close(self) -> None:
        self._database.close()

    def read(self, question: str) -> Asked:
        """A word of four letters or more also counts by its beginning, less its ending where it is long: that finds
        inflected forms and, in German, compounds ("Urlaub": "Urlaubsanspruch")."""
        words = list(dict.fromkeys(self.words(question)))
        telling = [word for word in words if word not in self._noise] or words
        quoted = filter(None, (self.words(part) for part in _QUOTED.findall(question)))
        return Asked(
            terms=tuple(term for word in telling for term in _terms(word)),
            verbatim=tuple(dict.fromkeys('"' + " ".join(part) + '"' for part in quoted)),
        )

    def words(self, text: str) -> list[str]:
        """In order, folded as the index folds them: lower case, without diacritics."""
        encodable = text.encode(errors="replace").decode()
        self._database.execute("INSERT INTO question(rowid, text) VALUES (1, ?)", (encodable,))
        rows = self._database.execute("SELECT CAST(term AS BLOB) FROM vocabulary ORDER BY offset").fetchall()
        self._database.execute("INSERT INTO question(question) VALUES ('delete-all')")
        return [word.decode(errors="replace") for (word,) in rows]


def _terms(word: str) -> Iterable[Term]:
    yield Term(word.encode(), beginning=False)
    if len(word) >= 4 and not word.isdigit():
        yield Term(word[: max(6, len(word) - 2)].encode(), beginning=True)
