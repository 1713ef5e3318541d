"""The `cradle` command. Each command imports what it needs when it runs, so that `--help` is quick."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

from cradle.commands import (
    archive,
    customers,
    dlq,
    doctor,
    image,
    ingest,
    isolate,
    jobs,
    lag,
    offsets,
    package,
    reconcile,
    run,
    search,
    secrets,
    serve,
    stack,
    topics,
)
from cradle.commands import replay as replaying
from cradle.commands import verify as verifying
from cradle.commands import versions as delivered
from cradle.commands.terminal import INTERRUPTED, debugging, err, finish_stdout, tell, tell_unknown
from schemas.errors import CradleError


class _Commands(TyperGroup):
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """A person gets a sentence and an exit code; a traceback only with CRADLE_DEBUG=1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("[dim]interrupted[/dim]")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # the reader left, as `head` does: typer ends without a word
        except Exception as error:
            if debugging() or type(error).__module__.partition(".")[0] in TYPER_MODULES:
                raise
            raise typer.Exit(tell(error) if isinstance(error, CradleError) else tell_unknown(error)) from None


TYPER_MODULES: Final = frozenset({"typer", "click"})
"""Whose exceptions are wrong use and exits: typer shows and turns them into exit codes itself."""

app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turns a customer's documents into a container image that answers questions about them.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 wrong use. Every command takes --json.",
)

_HERE: Final = "This installation"
_WORK: Final = "Documents in, answers out"
_FLOW: Final = "The flow"

COMMANDS: Final[Mapping[str, tuple[str, Callable[..., None]]]] = {
    "up": (_HERE, stack.up),
    "down": (_HERE, stack.down),
    "doctor": (_HERE, doctor.doctor),
    "ingest": (_WORK, ingest.ingest),
    "jobs": (_WORK, jobs.jobs),
    "job": (_WORK, jobs.job),
    "wait": (_WORK, jobs.wait),
    "search": (_WORK, search.search),
    "package": (_WORK, package.package),
    "letter": (_WORK, package.letter),
    "verify": (_WORK, verifying.verify),
    "replay": (_WORK, replaying.replay),
    "versions": (_WORK, delivered.versions),
    "rollback": (_WORK, delivered.rollback),
    "cancel": (_WORK, jobs.cancel),
    "erase": (_WORK, jobs.erase),
    "sweep": (_WORK, jobs.sweep),
    "run": (_FLOW, run.run),
    "lag": (_FLOW, lag.lag),
    "reconcile": (_FLOW, reconcile.reconcile),
}

for _name, (_panel, _function) in COMMANDS.items():
    app.command(_name, rich_help_panel=_panel)(_function)

app.command("isolate", hidden=True)(isolate.isolate)
app.add_typer(customers.app, name="customer", rich_help_panel=_WORK)
app.add_typer(archive.app, name="archive", rich_help_panel=_WORK)
app.add_typer(image.app, name="image", rich_help_panel=_WORK)
app.add_typer(dlq.app, name="dlq", rich_help_panel=_FLOW)
app.add_typer(offsets.app, name="offsets", rich_help_panel=_FLOW)
app.add_typer(topics.app, name="topics", rich_help_panel=_FLOW)
app.add_typer(serve.app, name="serve", rich_help_panel=_WORK)
app.add_typer(secrets.app, name="secrets", rich_help_panel=_HERE)


def main() -> None:
    """The console script."""
    if not debugging():
        logging.getLogger().addHandler(logging.NullHandler())  # what a library would log, our own errors say
    try:
        app()
    finally:
        finish_stdout()
