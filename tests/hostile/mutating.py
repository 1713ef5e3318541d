"""What an unlucky disk, a broken program or an attacker with a hex editor makes of a real file."""

import io
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Final

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]
_TELLING: Final = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
"""Numbers at which programs err."""
_WORDS: Final = (b"<", b">", b"&", b"]]>", b"<!--", b"endobj", b"stream", b"/Length", b"obj", b"<<", b"--", b"\0", b"{")
_MOST_PACKED: Final = 4 << 20


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One to eight changes; in half of the cases to what lies in a ZIP (an office file), which is packed again whole,
    so that its checksums hide nothing."""
    if data.startswith(b"PK\x03\x04") and chance.random() < 0.5:
        return _inside(data, chance, others)
    return _changed(data, chance, others)


def _changed(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if changed:
            chance.choice(_CHANGES)(changed, chance, others)
    return bytes(changed)


def _inside(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        infos = [info for info in old.infolist() if not info.is_dir()]
        harmed = {chance.choice(infos).filename for _ in range(chance.choice((1, 1, 3)))}
        for info in infos:
            content = old.read(info)
            if info.filename in harmed and len(content) < _MOST_PACKED:
                content = _changed(content, chance, others)
            new.writestr(zipfile.ZipInfo(info.filename), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _stretch(data: bytearray, chance: random.Random, most: int = 4096) -> slice:
    start = chance.randrange(len(data))
    return slice(start, start + chance.randrange(1, most))


def flip_bits(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 4, 32))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_bytes(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 4, 32))):
        data[chance.randrange(len(data))] = chance.randrange(256)


def set_number(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    number = struct.pack(chance.choice("<>") + "L", chance.choice(_TELLING))
    width = chance.choice((1, 2, 4))
    start = chance.randrange(len(data))
    data[start : start + width] = number[:width] if chance.random() < 0.5 else number[-width:]


def change_digits(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    """A number that is written out, as in a PDF or an XML attribute."""
    start = chance.randrange(len(data))
    for at in range(start, min(start + 20_000, len(data))):
        if 0x30 <= data[at] <= 0x39:
            data[at : at + 1] = chance.choice((b"-1", b"0", b"9", b"4294967295", b"99999999999999999999", b"1e99"))
            return


def delete(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    del data[_stretch(data, chance)]


def repeat(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    where = _stretch(data, chance)
    data[where] = data[where] * chance.choice((2, 3, 50))


def move(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    taken = data[where := _stretch(data, chance)]
    del data[where]
    start = chance.randrange(len(data) + 1)
    data[start:start] = taken


def noise(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    data[_stretch(data, chance)] = chance.randbytes(chance.randrange(1, 4096))


def blank(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    where = _stretch(data, chance)
    data[where] = bytes(len(data[where]))


def insert_word(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = chance.choice(_WORDS) * chance.choice((1, 1, 100))


def splice(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    other = chance.choice(others)
    start = chance.randrange(len(other) + 1)
    data[_stretch(data, chance)] = other[start : start + chance.randrange(1, 4096)]


def cut(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    del data[chance.randrange(1, len(data) + 1) :]


_CHANGES: Final[tuple[Change, ...]] = (
    flip_bits,
    set_bytes,
    set_number,
    change_digits,
    delete,
    repeat,
    move,
    noise,
    blank,
    insert_word,
    splice,
    cut,
)
