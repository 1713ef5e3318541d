"""What a member of an archive, or an attachment, is called: its own name made into a path that a document may have.

Names come from whoever made the file: they may lead out of it, be no UTF-8, 4 KiB long, or written to deceive a reader.
None of that is a reason to lose the member. Its name is made safe, by a rule that depends on the names alone.
"""

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

MOST_BYTES: Final = 1024
"""Of a name in UTF-8: a path, with those of the containers around it, has 4096."""
UNNAMED: Final = "unnamed"
REPLACED: Final = "\ufffd"
_DIGEST: Final = 16
_LONGEST_SUFFIX: Final = 16
_DECEIVING: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)
"""Control characters, line ends and what turns the direction of writing: shown, they would hide what the name is."""


class Names:
    """The names given within one container: each once. A second `a/plan.csv` is called `a/2-plan.csv`."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._last: dict[str, int] = {}

    def give(self, name: str) -> str:
        safe = safe_name(name)
        given = safe
        while given in self._given:
            self._last[safe] = self._last.get(safe, 1) + 1
            given = _numbered(safe, self._last[safe])
        self._given.add(given)
        return given


def safe_name(name: str) -> str:
    """A clean relative path in NFC, of at most MOST_BYTES in UTF-8: '/' between folders, no empty name, no '.' or '..'.

    What is not UTF-8 (lone surrogates, as Python decodes it) is read as Latin-1; what would deceive a reader is
    replaced; a long name keeps its beginning and suffix around a digest of the whole. A name that is already such a
    path stays as it is.
    """
    readable = _DECEIVING.sub(REPLACED, unicodedata.normalize("NFC", _utf8(name)))
    folders = (folder.strip() for folder in readable.replace("\\", "/").split("/"))
    return shortened("/".join(folder for folder in folders if folder not in ("", ".", "..")) or UNNAMED, MOST_BYTES)


def shortened(name: str, most: int) -> str:
    """`name`, or its beginning, a digest of all of it, and its suffix: at most `most` bytes in UTF-8, if that is 64 or
    more."""
    encoded = name.encode()
    if len(encoded) <= most:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if len(suffix.encode()) <= _LONGEST_SUFFIX else ""
    end = f"~{hashlib.sha256(encoded).hexdigest()[:_DIGEST]}{suffix}"
    begin = encoded[: most - len(end.encode())].decode(errors="ignore").rstrip("/")
    return begin + end


def _numbered(name: str, number: int) -> str:
    folder, slash, last = name.rpartition("/")
    return shortened(f"{folder}{slash}{number}-{last}", MOST_BYTES)


def _utf8(name: str) -> str:
    raw = name.encode(errors="surrogateescape") if _is_escaped(name) else name.encode(errors="replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_escaped(name: str) -> bool:
    """Whether its surrogates, if any, are bytes that Python could not decode."""
    return all("\udc80" <= character <= "\udcff" for character in name if "\ud800" <= character <= "\udfff")
