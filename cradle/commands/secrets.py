"""`cradle secrets`: the secrets of a deployment with docker compose."""

from pathlib import Path
from typing import Annotated

import typer

from cradle.commands.terminal import Json, print_json, say

app = typer.Typer(help="Secrets of a deployment.", no_args_is_help=True)


@app.callback()
def secrets() -> None:
    """Secrets of a deployment."""


@app.command("init")
def init(
    file: Annotated[Path, typer.Option(dir_okay=False, help="File to write, readable by its owner alone.")] = Path(
        ".env"
    ),
    json: Json = False,
) -> None:
    """Write generated secrets for docker compose, keeping every one that is already there."""
    from operations.secrets import write_secrets

    made = write_secrets(file)
    if json:
        print_json({"file": str(file), "generated": made})
    elif made:
        say(f"Generated {len(made)} secrets in [bold]{file}[/bold]: {', '.join(made)}.")
    else:
        say(f"[bold]{file}[/bold] has every secret already; nothing was changed.")
