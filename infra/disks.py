"""What an error of a disk means for the stores that lie on one."""

import errno
from typing import Final

from schemas.errors import Retryable

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_error(error: OSError, name: str) -> Retryable:
    """`dependency.full` where there is no room, else `dependency.away`: a disk heals, and no message is to blame."""
    return Retryable("dependency.full" if error.errno in _FULL else "dependency.away", name=name)
