"""Compound files ([MS-CFB]), of which Outlook's messages are made: just enough to write one.

Every stream lies in whole sectors, without the small ones' own table.
"""

import struct
from collections.abc import Mapping
from typing import Final

_SECTOR: Final = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
Folder = Mapping[str, "bytes | Folder"]


def compound(root: Folder) -> bytes:
    """Streams are padded to 4096 bytes by sectors' chains, but keep their lengths."""
    entries: list[list[object]] = []
    sectors: list[bytes] = []
    chains: list[int] = []

    def store(data: bytes) -> int:
        count = -(-len(data) // _SECTOR)
        first = len(sectors)
        sectors.extend(data[place * _SECTOR : (place + 1) * _SECTOR].ljust(_SECTOR, b"\0") for place in range(count))
        chains.extend([*range(first + 1, first + count), _END])
        return first

    def enter(name: str, kind: int, content: "bytes | Folder") -> int:
        number = len(entries)
        entry: list[object] = [name, kind, _FREE, _FREE, _FREE, _END, 0]
        entries.append(entry)
        if isinstance(content, bytes):
            padded = content.ljust(4096, b"\0")  # shorter ones would lie in the table of small streams
            entry[5], entry[6] = store(padded), len(padded) if len(content) < 4096 else len(content)
            return number
        inside = [enter(one, 2 if isinstance(part, bytes) else 1, part) for one, part in content.items()]
        ordered = sorted(inside, key=lambda one: (len(str(entries[one][0])), str(entries[one][0]).upper()))
        entry[4] = _tree(ordered, entries)
        return number

    enter("Root Entry", 5, root)
    entries[0][5], entries[0][6] = _END, 0
    directory = b"".join(_entry(entry) for entry in entries).ljust(-(-len(entries) * 128 // _SECTOR) * _SECTOR, b"\0")
    first_directory = store(directory)
    fat_sectors = 1
    while (len(sectors) + fat_sectors) * 4 > fat_sectors * _SECTOR:
        fat_sectors += 1
    first_fat = len(sectors)
    chains.extend([_FAT] * fat_sectors)
    table = b"".join(struct.pack("<I", one) for one in chains).ljust(fat_sectors * _SECTOR, b"\xff")
    difat = [*range(first_fat, first_fat + fat_sectors), *[_FREE] * (109 - fat_sectors)]
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII109I",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, fat_sectors, first_directory, 0, 4096,
        _END, 0, _END, 0, *difat,
    )  # fmt: skip
    return header + b"".join(sectors) + table


def _tree(ordered: list[int], entries: list[list[object]]) -> int:
    """Siblings as a balanced tree; its root."""
    if not ordered:
        return _FREE
    middle = len(ordered) // 2
    entries[ordered[middle]][2] = _tree(ordered[:middle], entries)
    entries[ordered[middle]][3] = _tree(ordered[middle + 1 :], entries)
    return ordered[middle]


def _entry(entry: list[object]) -> bytes:
    name, kind, left, right, child, start, size = entry
    encoded = str(name).encode("utf-16-le") + b"\0\0"
    return struct.pack(
        "<64sHBBIII16sIQQIQ", encoded, len(encoded), kind, 1, left, right, child, b"", 0, 0, 0, start, size
    )


# -- Outlook's messages -----------------------------------------------------------------------------------------------


def property_streams(values: Mapping[int, str | bytes]) -> dict[str, bytes]:
    """Text as UTF-16, bytes as they are."""
    return {
        f"__substg1.0_{tag:04X}{'001F' if isinstance(value, str) else '0102'}": (
            value.encode("utf-16-le") if isinstance(value, str) else value
        )
        for tag, value in values.items()
    }


def fixed_properties(head: int, values: Mapping[int, tuple[int, int]]) -> bytes:
    """`{tag: (type, value)}` after a head of that many bytes."""
    return bytes(head) + b"".join(struct.pack("<HHIQ", kind, tag, 6, value) for tag, (kind, value) in values.items())
