"""Landlock: this process reads the named folders, and does nothing else to any file, network or other process.

Numbers and layouts are those of linux/landlock.h. Each ABI knows more than the one before; a right that a kernel does
not know is left out.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; the same on every architecture."""
ASK_VERSION: Final = 1
PATH_BENEATH: Final = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights to files that came with each ABI: the first thirteen; refer; truncate; ioctl of devices."""
TCP_RIGHTS: Final = {4: 0b11}
"""Bind and connect."""
SCOPES: Final = {6: 0b11}
"""Abstract Unix sockets, and signals, beyond this process."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The kernel's ABI; 0 where it has no Landlock."""
    return max(0, _call(CREATE_RULESET, None, 0, ASK_VERSION))


def confine(readable: Iterable[Path]) -> None:
    """For good, and for every thread and process made from here on. Raises OSError. Needs `no_new_privs`."""
    abi = version()
    handled = _Ruleset(_known(FILE_RIGHTS, abi), _known(TCP_RIGHTS, abi), _known(SCOPES, abi))
    ruleset = _checked(_call(CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0))
    try:
        for folder in readable:
            _allow(ruleset, folder)
        _checked(_call(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = _PathBeneath(READ_FILE | READ_DIR, handle)
        _checked(_call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


def _known(since: dict[int, int], abi: int) -> int:
    return sum(bits for first, bits in since.items() if abi >= first)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
