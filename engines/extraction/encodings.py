"""Bytes to characters: by what a file declares, by its byte order mark, else by what its letters look like."""

import codecs
import re
from typing import Final

_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""The longer one first where one begins another."""
_SAMPLE: Final = 64 * 1024
"""Bytes from which an encoding is guessed."""
_USUAL: Final = "cp1252"
"""What is assumed of letters that look like nothing: most old Western files."""
_AS_BROWSERS_DO: Final = {"iso8859-1": "cp1252", "ascii": "cp1252", "shift_jis": "cp932", "gb2312": "gb18030",
                          "gbk": "gb18030", "euc_kr": "cp949", "iso8859-9": "cp1254", "big5": "big5hkscs"}  # fmt: skip
"""What is declared as the first is often the second, which says the same and more (WHATWG Encoding)."""
_TEXT_ENCODINGS: Final = re.compile(r"utf|iso8859|cp\d|koi8|mac|euc|iso2022|big5|gb|shift|johab|tis|ptcp|hz|kz|latin")
_ASCII: Final = bytes(range(128))
_GERMAN: Final = "ÄÖÜäöüßé§°€„“‚‘’–…•".encode("cp1252")  # noqa: RUF001
"""Letters and signs of German that Windows-1252 has. Other encodings have others there, and rarely these alone."""
_ZEROS: Final = (
    ("utf-32-le", (0, 0.01, 0.9, 0.9)),
    ("utf-32-be", (0.9, 0.9, 0.01, 0)),
    ("utf-16-le", (0, 0.5, 0, 0.5)),
    ("utf-16-be", (0.5, 0, 0.5, 0)),
)
"""How many of every first, second, third and fourth byte are zero at least; 0: few are."""
_FEW: Final = 0.3
_JAPANESE_SWITCH: Final = re.compile(rb"\x1b\$[@B]")
_IN_USE: Final = re.compile(r"cp125|iso8859|iso2022|koi8|mac-roman|cp(437|850|852|866|932|949)$|euc|gb18030|big5|johab")
"""Others, of mainframes and a few countries' DOS, are guessed wrongly more often than they are met."""
_UNSURE: Final = 0.1
"""Confidence, as of a few words, below which letters that cannot be a coincidence decide."""
_SIGNS: Final = (
    ("cp932", re.compile("[\u3040-\u30ff]"), 0.3),
    ("euc_jp", re.compile("[\u3040-\u30ff]"), 0.3),
    (
        "cp1252",
        re.compile(
            "[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff\u0152\u0153\u0178\u2013-\u2026\u20ac\u00a7\u00ab\u00bb\u00b0]"
        ),
        1.0,
    ),
)
"""Kana in Japanese; of Western text nothing but letters and quotation marks."""
_CONTROL: Final = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


def decode(data: bytes, declared: str | None = None) -> str:
    """The text without its byte order mark. What an encoding does not define becomes U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    switching = "iso2022_jp_ext" if _JAPANESE_SWITCH.search(data[:_SAMPLE]) else None
    for encoding in filter(None, (known(declared), switching, "utf-8", _wide(data))):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode(guessed(data), errors="replace")


def known(name: str | None) -> str | None:
    """Python's name of a declared encoding of text, or None."""
    try:
        codec = codecs.lookup((name or "").strip().strip("\"'"))
    except (LookupError, ValueError):
        return None
    if not _TEXT_ENCODINGS.match(codec.name) or codec.name.startswith("utf-7"):
        return None
    return _AS_BROWSERS_DO.get(codec.name, codec.name)


def guessed(data: bytes) -> str:
    """What bytes that are no UTF are most likely written in, by their beginning."""
    sample = data[:_SAMPLE]
    if not sample.translate(None, _ASCII + _GERMAN):
        return _USUAL  # sure, where a guess about a few letters would not be

    import chardet

    guesses = chardet.detect_all(sample)
    if not guesses or guesses[0]["confidence"] < _UNSURE:
        for encoding, usual, share in _SIGNS:
            if _share(sample, encoding, usual) >= share:
                return encoding
    names = [name for guess in guesses if (name := known(guess["encoding"]))]
    return next((name for name in names if _IN_USE.match(name)), _USUAL)


def _share(sample: bytes, encoding: str, usual: re.Pattern[str]) -> float:
    """How much of what is not ASCII would be such signs; none where it cannot be that encoding."""
    try:
        signs = [sign for sign in sample.decode(encoding) if not sign.isascii()]
    except UnicodeDecodeError:
        return 0.0
    return sum(usual.match(sign) is not None for sign in signs) / max(len(signs), 1)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: of every two or four bytes the same ones are mostly zero."""
    sample = data[: _SAMPLE - _SAMPLE % 4]
    if len(sample) < 4 or not _CONTROL.search(sample):
        return None
    zeros = [sample[place::4].count(0) * 4 / len(sample) for place in range(4)]
    for encoding, least in _ZEROS:
        if all(part >= wanted if wanted else part < _FEW for part, wanted in zip(zeros, least, strict=True)):
            return encoding
    return None


def is_text(data: bytes) -> bool:
    """Whether bytes look like text in some encoding."""
    head = data[:_SAMPLE]
    if head.startswith(tuple(mark for mark, _ in _MARKS)):
        return True
    return not _CONTROL.search(head) or _wide(head) is not None
