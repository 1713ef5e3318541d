"""Asks each dependency whether it is there, and says what to do about one that is not, or that a stage waits for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.waits import waits_of
from schemas.errors import CradleError

TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Dependency:
    name: str
    where: str
    """Its URL with any password masked, or its folder."""
    ask: Callable[[], Awaitable[str]]
    """Returns its version, or '' where it tells none. Raises when it is away."""
    remedy: str
    """What to do when it is away; '' where the error itself says it."""
    seconds: float = TIMEOUT_SECONDS
    """How long it may take to answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    where: str
    ok: bool
    version: str
    milliseconds: float
    code: str = ""
    """Of the error; '' where it is well, or where the error has none."""
    problem: str = ""
    remedy: str = ""


async def examine(dependencies: Sequence[Dependency]) -> list[Finding]:
    """One finding a dependency, in their order; each has its seconds. Never raises for one that is away."""
    return [await _examine_one(dependency) for dependency in dependencies]  # in turn, so that latencies are their own


def waiting_stages(notes: Path) -> list[Finding]:
    """One for each thing that a stage of this machine waits for; `notes` is the folder where they say so."""
    return [
        Finding(f"stage {wait.stage}", "", False, "", 0.0, wait.code, wait.sentence, wait.next_step)
        for wait in waits_of(notes)
    ]


async def _examine_one(dependency: Dependency) -> Finding:
    began = time.monotonic()
    version, code, problem, remedy = "", "", "", ""
    try:
        async with asyncio.timeout(dependency.seconds):
            version = await dependency.ask()
    except TimeoutError:
        problem, remedy = f"It does not answer within {dependency.seconds:.0f} s.", dependency.remedy
    except CradleError as error:
        code, problem, remedy = error.code, error.sentence, dependency.remedy or error.next_step
    except Exception as error:  # a driver's own: its text may hold a password, its type does not
        problem, remedy = f"It answers with an error ({type(error).__name__}).", dependency.remedy
    spent = (time.monotonic() - began) * 1000
    return Finding(dependency.name, dependency.where, not problem, version, round(spent, 1), code, problem, remedy)
