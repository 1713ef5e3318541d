"""`python -m appliance serve | stdio | search | about | healthcheck`: the image's entry point."""

import argparse
import gc
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.format import FOLDER
from appliance.sbom import read_components
from appliance.settings import read_settings

if TYPE_CHECKING:
    from appliance.auth import TokenCheck
    from appliance.search import Passage

PORT: Final = 8080
EVERY_ADDRESS: Final = str(IPv4Address(0))
NO_TOKEN: Final = """\
appliance: it does not start without a token: {file}: {why}.
Mount the package's credentials there, or name the file in APPLIANCE_TOKEN_FILE.
`serve --open` answers anybody who reaches the port."""  # noqa: S105
UNDERSTOOD: Final = {
    "builtin": "Understood by the model in this image, and by its words.",
    "service": "Understood by the model service, and by its words.",
    "lexical": "Understood by its words alone.",
}

MARKED: Final = {
    "doubtful": "hard to read, so it may be wrong",
    "hidden": "holds text that is hidden from a reader",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0 when done, 1 if it cannot be; exits with 2 on wrong use."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (OSError, ValueError, sqlite3.DatabaseError) as error:
        print(f"appliance: the data cannot be read: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("appliance", description="Answers questions about the documents in this image.")
    parser.add_argument("--data", type=Path, default=Path(FOLDER), help="folder of the data layers")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="MCP, plain HTTP and a page to try questions, on one port")
    serve.add_argument("--host", default=EVERY_ADDRESS, help="address to listen on; every one unless said")
    serve.add_argument("--port", type=int, default=PORT)
    serve.add_argument("--open", action="store_true", help="without a token: answer anybody who reaches the port")
    serve.set_defaults(command=_serve)

    stdio = commands.add_parser("stdio", help="MCP on standard input and output, without a token")
    stdio.set_defaults(command=_stdio)

    search = commands.add_parser("search", help="the passages that answer a question best")
    search.add_argument("question")
    search.add_argument("--limit", type=_positive, default=5)
    search.add_argument("--json", action="store_true")
    search.set_defaults(command=_search)

    about = commands.add_parser("about", help="what this image holds, as JSON")
    about.set_defaults(command=_about)

    healthcheck = commands.add_parser("healthcheck", help="whether the server in this container answers")
    healthcheck.add_argument("--port", type=int, default=PORT)
    healthcheck.set_defaults(command=_healthcheck)
    return parser


def _serve(options: argparse.Namespace) -> int:
    # in a container this is process 1, which SIGTERM would not end while the server is being loaded
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = read_settings(os.environ)
    try:
        check = None if options.open else _token_check(settings.token_file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        print(NO_TOKEN.format(file=settings.token_file, why=why), file=sys.stderr)
        return 1
    gc.disable()  # until the server is loaded, which takes a tenth less so
    from appliance.serve import serve

    serve(options.data, settings, options.host, options.port, check)
    return 0


def _token_check(file: Path) -> "TokenCheck":
    from appliance.auth import read_token_file

    return read_token_file(file)


def _stdio(options: argparse.Namespace) -> int:
    # at once: a thread waits for input, and would hold an orderly exit back
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from appliance.serve import stdio

    stdio(options.data, read_settings(os.environ))
    return 0


def _search(options: argparse.Namespace) -> int:
    from appliance.question import Questions
    from appliance.search import open_layers

    settings = read_settings(os.environ)
    with open_layers(options.data) as library:
        questions = Questions(
            library.about, settings.embeddings_url, model=settings.embeddings_model, token=settings.embeddings_token
        )
        with closing(questions):
            vector, understood = questions.embed(options.question)
        found = library.search(options.question, vector, limit=options.limit)
    if options.json:
        answer = {"understood": understood, "passages": [asdict(passage) for passage in found]}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print("\n\n".join([*map(_shown, found)] or ["Nothing was found."]))
        print(f"\n{UNDERSTOOD[understood]}")
    return 0


def _about(options: argparse.Namespace) -> int:
    from appliance.search import open_layers

    components = read_components(read_settings(os.environ).sbom)
    with open_layers(options.data) as library:
        print(json.dumps({**library.about, "components": components}, ensure_ascii=False, indent=2))
    return 0


def _healthcheck(options: argparse.Namespace) -> int:
    from http.client import HTTPConnection, HTTPException

    try:
        connection = HTTPConnection("127.0.0.1", options.port, timeout=5)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"appliance: the server does not answer: {error}", file=sys.stderr)
        return 1
    return 0 if status == 200 else 1


def _shown(passage: "Passage") -> str:
    where = [passage.document]
    where += [] if passage.page is None else [f"page {passage.page}"]
    where += [MARKED[mark] for mark in passage.marks]
    also = f"\nthe same file as {', '.join(passage.also)}" if passage.also else ""
    return f"{', '.join(where)}{also}\n{passage.text.strip()}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("at least 1")
    return number


if __name__ == "__main__":
    # before numpy is loaded: search has threads of its own, and those of BLAS burn time while they wait
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
