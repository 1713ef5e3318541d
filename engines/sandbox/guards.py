"""What keeps a child from doing anything but answer: which guards this kernel has, and putting them up."""

import ctypes
import os
import resource
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from engines.sandbox import landlock, seccomp
from engines.sandbox.limits import Limits

ROOT: Final = Path(__file__).parents[2]
"""The import root: of it a child may read our own packages that parsers import."""
OWN_PACKAGES: Final = ("engines", "schemas")
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL: Final = 9
CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUSER = 0x40000000, 0x08000000, 0x10000000


@dataclass(frozen=True, slots=True)
class Guards:
    """Which of the kernel's guards there are. The limits of `Limits` hold everywhere."""

    landlock: int
    """Its ABI; 0 without."""
    seccomp: bool

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.landlock or self.seccomp)

    def __str__(self) -> str:
        names = [f"Landlock {self.landlock}"] if self.landlock else []
        return ", ".join([*names, *(["seccomp"] if self.seccomp else [])])


@cache
def available() -> Guards:
    if sys.platform != "linux":
        return Guards(0, seccomp=False)
    return Guards(landlock.version(), seccomp.supported())


def hide_network() -> bool:
    """Leaves this process and all that it makes in a network without any interface, where the kernel lets it: a third
    guard, which many containers forbid. Only a process of one thread may."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    spaces = CLONE_NEWNET | CLONE_NEWIPC
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWUSER | spaces, spaces))


def confine(limits: Limits) -> None:
    """Puts all guards up around this process, for good. It must be the only thread. Raises OSError."""
    _limit(limits)
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    guards = available()
    if guards.landlock:
        landlock.confine(code_folders())
    if guards.seccomp:
        seccomp.confine(os.getpid())


def code_folders() -> list[Path]:
    """Where the interpreter, libraries and our parsers lie: all that a child may read. No data and no setting."""
    named = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {Path(sysconfig.get_path(name)) for name in named}
    folders |= {Path(sys.base_prefix) / "lib", *(ROOT / name for name in OWN_PACKAGES)}
    folders |= {Path("/usr/lib"), Path("/usr/lib64"), Path("/lib"), Path("/lib64")}
    return sorted(folders)


def _limit(limits: Limits) -> None:
    for name, value in _resources(limits):
        number = getattr(resource, name, None)
        if number is not None:
            with suppress(ValueError, OSError):  # a limit that is lower already stays
                resource.setrlimit(number, (value, value))


def _resources(limits: Limits) -> Iterator[tuple[str, int]]:
    yield "RLIMIT_DATA", limits.memory_bytes
    yield "RLIMIT_AS", limits.address_bytes
    yield "RLIMIT_NOFILE", limits.open_files
    yield "RLIMIT_FSIZE", 0
    yield "RLIMIT_CORE", 0
    yield "RLIMIT_MEMLOCK", 0
    yield "RLIMIT_MSGQUEUE", 0
