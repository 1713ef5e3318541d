"""Tesseract 5 by its program: a page goes in as a picture over a pipe, words come out as a table. Nothing on disk.

Its languages are part of its name: `tesseract:deu+eng`. Its training data are those that are installed with it.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from engines.extraction import PageImage
from engines.vision import Line, PageText, VisionIdentity
from engines.vision.layout import CELL_GAP
from schemas.errors import Permanent
from schemas.parameters import VisionConfig

if TYPE_CHECKING:
    from engines.vision.upright import UprightPage

NAME: Final = "tesseract"
LANGUAGES: Final = "deu+eng"
ISO_639_1: Final = {
    "deu": "de", "eng": "en", "fra": "fr", "ita": "it", "spa": "es", "nld": "nl", "por": "pt", "pol": "pl",
    "ces": "cs", "dan": "da", "swe": "sv", "nor": "no", "fin": "fi", "hun": "hu", "ron": "ro", "tur": "tr",
    "rus": "ru", "ukr": "uk", "ell": "el",
}  # fmt: skip
"""Of its language codes; another stands for itself."""
PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX")
"""What of the environment its program gets: neither credentials nor settings."""
LONGEST: Final = 120.0
"""Seconds for a page; a dense one takes five."""
LARGEST: Final = 5000
"""Pixels of a page's longer side that it gets; a larger page is shrunk."""
DPI: Final = 300
"""What it is told where nothing tells: else it guesses."""
FIELDS: Final = 12
"""Of a row: level, page, block, paragraph, line, word, left, top, width, height, confidence (of 100), text."""
WORD_LEVEL: Final = "5"
RULES: Final = "|_ "
"""What it takes a table's rules for."""
_VERSION: Final = re.compile(r"tesseract v?(5\.\S+)")
_FOLDER: Final = re.compile(r'in "(.+)"')
_LANGUAGES: Final = re.compile(r"[A-Za-z_/]+(\+[A-Za-z_/]+)*")


class TesseractEngine:
    def __init__(self, identity: VisionIdentity, installed: "Installed") -> None:
        self.identity = identity
        self._installed = installed

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        from engines.vision.upright import read_upright

        return [read_upright(page, partial(self._read, page.dpi or DPI)) for page in pages]

    def _read(self, dpi: int, page: "UprightPage") -> list[Line]:
        pixels, scale = page.at_most(LARGEST)
        picture = b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        told = ("-l", self._installed.languages, "--psm", "3", "--dpi", str(max(70, round(dpi * scale))))
        table = _answer([self._installed.program, "stdin", "stdout", *told, "tsv"], picture)
        return [
            Line(line.text, page.box(_corners(line.box) / scale), line.confidence) for line in _lines(_words(table))
        ]


# -- its answer -------------------------------------------------------------------------------------------------------


def _words(table: str) -> list[tuple[Sequence[str], Line]]:
    """The words with the number of the line that Tesseract puts them on: page, block, paragraph, line."""
    rows = [row.split("\t") for row in table.splitlines()]
    return [
        (row[1:5], _word(row)) for row in rows if len(row) == FIELDS and row[0] == WORD_LEVEL and row[11].strip(RULES)
    ]


def _word(row: Sequence[str]) -> Line:
    left, top, width, height = map(int, row[6:10])
    return Line(row[11].strip(RULES), (left, top, left + width, top + height), max(0.0, float(row[10]) / 100))


def _lines(words: Sequence[tuple[Sequence[str], Line]]) -> Iterator[Line]:
    """Its lines, each in pieces where words are far apart: the cells of a table."""
    for _, numbered in groupby(words, key=lambda word: word[0]):
        line = [word for _, word in numbered]
        height = max(word.box[3] for word in line) - min(word.box[1] for word in line)
        part: list[Line] = []
        for word in line:
            if part and word.box[0] - part[-1].box[2] > CELL_GAP * height:
                yield _joined(part)
                part = []
            part.append(word)
        yield _joined(part)


def _joined(words: Sequence[Line]) -> Line:
    lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
    confidence = sum(word.confidence * len(word.text) for word in words) / sum(len(word.text) for word in words)
    box = (min(lefts), min(tops), max(rights), max(bottoms))
    return Line(" ".join(word.text for word in words), box, round(confidence, 4))


def _corners(box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


# -- its program ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Installed:
    program: str
    version: str
    languages: str
    """As it wants them: `deu+eng`."""
    weights: str
    """SHA-256 over these languages' training data."""


def identify(config: VisionConfig) -> VisionIdentity:
    return _identity(_installed(config.engine.partition(":")[2] or LANGUAGES))


def load(config: VisionConfig) -> TesseractEngine:
    installed = _installed(config.engine.partition(":")[2] or LANGUAGES)
    return TesseractEngine(_identity(installed), installed)


def _identity(installed: Installed) -> VisionIdentity:
    languages = tuple(ISO_639_1.get(code, code) for code in installed.languages.split("+"))
    return VisionIdentity(NAME, installed.weights, f"tesseract {installed.version}", languages)


def _installed(languages: str) -> Installed:
    """Raises Permanent `engine.missing`."""
    program = shutil.which(NAME)
    if program is None:
        raise Permanent("engine.missing", name=NAME, what="the program tesseract 5")
    found = _VERSION.search(_answer([program, "--version"]))
    if found is None:
        raise Permanent("engine.missing", name=NAME, what="version 5 of its program")
    folder = _FOLDER.search(_answer([program, "--list-langs"]))
    data = [Path(folder[1]) / f"{code}.traineddata" for code in languages.split("+")] if folder else []
    if not _LANGUAGES.fullmatch(languages) or not data or not all(path.is_file() for path in data):
        raise Permanent("engine.missing", name=NAME, what="the training data of its languages")
    return Installed(program, found[1], languages, _digest(tuple(data)))


@lru_cache(maxsize=8)
def _digest(files: tuple[Path, ...]) -> str:
    """Read once a process: what is installed does not change under a running worker."""
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _answer(command: Sequence[str], given: bytes = b"") -> str:
    """What the program writes. Raises RuntimeError where it fails or takes too long, telling nothing of the page."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - an installed program, no shell
            command, input=given, capture_output=True, env=environment, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"tesseract took longer than {LONGEST:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"tesseract ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")
