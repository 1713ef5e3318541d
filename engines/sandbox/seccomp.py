"""seccomp: the system calls that a child may make, written as the small program with which the kernel checks each.

What parsing needs is allowed, everything else answers EPERM: no socket, no process, no program, nothing written, no
memory that is both writable and executable. Calls are named with their numbers on x86-64 and on 64-bit ARM; one that an
architecture lacks is -1.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables below, and what the kernel calls the architecture (linux/audit.h)."""

HARMLESS: Final = {
    # reading and answering on what is open
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "recvfrom": (45, 207), "sendto": (44, 206), "close": (3, 57), "close_range": (436, 436), "lseek": (8, 62),
    "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24), "pipe": (22, -1), "pipe2": (293, 59),
    "eventfd2": (290, 19), "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72),
    "epoll_create": (213, -1), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, -1),
    "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441),
    # what files there are: Landlock says which may be read
    "stat": (4, -1), "lstat": (6, -1), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, -1), "faccessat": (269, 48), "faccessat2": (439, 439), "getdents64": (217, 61),
    "readlink": (89, -1), "readlinkat": (267, 78), "getcwd": (79, 17),
    # memory; mmap and mprotect have rules of their own
    "brk": (12, 214), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233), "mincore": (27, 232),
    "membarrier": (324, 283),
    # threads; clone has a rule of its own
    "futex": (202, 98), "futex_waitv": (449, 449), "set_robust_list": (273, 99), "rseq": (334, 293),
    "set_tid_address": (218, 96), "arch_prctl": (158, -1), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "getcpu": (309, 168), "exit": (60, 93), "exit_group": (231, 94),
    # signals to itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigsuspend": (130, 133), "rt_sigtimedwait": (128, 137), "sigaltstack": (131, 132),
    # clocks, chance, and who it is
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, -1), "getrandom": (318, 278), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getrlimit": (97, -1), "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160),
}  # fmt: skip

UNKNOWN: Final = {"clone3": (435, 435), "openat2": (437, 437)}
"""Their arguments lie in memory, where a filter cannot look; ENOSYS makes libraries use the calls that it can check."""

READ_ONLY_FORBIDS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000
"""Of open's flags; the last is O_TMPFILE."""
PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_ANONYMOUS = 0x2, 0x4, 0x01, 0x20
CLONE_THREAD: Final = 0x00010000
CLONE_NEW: Final = 0x7E020000
"""A new namespace of any kind."""
AF_UNIX: Final = 1
PR_SET_NAME, PR_SET_VMA = 15, 0x53564D41
FCNTL: Final = (0, 1, 2, 3, 4, 1030)
"""Duplicate, and read or set a descriptor's flags."""
IOCTL: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, its size, bytes to read, (un)block, keep or close on exec."""

LOAD, EQUAL, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
"""Instructions: load a word of the call's data, jump if equal, jump if any bit is set, mask, return."""
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
PR_SET_SECCOMP, MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]
"""Operation, instructions to skip if true, if false, constant."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.c_char_p))


def supported() -> bool:
    """Whether this kernel and architecture take a filter."""
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(PR_SET_SECCOMP, MODE_FILTER, None, 0, 0)  # EFAULT: it would have read the program
    return platform.machine() in ARCHITECTURES and ctypes.get_errno() == errno.EFAULT


def confine(pid: int) -> None:
    """For good, and for every thread made from here on; `pid` is this process. Raises OSError. Needs
    `no_new_privs`."""
    program = _assembled(_filter(pid))
    given = _Program(len(program) // 8, program)
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(given), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# -- the program -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """A call that is allowed for some of its arguments only."""

    numbers: tuple[int, int]
    body: tuple[Instruction, ...]
    """Ends with a return on every way through."""


def _filter(pid: int) -> list[Instruction]:
    column, architecture = ARCHITECTURES[platform.machine()]
    return [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        *_always(HARMLESS.values(), column, ALLOW),
        *_always(UNKNOWN.values(), column, FAIL | errno.ENOSYS),
        *(step for rule in _rules(pid) for step in _where(rule, column)),
        (RETURN, 0, 0, FAIL | errno.EPERM),
    ]


def _rules(pid: int) -> list[_Rule]:
    return [
        _Rule((257, 56), _unless_any(2, READ_ONLY_FORBIDS)),  # openat
        _Rule((2, -1), _unless_any(1, READ_ONLY_FORBIDS)),  # open
        _Rule((9, 222), _MMAP),
        _Rule((10, 226), _unless_any(2, PROT_EXEC)),  # mprotect
        _Rule((56, 220), _CLONE),
        _Rule((53, 199), _if_one_of(0, (AF_UNIX,))),  # socketpair: both ends are its own
        _Rule((72, 25), _if_one_of(1, FCNTL)),
        _Rule((16, 29), _if_one_of(1, IOCTL)),
        _Rule((157, 167), _if_one_of(0, (PR_SET_NAME, PR_SET_VMA))),  # prctl
        _Rule((302, 261), _READ_A_LIMIT),  # prlimit64
        _Rule((62, 129), _if_one_of(0, (pid,))),  # kill
        _Rule((234, 131), _if_one_of(0, (pid,))),  # tgkill: abort() sends itself a signal
    ]


_YES: Final[Instruction] = (RETURN, 0, 0, ALLOW)
_NO: Final[Instruction] = (RETURN, 0, 0, FAIL | errno.EPERM)


def _argument(index: int, *, high: bool = False) -> Instruction:
    """Loads its lower 32 bits, or its upper ones."""
    return LOAD, 0, 0, ARGUMENTS_AT + 8 * index + 4 * high


def _unless_any(index: int, bits: int) -> tuple[Instruction, ...]:
    return _argument(index), (ANY_BIT, 0, 1, bits), _NO, _YES


def _if_one_of(index: int, values: Sequence[int]) -> tuple[Instruction, ...]:
    tests = [(EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return _argument(index), *tests, _NO, _YES


_CLONE: Final = (_argument(0), (ANY_BIT, 0, 1, CLONE_NEW), _NO, (ANY_BIT, 1, 0, CLONE_THREAD), _NO, _YES)
_READ_A_LIMIT: Final = (
    _argument(2), (EQUAL, 1, 0, 0), _NO, _argument(2, high=True), (EQUAL, 1, 0, 0), _NO, _YES
)  # fmt: skip
_MMAP: Final = (
    _argument(3),
    (ANY_BIT, 0, 4, MAP_ANONYMOUS),
    (ANY_BIT, 0, 1, MAP_SHARED),  # it would not count as the process's own memory
    _NO,
    _argument(2),
    (ANY_BIT, 3, 4, PROT_EXEC),
    _argument(2),  # of a file: a library that is loaded late
    (AND, 0, 0, PROT_WRITE | PROT_EXEC),
    (EQUAL, 0, 1, PROT_WRITE | PROT_EXEC),
    _NO,
    _YES,
)


def _always(calls: Iterable[tuple[int, int]], column: int, verdict: int) -> list[Instruction]:
    known = [numbers[column] for numbers in calls if numbers[column] >= 0]
    return [step for number in known for step in ((EQUAL, 0, 1, number), (RETURN, 0, 0, verdict))]


def _where(rule: _Rule, column: int) -> tuple[Instruction, ...]:
    number = rule.numbers[column]
    return () if number < 0 else ((EQUAL, 0, len(rule.body), number), *rule.body)


def _assembled(program: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("<HBBI", *step) for step in program)
