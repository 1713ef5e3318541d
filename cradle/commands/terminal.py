"""What every command shares: two consoles, the --json option, running a coroutine, and telling an error."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.errors import CradleError

T = TypeVar("T")

FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130
WRONG_USE_CODES: Final = (
    "settings.",
    "customer.",
    "parameters.",
    "job.unknown",
    "job.over",
    "letter.unknown",
    "letter.choice",
    "letter.readable",
    "service.open",
    "stage.unknown",
    "offsets.",
    "image.unknown",
    "replay.choice",
    "replay.topic",
    "source.missing",
    "source.scheme",
    "topology.",
    "update.",
    "version.name",
    "version.unknown",
)
"""Errors of which the cause is what was typed or configured, rather than the work: they exit with 2."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON of a stable shape.", show_default=False)]

FOLDED_WIDTH: Final = 9
"""A column is not folded to fewer letters than this."""

out: Final = Console(highlight=False)
err: Final = Console(stderr=True, highlight=False)


def customer_id(value: str | None) -> str | None:
    """Of an option or argument that names one: refused before anything is opened. Raises Permanent `customer.id`."""
    from schemas.ids import check_customer_id

    return value if value is None else check_customer_id(value)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine to its end."""
    return asyncio.run(work)


def print_json(value: object) -> None:
    """One JSON value on stdout, UTF-8, with no colour and no wrapping."""
    finish_stdout(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def say(text: str) -> None:
    """A sentence on stdout, in rich markup; the terminal wraps it, so that a path or id in it stays whole."""
    out.print(text, soft_wrap=True)


def note(text: str) -> None:
    """A remark on stderr, so that it never mixes with a result."""
    err.print(f"[dim]{text}[/dim]")


def tell(error: CradleError) -> int:
    """Prints the error's sentence, code and next step on stderr; returns the exit code."""
    err.print(f"[bold red]error[/bold red] {escape(error.sentence)} [dim]({error.code})[/dim]")
    err.print(f"  [dim]next[/dim] {escape(error.next_step)}")
    return WRONG_USE if error.code.startswith(WRONG_USE_CODES) else FAILED


def tell_unknown(error: Exception) -> int:
    """Prints an error that has no code; its own text stays untold, since it may quote content."""
    kind = type(error).__name__
    err.print(f"[bold red]error[/bold red] Something failed that Cradle does not know ({kind}).")
    err.print("  [dim]next[/dim] Run it again with CRADLE_DEBUG=1 for the traceback.")
    return FAILED


def finish_stdout(text: str = "") -> None:
    """Writes `text` and all that stdout still holds. That its reader left, as `head` does, is no error to tell."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that the interpreter does not tell it either


def debugging() -> bool:
    """Whether the person asked for tracebacks: CRADLE_DEBUG=1."""
    return os.environ.get("CRADLE_DEBUG", "") not in ("", "0")


def table(*columns: str, right: Sequence[str] = (), folds: Sequence[str] = ()) -> Table:
    """A table without lines, as every command prints one; `show` prints it.

    `right` names the columns of numbers, `folds` those that go on in a further line where the terminal is narrow.
    The others are whole at any width: they are what a person copies.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in folds,
            overflow="fold",
            min_width=FOLDED_WIDTH if column in folds else None,
        )
    return made


def show(made: Table) -> None:
    """Prints a table of `table`. Where folding does not make it fit, the terminal breaks its lines; nothing is cut."""
    for column in made.columns:
        if column.no_wrap:
            column.min_width = max(out.render_str(str(cell)).cell_len for cell in (column.header, *column.cells))
    out.print(made, crop=False)


def pairs(values: Mapping[str, object]) -> Table:
    """Names and values, one pair a line."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(name, "" if value is None else str(value))
    return made


def size(count: int) -> str:
    """Bytes for people, as letters and guides say them."""
    from operations.package.rendering import size as words

    return words(count)


def moment(when: datetime | None) -> str:
    """A time for people: UTC, to the second."""
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M:%S")
