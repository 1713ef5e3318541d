"""`cradle search`: asks an image. It needs no stack: the image holds everything."""

from typing import Annotated, Any, Final

import typer

from cradle.commands.terminal import Json, out, print_json, say

BROKEN_LINE: Final = 50
"""A line longer than this went on where a page's width ended; a shorter one was meant to end."""
MARKED: Final = {
    "doubtful": "This page was hard to read: the text may be wrong.",
    "hidden": "Some of this text is hidden from whoever reads the document.",
}
MARKS: Final = ("-", "*", "#", "|", "•", *(f"{number}." for number in range(1, 10)))


def search(
    image: Annotated[
        str, typer.Argument(metavar="CUSTOMER|IMAGE", help="A customer, for its newest image, or a path to an image.")
    ],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In any language the model knows.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many passages.")] = 3,
    json: Json = False,
) -> None:
    """Ask an image a question and get the passages that answer it, best first."""
    from cradle.settings import load_settings
    from operations.search import search as ask

    found = ask(load_settings().home, image, question, limit)
    if json:
        print_json(found)
    elif not found:
        say("Nothing was found.")
    else:
        for number, passage in enumerate(found, start=1):
            _show(number, passage)


def _show(number: int, passage: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.text import Text

    page = "" if passage["page"] is None else f", page {passage['page']}"
    span = f"characters {passage['start']} to {passage['end']}"
    out.print(f"[bold green]{number}[/bold green] [bold]{escape(passage['document'])}[/bold]{page} [dim]{span}[/dim]")
    for mark in passage["marks"]:
        out.print(f"  [yellow]{MARKED[mark]}[/yellow]")
    if passage["also"]:
        more = passage["names"] - 1 - len(passage["also"])
        others = escape(", ".join(passage["also"])) + (f" and {more} more" if more else "")
        out.print(f"  [dim]the same file as {others}[/dim]")
    if passage["folded"]:
        times = "once" if passage["folded"] == 1 else f"{passage['folded']} times"
        out.print(f"  [dim]nearly repeated {times} elsewhere[/dim]")
    out.print(Padding(Text(_tidy(passage["text"])), (0, 2, 1, 2)))


def _tidy(text: str) -> str:
    """The passage with lines that a page's width broke joined again; headings, lists and tables stay as they are."""
    joined: list[str] = []
    length = 0
    for line in (line.strip() for line in text.splitlines() if line.strip()):
        if joined and length > BROKEN_LINE and not line.startswith(MARKS):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
        length = 0 if line.startswith("|") else len(line)
    return "\n".join(joined)
