"""`python -m appliance search "question" --limit 5 --json`, `python -m appliance about`: the image's entry point."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from appliance.format import FOLDER
from appliance.question import embed_question
from appliance.search import DataLayer, Passage, open_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0 when done, 1 if the data cannot be read; exits with 2 on wrong use."""
    options = _parser().parse_args(arguments)
    command: Callable[[DataLayer, argparse.Namespace], None] = options.command
    try:
        with open_folder(options.data) as data:
            command(data, options)
    except (OSError, ValueError) as error:
        print(f"appliance: the data layer cannot be read: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("appliance", description="Answers questions about the documents in this image.")
    parser.add_argument("--data", type=Path, default=Path(FOLDER), help="folder of the data layer")
    commands = parser.add_subparsers(required=True, metavar="command")
    search = commands.add_parser("search", help="the passages that answer a question best")
    search.add_argument("question")
    search.add_argument("--limit", type=_positive, default=5)
    search.add_argument("--json", action="store_true")
    search.set_defaults(command=_search)
    about = commands.add_parser("about", help="what this image holds, as JSON")
    about.set_defaults(command=_about)
    return parser


def _search(data: DataLayer, options: argparse.Namespace) -> None:
    found = data.search(options.question, embed_question(options.question, data.about), limit=options.limit)
    if options.json:
        print(json.dumps([asdict(passage) for passage in found], ensure_ascii=False))
    else:
        print("\n\n".join(map(_shown, found)) or "Nothing was found.")


def _about(data: DataLayer, _: argparse.Namespace) -> None:
    print(json.dumps(data.about, ensure_ascii=False, indent=2))


def _shown(passage: Passage) -> str:
    where = passage.document if passage.page is None else f"{passage.document}, page {passage.page}"
    return f"{where}\n{passage.text.strip()}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
