"""The day that a document's own fields name."""

import re
from datetime import date
from typing import Final

_DAY: Final = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")


def first_day(*stated: object) -> str | None:
    """Of the first of these that begins with a day: `2026-01-31T09:00:00Z`, `20260131`. No zone is minded."""
    days = (_day(one) for one in stated if isinstance(one, str))
    return next((day for day in days if day), None)


def _day(stated: str) -> str | None:
    found = _DAY.match(stated)
    try:
        return date(*map(int, found.groups())).isoformat() if found else None
    except ValueError:  # there is no such day
        return None
